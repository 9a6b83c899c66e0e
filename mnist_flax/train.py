"""A run, from config to summary."""

import contextlib
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from mnist_flax import config as config_lib
from mnist_flax import input_pipeline, models
from mnist_flax.cli import stopping
from mnist_flax.errors import TrainingError, UserError
from mnist_flax.input_pipeline import SplitError
from mnist_flax.model_table import model_table
from mnist_flax.parallel import processes, sharding
from mnist_flax.parallel.sharding import DeviceSplit
from mnist_flax.programs import NO_STEP, Programs
from mnist_flax.runs import checkpoints, workdirs, writers
from mnist_flax.runs.checkpoints import Saved
from mnist_flax.runs.writers import RunWriter, SilentWriter
from mnist_flax.steps import TrainState, create_model, create_train_state, train_step

__all__ = ["TrainState", "create_train_state", "train_and_evaluate", "train_step"]


def train_and_evaluate(
    config: ConfigDict, workdir: str | Path, *, overwrite: bool = False, resume: bool = False
) -> dict[str, Any]:
    """A run: trains the network of a config and tests it after every epoch.

    On all devices. Where several processes have joined (see `processes`), all have to call it;
    the workdir is the first one's, and only that one writes.

    Args:
      config: what to do; see configs/default.py.
      workdir: where to write; see writers.RunWriter.
      overwrite: whether to replace a run that the workdir holds.
      resume: whether to go on with a run that the workdir holds, after its latest good
        checkpoint. It ends as it would have without the interruption, bit for bit.

    Returns:
      The content of summary.json.

    Raises:
      UserError: the config, the data or the workdir cannot be used, or another process is at
        a run there. No file of a run was written or changed.
      TrainingError: the loss of a step was not finite, or another process of this run has
        stopped. The epochs before are on record.
      WriteError: a file cannot be written. The epochs on record are there to go on from.
    """
    begin = time.perf_counter()
    config_lib.validate(config)
    splits = processes.agree(partial(_load_both, config))
    num_train = splits[0].size
    fields = config_lib.flatten(config)
    processes.check_same("config", {key: fields[key] for key in fields if key != "data_dir"})
    like = jax.eval_shape(
        partial(create_train_state, config=config, num_images=num_train), jax.random.key(0)
    )
    folder = Path(workdir)

    def hold() -> str:
        held.enter_context(workdirs.hold(folder, may_hold_a_run=overwrite or resume))
        if overwrite:
            checkpoints.remove(folder)
        return str(folder.absolute())

    with contextlib.ExitStack() as held, processes.together():
        place = processes.told_by_first(hold)
        if not processes.is_first():
            folder = Path(place)
        saved = processes.agree(partial(checkpoints.load_latest, folder, config, like))
        # On a disk that all see, but not all at the same time.
        processes.check_same("run", {"epochs": len(saved.history) if saved else 0})
        if resume and not saved:
            _check_nothing_on_record(folder)
        return _run(config, folder, splits, saved, begin)


