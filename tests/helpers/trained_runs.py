"""The folder of a run with trained weights, without the time that training takes."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import jax

from mnist_flax import config as config_lib
from mnist_flax import steps
from mnist_flax.runs import checkpoints
from mnist_flax.trained import weights

WEIGHTS = Path(__file__).parents[1] / "fixtures" / "trained.safetensors"

_RECORD = {
    "epoch": 1,
    "step": 469,
    "learning_rate": 0.001,
    "train_loss": None,
    "train_accuracy": 0.9,
    "test_loss": 0.1,
    "test_accuracy": 1.0,
    "train_seconds": 24.0,
    "test_seconds": 1.0,
    "images_per_second": 2500.0,
}


def write_run(workdir: Path, test_accuracy: float = 1.0, **fields: Any) -> Path:
    """Makes the folder of a run that came to the end of its first epoch.

    Args:
      workdir: the folder to make.
      test_accuracy: what the run has on record for its epoch.
      fields: fields of its config that differ from the default; where the architecture does,
        the weights are those before training.
    """
    config = config_lib.load(config_lib.default_path())
    config.update({"num_epochs": 1} | fields)
    workdir.mkdir()
    (workdir / "config.json").write_text(json.dumps(config.to_dict()))
    state = jax.jit(partial(steps.create_train_state, config=config))(jax.random.key(0))
    variables, architecture = weights.read(WEIGHTS)
    if config.model.architecture == architecture:
        state = state._replace(**variables)
    checkpoints.save(workdir, config, state, [_RECORD | {"test_accuracy": test_accuracy}])
    return workdir
