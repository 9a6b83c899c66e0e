"""A run, from config to summary."""

import time
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from mnist_flax import config as config_lib
from mnist_flax import input_pipeline, models
from mnist_flax.epoch import NO_STEP, Programs
from mnist_flax.errors import TrainingError
from mnist_flax.model_table import model_table
from mnist_flax.steps import TrainState, create_model, create_train_state, train_step
from mnist_flax.writers import RunWriter

__all__ = ["TrainState", "create_train_state", "train_and_evaluate", "train_step"]


def train_and_evaluate(
    config: ConfigDict, workdir: str | Path, *, overwrite: bool = False
) -> dict[str, Any]:
    """A run: trains the network of a config and tests it after every epoch.

    Args:
      config: what to do; see configs/default.py.
      workdir: where to write; see writers.RunWriter.
      overwrite: whether to replace a run that the workdir holds.

    Returns:
      The content of summary.json.

    Raises:
      UserError: the config, the data or the workdir cannot be used. Nothing was written.
      TrainingError: the loss of a step was not finite. The epochs before it are on record.
    """
    begin = time.perf_counter()
    config_lib.validate(config)
    splits = [
        input_pipeline.load(name, config.data_dir, config.dataset)
        for name in (config.train_split, config.test_split)
    ]
    num_train, num_test = (len(split.labels) for split in splits)
    config_lib.check_batch_size(config, num_train)
    writer = RunWriter(
        Path(workdir),
        config,
        steps_per_epoch=-(-num_train // config.batch_size),
        num_test=num_test,
        overwrite=overwrite,
    )
    writer.model_table(model_table(create_model(config)))

    programs = Programs(config, *jax.device_put(splits))
    root = jax.random.key(config.seed)
    state = programs.create(jax.random.fold_in(root, 0))
    num_params = models.count_params(state.params)
    for number in range(1, config.num_epochs + 1):
        epoch_begin = time.perf_counter()
        with writer.epoch_bar(number) as bar:
            epoch = programs.train_epoch(
                state, root, number, bar if writer.wants_progress else None
            )
            _wait(epoch.last_loss)
        train_end = time.perf_counter()
        state = epoch.train
        tested = jax.block_until_ready(programs.evaluate(state))
        test_end = time.perf_counter()
        step, learning_rate, first_non_finite, trained, tested = jax.device_get(
            (state.step, epoch.learning_rate, epoch.first_non_finite, epoch.metrics, tested)
        )
        if first_non_finite != NO_STEP:
            raise TrainingError(
                f"the loss of step {first_non_finite} (epoch {number}) is not finite; "
                "try a smaller config.learning_rate"
            )
        train_metrics, test_metrics = trained.compute(), tested.compute()
        writer.epoch(
            {
                "epoch": number,
                "step": int(step),
                # The shortest number that is this float32: 0.001, not 0.0010000000474974513.
                "learning_rate": float(str(learning_rate)),
                "train_loss": float(train_metrics["loss"]),
                "train_accuracy": float(train_metrics["accuracy"]),
                "test_loss": float(test_metrics["loss"]),
                "test_accuracy": float(test_metrics["accuracy"]),
                "train_seconds": train_end - epoch_begin,
                "test_seconds": test_end - train_end,
                "images_per_second": num_train / (train_end - epoch_begin),
            }
        )
    return writer.close(
        params=num_params,
        total_seconds=time.perf_counter() - begin,
        compile_seconds=programs.seconds,
        backend=jax.default_backend(),
        device_count=jax.device_count(),
    )


def _wait(array: jax.Array) -> None:
    """Waits for an array; unlike block_until_ready, it lets Ctrl-C through at once."""
    while not array.is_ready():  # type: ignore[attr-defined]
        time.sleep(0.002)
