"""A trained network from the folder of a run, for every command that uses one."""

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict
from orbax.checkpoint import v1 as ocp

from mnist_flax import augment, checkpoints
from mnist_flax import config as config_lib
from mnist_flax.errors import UserError
from mnist_flax.steps import EVAL_BATCH, create_model, create_train_state


class Trained(NamedTuple):
    """A trained network and the run that made it.

    Attributes:
      config: the run's.
      variables: {'params': ..., 'batch_stats': ...}, float32, of `steps.create_model(config)`.
      epoch: the one at whose end the network was like this, from 1.
      finished: whether that was the last epoch of the run.
      history: the lines of metrics.jsonl up to that epoch.
    """

    config: ConfigDict
    variables: dict[str, Any]
    epoch: int
    finished: bool
    history: list[dict[str, Any]]


def load(workdir: str | Path) -> Trained:
    """Reads the latest good checkpoint of a run; changes nothing in its folder.

    Where that is not the end of a finished run, a line on stderr says so.

    Args:
      workdir: the folder of a run, finished or not.

    Raises:
      UserError: not the folder of a run, or one without a checkpoint that can be read.
    """
    workdir = Path(workdir)
    config = _read_config(workdir)
    like = jax.eval_shape(partial(create_train_state, config=config), jax.random.key(0))
    # Said here: it may have been saved on another kind of device.
    device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    target = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device), like
    )
    for epoch in reversed(_epochs(workdir)):
        path = (workdir / checkpoints.FOLDER / str(epoch)).absolute()
        try:
            state = ocp.load(path, target)
            history = ocp.metadata(path).custom_metadata["history"]
        except Exception as error:  # Orbax and what it uses raise whatever they happen to.
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            _warn(f"the checkpoint {path} is damaged and left out: {reason}")
            continue
        finished = epoch == config.num_epochs
        if not finished:
            _warn(f"{workdir} is used as of epoch {epoch} of {config.num_epochs}")
        variables = {"params": state.params, "batch_stats": state.batch_stats}
        return Trained(config, variables, epoch, finished, history)
    raise UserError(
        f"the run in {workdir} has no checkpoint that can be read; go on with it by "
        f"python -m mnist_flax.main --workdir {workdir} --resume, or use another run"
    )


def logits(trained: Trained, images: np.ndarray | jax.Array) -> np.ndarray:
    """The network's answers, without augmentation or dropout.

    Args:
      trained: only its config and its variables are used.
      images: uint8[N,28,28], 0 (background) to 255, any N.

    Returns:
      float32[N,10].
    """
    size = max(1, min(EVAL_BATCH, len(images)))
    model = create_model(trained.config)
    batches = [np.zeros((0, 10), np.float32)]
    for begin in range(0, len(images), size):
        batch = np.asarray(images[begin : begin + size])
        # The last batch is filled up, so that one program does for all.
        padded = np.zeros((size, 28, 28), np.uint8)
        padded[: len(batch)] = batch
        batches.append(np.asarray(_logits(model, trained.variables, padded))[: len(batch)])
    return np.concatenate(batches)


@partial(jax.jit, static_argnums=0)
def _logits(model: nn.Module, variables: dict[str, Any], images: jax.Array) -> jax.Array:
    return jnp.asarray(model.apply(variables, augment.normalize(images), train=False))


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


def _epochs(workdir: Path) -> list[int]:
    """The epochs with a checkpoint, in order. Orbax's own list would make the folder."""
    try:
        paths = list((workdir / checkpoints.FOLDER).iterdir())
    except OSError:
        return []
    return sorted(int(path.name) for path in paths if path.name.isdecimal())


def _warn(line: str) -> None:
    print("warning: " + " ".join(line.split()), file=sys.stderr)
