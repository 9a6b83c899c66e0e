"""Trains a network and tests it after every epoch: a run, from config to summary."""

import time
from functools import partial
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from ml_collections import ConfigDict

from mnist_flax import config as config_lib
from mnist_flax import inference, input_pipeline
from mnist_flax.epochs import NO_STEP, EpochState
from mnist_flax.errors import TrainingError, warn
from mnist_flax.input_pipeline import SplitError
from mnist_flax.model_table import model_table
from mnist_flax.models import count_params
from mnist_flax.ops import jax_settings
from mnist_flax.parallel import processes, sharding
from mnist_flax.parallel.sharding import DeviceSplit
from mnist_flax.programs import Programs, wait
from mnist_flax.runs.run import open_run
from mnist_flax.runs.writers import Answers
from mnist_flax.steps import (
    Metrics,
    TrainState,
    create_recipe,
    create_train_state,
    train_step,
)

__all__ = ["TrainState", "create_train_state", "train_and_evaluate", "train_step"]


@jax_settings.pinned()
def train_and_evaluate(
    config: ConfigDict,
    workdir: str | Path | None = None,
    *,
    overwrite: bool = False,
    resume: bool = False,
) -> dict[str, Any]:
    """Trains the network of a config on all devices and tests it after every epoch.

    With several processes (see `processes`), each must call this. Only the first one writes,
    into its workdir.

    Args:
      config: what to do; see configs/default.py.
      workdir: the folder to write into; None makes a new one in runs/.
      overwrite: whether to replace a run that the workdir holds.
      resume: whether to continue a run that the workdir holds, after its latest good
        checkpoint. It ends as it would have without the interruption, bit for bit.

    Returns:
      The content of summary.json.

    Raises:
      UserError: the config, the data or the workdir cannot be used, or another process runs
        there. No file of a run was written or changed.
      TrainingError: the loss of a step was not finite, or another process of this run has
        stopped. The epochs before are on record.
      WriteError: a file cannot be written. A resume continues after the epochs on record.
    """
    config_lib.validate(config)
    like = jax.eval_shape(partial(create_train_state, config=config), jax.random.key(0))
    with open_run(workdir, config, like, overwrite=overwrite, resume=resume) as run:
        train_split, test_split = load_splits(config)
        recipe = create_recipe(config, train_split.size)
        run.begin(
            model_table=model_table(recipe.model),
            num_train=train_split.size,
            num_test=test_split.size,
            example=np.asarray(train_split.images.addressable_data(0)[0]),
        )
        programs = Programs(recipe, train_split, test_split)
        # All random numbers derive from this key: folded by 0 it gives the weights, by an
        # epoch's number the order and the steps of that epoch.
        key = sharding.replicate(jax.random.key(config.seed), train_split.mesh)
        if run.saved_state is None:
            state = programs.create(jax.random.fold_in(key, 0))
        else:
            state = sharding.replicate(run.saved_state, train_split.mesh)

        for epoch in range(len(run.history) + 1, config.num_epochs + 1):
            begin = time.perf_counter()
            with run.progress(epoch) as progress:
                result = programs.train_epoch(state, key, epoch, progress)
                wait(result.last_loss)
            trained = time.perf_counter()
            state = result.train_state
            test_metrics = jax.block_until_ready(programs.eval_epoch(state))
            seconds = trained - begin, time.perf_counter() - trained
            record = _record(epoch, result, test_metrics, train_split.size, *seconds)
            run.save(state, record)

        return run.finish(
            params=count_params(state.params),
            num_test=test_split.size,
            answers=partial(_answers, recipe.model, state, test_split),
            compile_seconds=programs.seconds,
            backend=jax.default_backend(),
            device_count=jax.device_count(),
        )


def _answers(model: nn.Module, state: TrainState, test: DeviceSplit) -> Answers:
    """Computes the network's answers on the test images, on this process alone."""
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    images, labels = (np.asarray(x.addressable_data(0)) for x in (test.images, test.labels))
    return Answers(images, labels, inference.logits(model, jax.device_get(variables), images))


def load_splits(config: ConfigDict) -> tuple[DeviceSplit, DeviceSplit]:
    """Reads the training and the test split of a config and puts them on the devices.

    Raises:
      UserError: a split cannot be read, or its batches cannot be shared evenly. All processes
        raise if one does.
    """

    def load(key: str) -> DeviceSplit:
        try:
            return input_pipeline.load_on_devices(
                config[key], config.data_dir, config.dataset, mesh
            )
        except SplitError as error:
            raise SplitError(f"config.{key} {error}") from None

    def load_both() -> tuple[DeviceSplit, DeviceSplit]:
        train, test = load("train_split"), load("test_split")
        config_lib.check_batch_size(config, train.size)
        sharding.check_divisible(config.batch_size, train.size)
        _warn_of_overlap(config)
        return train, test

    mesh = sharding.make_mesh()
    return processes.agree(load_both)


def _warn_of_overlap(config: ConfigDict) -> None:
    """Prints a warning if images that are trained on are tested on, too."""
    overlap = input_pipeline.count_overlap(
        config.train_split, config.test_split, config.data_dir, config.dataset
    )
    if overlap and processes.is_first():
        warn(
            f"config.train_split {config.train_split!r} and config.test_split "
            f"{config.test_split!r} have {overlap:,} images in common: the test says nothing "
            "of new images"
        )


def _record(
    epoch: int,
    result: EpochState,
    test_metrics: Metrics,
    num_train: int,
    train_seconds: float,
    test_seconds: float,
) -> dict[str, Any]:
    """Makes the line of an epoch in metrics.jsonl; fetches its values in one transfer.

    Raises:
      TrainingError: the loss of a step was not finite.
    """
    step, learning_rate, first_non_finite, train_metrics, test_metrics = jax.device_get(
        (
            result.train_state.step,
            result.learning_rate,
            result.first_non_finite,
            result.metrics,
            test_metrics,
        )
    )
    if first_non_finite != NO_STEP:
        raise TrainingError(
            f"the loss of step {first_non_finite} (epoch {epoch}) is not finite; "
            "try a smaller config.learning_rate"
        )
    trained, tested = train_metrics.compute(), test_metrics.compute()
    return {
        "epoch": epoch,
        "step": int(step),
        # The shortest number that is this float32: 0.001, not 0.0010000000474974513.
        "learning_rate": float(str(learning_rate)),
        "train_loss": float(trained["loss"]),
        "train_accuracy": float(trained["accuracy"]),
        "test_loss": float(tested["loss"]),
        "test_accuracy": float(tested["accuracy"]),
        "train_seconds": train_seconds,
        "test_seconds": test_seconds,
        "images_per_second": num_train / train_seconds,
    }
