"""A trained network from the folder of a run, for every command that uses one."""

import json
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
from mnist_flax.trained import weights


class Trained(NamedTuple):
    """A trained network and the run that made it.

    Attributes:
      config: the run's.
      variables: {'params': ..., 'batch_stats': ...}, arrays of float32, of the network
        `steps.create_model(config)`.
      epoch: the one at whose end the network was like this, from 1; 0 if it is not known.
      finished: whether that was the last epoch of the run.
      history: the lines of metrics.jsonl up to that epoch.
    """

    config: ConfigDict
    variables: dict[str, Any]
    epoch: int
    finished: bool
    history: list[dict[str, Any]]


def choose(workdir: str | None, weights_file: str | None) -> Trained:
    """What the flags --workdir and --weights of a command name; just one of them is given.

    Raises:
      UserError: none or both are given, or see `load` and `from_weights`.
    """
    if (not workdir) == (not weights_file):
        raise UserError("give either --workdir, a run, or --weights, a file; --help says more")
    return load(workdir) if workdir else from_weights(weights_file or "")


def load(workdir: str | Path) -> Trained:
    """Reads the latest good checkpoint of a run; changes nothing in its folder.

    A line on stderr says so where it is not the end of the run.

    Args:
      workdir: the folder of a run, finished or not.

    Raises:
      UserError: not the folder of a run, or one without a good checkpoint.
    """
    workdir = Path(workdir)
    config = _read_config(workdir)
    like = jax.eval_shape(partial(create_train_state, config=config), jax.random.key(0))
    saved = checkpoints.load_latest(workdir, config, like)
    if saved is None:
        raise UserError(
            f"the run in {workdir} has no checkpoint yet; go on with it by "
            f"python -m mnist_flax.main --workdir {workdir} --resume"
        )
    epoch = saved.history[-1]["epoch"]
    finished = epoch == config.num_epochs
    if not finished:
        errors.warn(
            f"the run in {workdir} is used as it was after epoch {epoch} of {config.num_epochs}"
        )
    variables = {"params": saved.state.params, "batch_stats": saved.state.batch_stats}
    return Trained(config, jax.tree.map(jnp.asarray, variables), epoch, finished, saved.history)


def from_weights(path: str | Path) -> Trained:
    """A network with the weights of a file, of which no run is known.

    Args:
      path: see `weights.read`.

    Returns:
      The default config, with the file's architecture, epoch 0 and an empty history stand for
      what is not known.

    Raises:
      UserError: the file cannot be used.
    """
    found = weights.read(path)
    config = config_lib.load(config_lib.default_path())
    config.model.architecture = found.architecture
    return Trained(config, found.variables, epoch=0, finished=True, history=[])


def logits(trained: Trained, images: np.ndarray | jax.Array) -> np.ndarray:
    """Computes the network's logits; see `inference.logits`.

    Args:
      trained: only its config and its variables are used.
      images: uint8[N,28,28], 0 (background) to 255, any N.

    Returns:
      float32[N,10].

    Raises:
      UserError: they are not finite, as the weights are not those of a trained network.
    """
    answers = inference.logits(create_model(trained.config), trained.variables, images)
    if not np.isfinite(answers).all():
        raise UserError("the network's answers are not finite; give weights that were trained")
    return answers


def warn_if_not_as_recorded(trained: Trained, scores: Scores) -> None:
    """Prints a warning if the run itself counted another number of right answers.

    On another device or with other versions, logits that are nearly equal may change places.
    """
    if not trained.history:
        return
    recorded = metrics.count_correct(trained.history[-1]["test_accuracy"], scores.size)
    if recorded != scores.correct:
        errors.warn(
            f"the run had {recorded} of {scores.size} right after epoch {trained.epoch}, here "
            f"it has {scores.correct}: another device, other versions or other data"
        )


def _read_config(workdir: Path) -> ConfigDict:
    """The config that a run was started with.

    Raises:
      UserError: there is none, or it is not valid.
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