def _run(
    config: ConfigDict,
    workdir: Path,
    splits: list[DeviceSplit],
    saved: Saved | None,
    begin: float,
) -> dict[str, Any]:
    """A run in a folder that is held, from the start or from what was saved.

    `begin` is when it began, by time.perf_counter.
    """
    num_train, num_test = (split.size for split in splits)
    mesh = splits[0].mesh
    root = sharding.replicate(jax.random.key(config.seed), mesh)
    history = saved.history if saved else []
    writer: RunWriter | SilentWriter
    watched = processes.told_by_first(sys.stdout.isatty)
    if processes.is_first():
        # Where the last save was killed after its work, no other one would do it.
        checkpoints.remove_unfinished(workdir)
        writer = RunWriter(
            workdir,
            config,
            steps_per_epoch=-(-num_train // config.batch_size),
            num_test=num_test,
            history=history,
        )
    else:
        writer = SilentWriter(history, watched)
    writer.say(model_table(create_model(config)))
    if saved:
        writer.say(f"Resumed after epoch {len(history)}.")
    writer.say("Compiling: some seconds, and less the next time.")
    train, test = splits
    programs = Programs(config, train, test)
    if saved:
        state = sharding.replicate(saved.state, mesh)
    else:
        state = programs.create(jax.random.fold_in(root, 0))
    earlier = sum(record["train_seconds"] + record["test_seconds"] for record in history)
    for number in range(len(history) + 1, config.num_epochs + 1):
        state, record = _train_and_test(programs, state, root, number, writer)
        record["images_per_second"] = num_train / record["train_seconds"]
        record = writers.plain(record)
        with stopping.in_one_piece:
            # First of all: what is on record is never lost.
            checkpoints.save(workdir, config, state, [*writer.history, record])
            writer.epoch(record)

    def close() -> dict[str, Any]:
        assert isinstance(writer, RunWriter)
        writer.augmentations(np.asarray(splits[0].images.addressable_data(0)[0]))
        return writer.close(
            params=models.count_params(state.params),
            total_seconds=earlier + time.perf_counter() - begin,
            compile_seconds=programs.seconds,
            backend=jax.default_backend(),
            device_count=jax.device_count(),
        )

    summary: dict[str, Any] = processes.told_by_first(close)
    return summary


def _load_both(config: ConfigDict) -> list[DeviceSplit]:
    """The training and the test split, on the devices."""
    mesh = sharding.make_mesh()
    splits = [_load(config, key, mesh) for key in ("train_split", "test_split")]
    config_lib.check_batch_size(config, splits[0].size)
    sharding.check_divisible(config.batch_size, splits[0].size)
    return splits


def _load(config: ConfigDict, key: str, mesh: Mesh) -> DeviceSplit:
    """The split that a field of the config names."""
    try:
        return input_pipeline.load_on_devices(
            config[key], config.data_dir, config.dataset, mesh
        )
    except SplitError as error:
        raise SplitError(f"config.{key} {error}") from None


def _check_nothing_on_record(workdir: Path) -> None:
    """Raises UserError if a run would be begun anew that has lost its checkpoints."""
    epochs = writers.epochs_on_record(workdir)
    if epochs:
        raise UserError(
            f"the run in {workdir} has {epochs} epochs on record and no checkpoint to go on "
            "from; start it anew with --overwrite, or use another --workdir"
        )


def _train_and_test(
    programs: Programs,
    state: TrainState,
    root: jax.Array,
    number: int,
    writer: RunWriter | SilentWriter,
) -> tuple[TrainState, dict[str, Any]]:
    """One epoch: the next state, and all but one of the fields of its line in metrics.jsonl."""
    begin = time.perf_counter()
    with writer.epoch_bar(number) as bar:
        epoch = programs.train_epoch(
            state, root, number, bar if writer.wants_progress else None
        )
        _wait(epoch.last_loss)
    train_end = time.perf_counter()
    state = epoch.train
    test_metrics = jax.block_until_ready(programs.evaluate(state))
    test_end = time.perf_counter()
    step, learning_rate, first_non_finite, train_metrics, test_metrics = jax.device_get(
        (state.step, epoch.learning_rate, epoch.first_non_finite, epoch.metrics, test_metrics)
    )
    if first_non_finite != NO_STEP:
        raise TrainingError(
            f"the loss of step {first_non_finite} (epoch {number}) is not finite; "
            "try a smaller config.learning_rate"
        )
    trained, tested = train_metrics.compute(), test_metrics.compute()
    return state, {
        "epoch": number,
        "step": int(step),
        # The shortest number that is this float32: 0.001, not 0.0010000000474974513.
        "learning_rate": float(str(learning_rate)),
        "train_loss": float(trained["loss"]),
        "train_accuracy": float(trained["accuracy"]),
        "test_loss": float(tested["loss"]),
        "test_accuracy": float(tested["accuracy"]),
        "train_seconds": train_end - begin,
        "test_seconds": test_end - train_end,
    }


def _wait(array: jax.Array) -> None:
    """Waits for an array; unlike block_until_ready, it lets Ctrl-C through at once."""
    while not array.is_ready():  # type: ignore[attr-defined]
        time.sleep(0.002)
