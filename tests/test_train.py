"""A run from config to summary, in this process."""

import errno
import itertools
import json
import os
import shutil
import time
from contextlib import nullcontext
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import pictures, quick_runs
from helpers.idx_files import flipped

from mnist_flax import architecture, train
from mnist_flax import config as config_lib
from mnist_flax.errors import TrainingError, UserError
from mnist_flax.programs import Programs
from mnist_flax.runs import checkpoints, files


@pytest.fixture(autouse=True)
def _quick_runs(request):
    """Runs of the same config share their programs, unless the test says that they do not."""
    with nullcontext() if "made_alone" in request.fixturenames else quick_runs.sharing():
        yield


@pytest.fixture
def made_alone():
    """Each run makes its own programs, and pictures unless they are left out."""


def small_config(data_dir):
    config = config_lib.load(config_lib.default_path())
    config.data_dir = str(data_dir)
    config.train_split, config.test_split = "train[:200]", "test[:100]"
    config.model.architecture = "4"  # It is compiled and saved soon.
    config.num_epochs = 2
    return config


@pytest.fixture
def config(data_dir):
    return small_config(data_dir)


def content(folder):
    return {
        str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")
    }


def read_metrics(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.usefixtures("made_alone")
def test_a_run_writes_its_contract(config, tmp_path, capsys):
    config.model.architecture = architecture.DEFAULT
    summary = train.train_and_evaluate(config, tmp_path)
    assert summary == json.loads((tmp_path / "summary.json").read_text())
    assert summary["params"] == 19_114
    assert summary["epochs"] == 2
    assert 0 < summary["compile_seconds"] < summary["total_seconds"]
    assert summary["config"]["train_split"] == "train[:200]"
    metrics = read_metrics(tmp_path)
    assert [(m["epoch"], m["step"], m["learning_rate"]) for m in metrics] == [
        (1, 2, 0.001),
        (2, 4, 0.001),
    ]
    assert metrics[-1]["test_accuracy"] == summary["final_test_accuracy"]
    assert "19,114" in capsys.readouterr().out
    (events,) = tmp_path.glob("events.out.tfevents.*")
    assert b"augmentations" in events.read_bytes()


def figures(workdir):
    """What is in metrics.jsonl but for the times."""
    timed = ("seconds", "per_second")
    return [
        {key: value for key, value in m.items() if not key.endswith(timed)}
        for m in read_metrics(workdir)
    ]


def final_state(config, workdir):
    create = partial(train.create_train_state, config=config, num_images=200)
    like = jax.eval_shape(create, jax.random.key(0))
    return checkpoints.load(workdir, config.num_epochs, config, like).state


def assert_same_run(config, *workdirs):
    """Same figures, and the same state at the end, bit for bit."""
    first, second = workdirs
    assert figures(first) == figures(second)
    states = [final_state(config, workdir) for workdir in workdirs]
    jax.tree.map(np.testing.assert_array_equal, *states)


@pytest.mark.usefixtures("made_alone")
def test_a_seed_gives_the_same_run_bit_for_bit(config, tmp_path):
    config.model.architecture = architecture.DEFAULT
    for name in ("first", "again"):
        with pictures.one_picture():
            train.train_and_evaluate(config, tmp_path / name)
    assert_same_run(config, tmp_path / "first", tmp_path / "again")
    config.seed = 1
    with quick_runs.sharing():
        train.train_and_evaluate(config, tmp_path / "other")
    assert figures(tmp_path / "first") != figures(tmp_path / "other")


@pytest.fixture(scope="module")
def whole(data_dir, tmp_path_factory):
    """The config of a run of three epochs, and the folder of it, never interrupted."""
    config = small_config(data_dir)
    config.num_epochs = 3
    workdir = tmp_path_factory.mktemp("whole")
    with quick_runs.sharing():
        train.train_and_evaluate(config, workdir)
    return config, workdir


@pytest.fixture
def stop(monkeypatch):
    """Stops a run at one of its writes: the disk is full. A kill would leave the same files.

    The function gets the module, the name of a function in it, and at which call of that; it
    returns when the run has been stopped before that call.
    """

    def stop(module, name, call, config, workdir):
        function, calls = getattr(module, name), []

        def stopped(*args, **kwargs):
            calls.append(args)
            if len(calls) == call:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return function(*args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(module, name, stopped)
            with pytest.raises(OSError, match="No space left"):
                train.train_and_evaluate(config, workdir, resume=True)

    return stop


@pytest.mark.parametrize(
    ("module", "name", "call", "epochs"),
    [
        (checkpoints, "save", 1, 0),
        (checkpoints.ocp, "save", 2, 1),
        # The checkpoint is there, and its line in metrics.jsonl is not.
        (files, "append", 1, 1),
        # The line is there, and its events for TensorBoard are not.
        (files, "append", 4, 2),
        # After the last epoch, before summary.json.
        (files, "replace", 4, 3),
    ],
)
def test_a_resumed_run_is_the_one_never_interrupted(
    whole, tmp_path, stop, capsys, module, name, call, epochs
):
    config, workdir = whole
    stop(module, name, call, config, tmp_path)
    recorded = read_metrics(tmp_path)
    capsys.readouterr()
    summary = train.train_and_evaluate(config, tmp_path, resume=True)
    assert summary["epochs"] == 3
    assert_same_run(config, workdir, tmp_path)
    # What was on record stays, with its times.
    assert read_metrics(tmp_path)[: len(recorded)] == recorded
    assert (f"Resumed after epoch {epochs}." in capsys.readouterr().out) == (epochs > 0)
    names = {path.name for path in tmp_path.iterdir()}
    (events,) = (name for name in names if name.startswith("events.out.tfevents."))
    assert names == {
        *("config.json", "metrics.jsonl", "summary.json", "curves.png", "checkpoints"),
        events,
    }


@pytest.mark.parametrize("end", ['{"epoch": 2}\n{"epoch": 3}\n', '{"epoch": 2, "st', ""])
def test_metrics_are_what_the_checkpoint_says(whole, tmp_path, stop, end):
    config, workdir = whole
    stop(files, "append", 3, config, tmp_path)
    first = (tmp_path / "metrics.jsonl").read_text()
    (tmp_path / "metrics.jsonl").write_text(first + end if end else "")
    train.train_and_evaluate(config, tmp_path, resume=True)
    assert_same_run(config, workdir, tmp_path)


def test_a_damaged_checkpoint_costs_one_epoch(whole, tmp_path, capsys):
    config, workdir = whole
    shutil.copytree(workdir, tmp_path, dirs_exist_ok=True)
    (manifest,) = (tmp_path / "checkpoints" / "3" / "state").glob("manifest*")
    manifest.write_bytes(flipped(manifest.read_bytes(), 20))
    train.train_and_evaluate(config, tmp_path, resume=True)
    out, err = capsys.readouterr()
    assert err.startswith(f"warning: the checkpoint {tmp_path}/checkpoints/3 is damaged")
    assert "\nResumed after epoch 2.\n" in out
    assert_same_run(config, workdir, tmp_path)


@pytest.mark.parametrize("lost", ["damaged", "removed"])
def test_a_run_without_a_good_checkpoint_is_left_alone(whole, tmp_path, lost):
    config, workdir = whole
    shutil.copytree(workdir, tmp_path, dirs_exist_ok=True)
    for path in (tmp_path / "checkpoints").iterdir():
        (path / "SHA256SUMS").unlink() if lost == "damaged" else shutil.rmtree(path)
    before = content(tmp_path)
    message = "has no good checkpoint" if lost == "damaged" else "has 3 epochs on record and no"
    with pytest.raises(UserError, match=f"{message}.*--overwrite"):
        train.train_and_evaluate(config, tmp_path, resume=True)
    assert content(tmp_path) == before


def test_a_clock_that_goes_back_changes_nothing(whole, tmp_path, stop, monkeypatch):
    config, workdir = whole
    # A day earlier at every look, and before 1970 in the end.
    clock = itertools.count(3 * 86_400, -86_400)
    monkeypatch.setattr(time, "time", lambda: float(next(clock)))
    monkeypatch.setattr(time, "time_ns", lambda: next(clock) * 10**9)
    stop(files, "append", 3, config, tmp_path)
    summary = train.train_and_evaluate(config, tmp_path, resume=True)
    assert next(clock) < 0
    assert_same_run(config, workdir, tmp_path)
    assert 2 <= len(checkpoints.epochs(tmp_path)) <= 3
    times = [summary["total_seconds"], summary["compile_seconds"]]
    for line in read_metrics(tmp_path):
        times += [line["train_seconds"], line["test_seconds"], line["images_per_second"]]
    assert min(times) > 0


def test_a_second_run_at_the_same_time_is_refused_and_changes_nothing(
    config, tmp_path, monkeypatch
):
    save = checkpoints.save

    def run_again(*args):
        save(*args)
        before = content(tmp_path)
        for flags in ({}, {"resume": True}, {"overwrite": True}):
            with pytest.raises(UserError, match="another process runs in the workdir"):
                train.train_and_evaluate(config, tmp_path, **flags)
        assert content(tmp_path) == before

    monkeypatch.setattr(checkpoints, "save", run_again)
    train.train_and_evaluate(config, tmp_path)
    assert len(read_metrics(tmp_path)) == 2


def test_a_resumed_run_that_had_finished_says_so_again(config, tmp_path):
    first = train.train_and_evaluate(config, tmp_path)
    again = train.train_and_evaluate(config, tmp_path, resume=True)
    same = ("final_test_accuracy", "best_epoch", "epochs")
    assert [first[key] for key in same] == [again[key] for key in same]
    assert len(read_metrics(tmp_path)) == 2


def test_what_a_kill_in_the_last_save_leaves_is_gone_after_a_resume(config, tmp_path):
    train.train_and_evaluate(config, tmp_path)
    folder = tmp_path / "checkpoints"
    shutil.copytree(folder / "1", folder / ".unfinished" / "1-old")
    shutil.copytree(folder / "1", tmp_path / ".checkpoints.removed" / "1")
    train.train_and_evaluate(config, tmp_path, resume=True)
    assert not list(tmp_path.rglob(".*"))
    assert checkpoints.epochs(tmp_path) == [1, 2]


def test_a_run_of_another_config_is_not_resumed(config, tmp_path):
    train.train_and_evaluate(config, tmp_path)
    before = (tmp_path / "summary.json").read_bytes()
    config.batch_size = 64
    with pytest.raises(UserError, match=r"config\.batch_size was 128 and is 64"):
        train.train_and_evaluate(config, tmp_path, resume=True)
    assert (tmp_path / "summary.json").read_bytes() == before


def test_a_finished_run_may_ask_for_more_epochs(whole, tmp_path):
    """By its 'step' schedule the epochs done are those of the longer run."""
    config, workdir = whole
    shorter = config.copy_and_resolve_references()
    shorter.num_epochs = 1
    train.train_and_evaluate(shorter, tmp_path)
    (tmp_path / "report.html").touch()
    train.train_and_evaluate(shorter, tmp_path, resume=True)
    assert (tmp_path / "report.html").exists()
    train.train_and_evaluate(config, tmp_path, resume=True)
    assert_same_run(config, workdir, tmp_path)
    assert not (tmp_path / "report.html").exists()
    with pytest.raises(
        UserError, match=r"num_epochs is 1, and the run in .* has 3 epochs done"
    ):
        train.train_and_evaluate(shorter, tmp_path, resume=True)


def test_a_schedule_by_which_its_epochs_would_have_been_others_says_so(config, tmp_path):
    config.schedule.kind = "cosine"
    config.num_epochs = 1
    train.train_and_evaluate(config, tmp_path)
    config.num_epochs = 2
    message = r"num_epochs was 1 and is 2 \(by this schedule a run of another length has other"
    with pytest.raises(UserError, match=message):
        train.train_and_evaluate(config, tmp_path, resume=True)


def test_splits_that_overlap_are_told(config, capsys):
    config.test_split = "train[190:300]"
    train.load_splits(config)
    assert capsys.readouterr().err == (
        "warning: config.train_split 'train[:200]' and config.test_split 'train[190:300]' have "
        "10 images in common: the test says nothing of new images\n"
    )


def test_overwrite_starts_from_nothing(config, tmp_path):
    train.train_and_evaluate(config, tmp_path)
    with pytest.raises(UserError, match="already holds a run"):
        train.train_and_evaluate(config, tmp_path)
    config.num_epochs = 1
    train.train_and_evaluate(config, tmp_path, overwrite=True)
    assert len(read_metrics(tmp_path)) == 1
    assert checkpoints.epochs(tmp_path) == [1]


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_what_was_written(
    config, tmp_path, monkeypatch
):
    train_epoch = Programs.train_epoch

    def poisoned(self, state, key, epoch, progress):
        if epoch == 2:
            state = state._replace(params=jax.tree.map(lambda x: x * jnp.nan, state.params))
        return train_epoch(self, state, key, epoch, progress)

    monkeypatch.setattr(Programs, "train_epoch", poisoned)
    with pytest.raises(TrainingError, match=r"the loss of step 3 \(epoch 2\) is not finite"):
        train.train_and_evaluate(config, tmp_path)
    assert [m["epoch"] for m in read_metrics(tmp_path)] == [1]
    assert not (tmp_path / "summary.json").exists()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("num_epochs", 0, "config.num_epochs is 0"),
        ("batch_size", 201, "config.batch_size is 201; it must be at most 200"),
        ("train_split", "train[:0]", r"config.train_split 'train\[:0\]' is empty"),
        ("test_split", "test[20000:]", r"config.test_split 'test\[20000:\]' does not exist"),
    ],
)
def test_bad_input_is_answered_before_anything_is_written(
    config, tmp_path, key, value, message
):
    config[key] = value
    with pytest.raises(UserError, match=message):
        train.train_and_evaluate(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
