"""Loads a trained network from a run or from a file of weights."""

import json
import os
import shlex
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from mnist_flax import config as config_lib
from mnist_flax import errors, inference, metrics
from mnist_flax.errors import UserError
from mnist_flax.metrics import Scores
from mnist_flax.runs import checkpoints
from mnist_flax.steps import create_model, create_train_state
from mnist_flax.system import progress
from mnist_flax.trained import weights


class Trained(NamedTuple):
    """A trained network and the run that trained it.

    Attributes:
      config: the run's.
      variables: {'params': ..., 'batch_stats': ...}, float32, for
        `steps.create_model(config)`.
      epoch: the epoch, from 1, after which they were saved; 0 if it is not known.
      finished: whether that was the run's last epoch.
      history: the lines of metrics.jsonl up to that epoch.
      data_dir: the folder of the prepared datasets today, for `input_pipeline.load`;
        `config.data_dir` is where the run had it.
    """

    config: ConfigDict
    variables: dict[str, Any]
    epoch: int
    finished: bool
    history: list[dict[str, Any]]
    data_dir: str = ""


def choose(
    workdir: str | Path | None,
    weights_file: str | Path | None,
    data_dir: str | Path | None = None,
) -> Trained:
    """Loads the network that a command's flag --workdir or --weights names.

    Args:
      workdir: see `load`.
      weights_file: see `from_weights`.
      data_dir: see `load`.

    Raises:
      UserError: both or neither are given; or as `load` and `from_weights`.
    """
    if (not workdir) == (not weights_file):
        raise UserError("give either --workdir, a run, or --weights, a file; --help says more")
    if workdir:
        return load(workdir, data_dir)
    return from_weights(weights_file or "", data_dir)


def load(workdir: str | Path, data_dir: str | Path | None = None) -> Trained:
    """Reads the latest good checkpoint of a run, and changes nothing in its folder.

    If the run has not finished, it prints a warning that names the epoch.

    Args:
      workdir: the folder of a run.
      data_dir: the folder of the prepared datasets. None: what the environment variable
        TFDS_DATA_DIR says, else the run's own if it is still there.

    Raises:
      UserError: it is not the folder of a run, or has no good checkpoint.
    """
    workdir = Path(workdir)
    config = _read_config(workdir)
    like = jax.eval_shape(partial(create_train_state, config=config), jax.random.key(0))
    saved = checkpoints.load_latest(workdir, config, like)
    if saved is None:
        raise UserError(
            f"the run in {workdir} has no checkpoint yet; resume it with "
            f"python -m mnist_flax.main --workdir {shlex.quote(str(workdir))} --resume"
        )
    epoch = saved.history[-1]["epoch"]
    finished = epoch == config.num_epochs
    if not finished:
        errors.warn(
            f"the run in {workdir} is used as it was after epoch {epoch} of {config.num_epochs}"
        )
    variables = {"params": saved.state.params, "batch_stats": saved.state.batch_stats}
    return Trained(
        config,
        jax.tree.map(jnp.asarray, variables),
        epoch,
        finished,
        saved.history,
        _data_dir(data_dir, config.data_dir),
    )


def from_weights(path: str | Path, data_dir: str | Path | None = None) -> Trained:
    """Reads a file of weights, without the run that trained them.

    Args:
      path: see `weights.read`.
      data_dir: see `load`.

    Returns:
      The network, with the default config but the file's architecture, epoch 0 and an empty
      history.

    Raises:
      UserError: the file cannot be used.
    """
    found = weights.read(path)
    config = config_lib.load(config_lib.default_path())
    config.model.architecture = found.architecture
    data_dir = _data_dir(data_dir, config.data_dir)
    return Trained(config, found.variables, 0, finished=True, history=[], data_dir=data_dir)


def logits(trained: Trained, images: np.ndarray | jax.Array) -> np.ndarray:
    """Computes the network's logits; see `inference.logits`.

    Args:
      trained: the network.
      images: uint8[N,28,28], 0 (background) to 255, any N.

    Returns:
      float32[N,10].

    Raises:
      UserError: they are not finite: the weights are not those of a trained network.
    """
    with progress.shown(f"Computing the network's answers on {len(images):,} images"):
        answers = inference.logits(create_model(trained.config), trained.variables, images)
    if not np.isfinite(answers).all():
        raise UserError("the network's answers are not finite; give weights that were trained")
    return answers


def warn_if_not_as_recorded(trained: Trained, scores: Scores) -> None:
    """Prints a warning if the run counted another number of right answers.

    On another device or with other versions, the order of nearly equal logits may change.
    """
    if not trained.history:
        return
    recorded = metrics.count_correct(trained.history[-1]["test_accuracy"], scores.size)
    if recorded != scores.correct:
        errors.warn(
            f"the run had {recorded} of {scores.size} right after epoch {trained.epoch}, here "
            f"it has {scores.correct}: another device, other versions or other data"
        )


def _data_dir(asked: str | Path | None, recorded: str) -> str:
    """Chooses the folder of the prepared datasets: a run may have moved, and so may they."""
    if asked is not None:
        return str(asked)
    gone = bool(recorded) and not os.path.isdir(os.path.expanduser(recorded))
    return "" if gone or "TFDS_DATA_DIR" in os.environ else recorded


def _read_config(workdir: Path) -> ConfigDict:
    """Reads the config that a run was started with.

    Raises:
      UserError: it is missing, or not valid.
    """
    path = workdir / "config.json"
    try:
        config = ConfigDict(dict(json.loads(path.read_bytes())))
        config_lib.validate(config)
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            f"{workdir} is not the folder of a run: it has no config.json; name the folder "
            "that python -m mnist_flax.main printed or was given as --workdir"
        ) from None
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise UserError(f"{path} cannot be read ({error}); use another run") from None
    return config.lock()
