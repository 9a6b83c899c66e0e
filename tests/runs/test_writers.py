"""What a run writes and prints: metrics, terminal, TensorBoard, curves, summary."""

import errno
import io
import itertools
import json
import os
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import numpy as np
import pytest
from ml_collections import ConfigDict
from test_files import full_disk
from test_tensorboard import make_answers, read_events

from mnist_flax import config as config_lib
from mnist_flax.plots import augmentations, curves
from mnist_flax.runs import checkpoints, terminal
from mnist_flax.runs.run import Run

SUMMARY_FIELDS = [
    *("params", "epochs", "final_test_accuracy", "best_test_accuracy", "best_epoch"),
    *("first_epoch_at_target", "target_accuracy", "total_seconds", "compile_seconds"),
    *("backend", "device_count", "seed", "versions", "config"),
]


@pytest.fixture
def config() -> ConfigDict:
    return config_lib.load(config_lib.default_path())


@pytest.fixture(autouse=True)
def _no_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves the states of these runs unsaved: there are none."""
    monkeypatch.setattr(checkpoints, "save", lambda *args: None)


def make_record(epoch: int, test_accuracy: float, **fields: Any) -> dict[str, Any]:
    return {
        "epoch": epoch,
        "step": 469 * epoch,
        "learning_rate": 0.001,
        "train_loss": 0.05,
        "train_accuracy": 0.9875,
        "test_loss": 0.0165,
        "test_accuracy": test_accuracy,
        "train_seconds": 24.0,
        "test_seconds": 1.0,
        "images_per_second": 2500.0,
        **fields,
    }


def begin_run(workdir: Path, config: ConfigDict, num_test: int = 10_000) -> Run:
    run = Run(workdir, config, None, overwrite=False)
    image = np.zeros((28, 28), np.uint8)
    run.begin(model_table="the table", num_train=60_000, num_test=num_test, example=image)
    return run


def finish_run(run: Run, num_test: int = 10_000) -> dict[str, Any]:
    return run.finish(
        params=19_114,
        num_test=num_test,
        answers=make_answers,
        compile_seconds=7.5,
        backend="cpu",
        device_count=1,
    )


def write_run(workdir: Path, config: ConfigDict, accuracies: list[float]) -> dict[str, Any]:
    run = begin_run(workdir, config)
    for epoch, accuracy in enumerate(accuracies, 1):
        run.save(None, make_record(epoch, accuracy))
    return finish_run(run)


def test_of_equal_epochs_the_first_is_the_best(tmp_path: Path, config: ConfigDict) -> None:
    assert write_run(tmp_path, config, [0.98, 0.99, 0.99])["best_epoch"] == 2


def test_files_of_a_run(tmp_path: Path, config: ConfigDict) -> None:
    summary = write_run(tmp_path, config, [0.9768, 0.9941, 0.9950, 0.9949])

    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        make_record(epoch, accuracy)
        for epoch, accuracy in enumerate([0.9768, 0.9941, 0.9950, 0.9949], 1)
    ]
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    assert list(summary) == SUMMARY_FIELDS
    assert summary["epochs"] == 4
    assert summary["final_test_accuracy"] == 0.9949
    assert (summary["best_test_accuracy"], summary["best_epoch"]) == (0.9950, 3)
    assert summary["first_epoch_at_target"] == 2
    assert summary["target_accuracy"] == 0.994
    assert summary["config"] == config.to_dict()
    assert {"mnist_flax", "python", "jax", "flax", "optax"} <= summary["versions"].keys()
    assert json.loads((tmp_path / "config.json").read_text()) == config.to_dict()
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")

    (events_file,) = tmp_path.glob("events.out.tfevents.*")
    version, text, *scalars = read_events(events_file.read_bytes())
    assert version.file_version
    assert b"| augment.crop_size | 22 |" in text.summary.value[0].tensor.string_val[0]
    accuracies = [
        (event.step, round(value.simple_value, 4))
        for event in scalars
        for value in event.summary.value
        if value.tag == "test/accuracy"
    ]
    assert accuracies == [(469, 0.9768), (938, 0.9941), (1407, 0.9950), (1876, 0.9949)]
    assert len(list(tmp_path.iterdir())) == 5


def test_every_epoch_is_on_disk_when_it_ends(tmp_path: Path, config: ConfigDict) -> None:
    run = begin_run(tmp_path, config)
    for epoch in (1, 2):
        run.save(None, make_record(epoch, 0.99))
        lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
        assert [json.loads(line)["epoch"] for line in lines] == list(range(1, epoch + 1))
    assert run.history == [make_record(1, 0.99), make_record(2, 0.99)]
    assert not (tmp_path / "summary.json").exists()


def test_lines_in_a_pipe(
    tmp_path: Path,
    config: ConfigDict,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("time.perf_counter", iter([1000.0, 1552.4]).__next__)
    write_run(tmp_path, config, [0.9768, 0.9941])
    out, err = capsys.readouterr()
    assert err == ""
    assert out.splitlines() == [
        f"Workdir: {tmp_path}",
        "the table",
        "Device: cpu",
        "Epoch 1  Train: Loss=0.0500 Accuracy=98.75  "
        "Test set: Average loss: 0.0165, Accuracy: 9768/10000 (97.68%)  25.0 s",
        "About 8 min left for the other 19 epochs.",
        "Epoch 2  Train: Loss=0.0500 Accuracy=98.75  "
        "Test set: Average loss: 0.0165, Accuracy: 9941/10000 (99.41%)  25.0 s",
        f"Results: {tmp_path} (summary.json, metrics.jsonl, curves.png, TensorBoard)",
        "Target of 99.4 % met at epoch 2: best 99.41 % at epoch 2, final 99.41 %; "
        "19,114 parameters, 9 min 12 s.",
    ]


class Live(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


def print_on(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts a stream in the place of stdout, and turns progress on."""
    monkeypatch.delenv("TQDM_DISABLE")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stdout", stream)


@pytest.mark.parametrize(
    ("columns", "first", "second"),
    [
        (
            120,
            r"Train: Loss=0\.0033 Batch_id=468 Accuracy=99\.21: 100%\|#+\| "
            r"469/469 \[\d\d:\d\d<00:00, .*it/s\]",
            r"Train: Loss=0\.0033 Batch_id=234 Accuracy=75\.00:  50%\|#+5? +\| "
            r"235/469 \[\d\d:\d\d<\d\d:\d\d, .*it/s, 07:42 left\]",
        ),
        (
            80,
            r"Train: Loss=0\.0033 Accuracy=99\.21: 100%\|#+\| "
            r"469/469 \[\d\d:\d\d<00:00, .*it/s\]",
            r"Train: Loss=0\.0033 Accuracy=75\.00:  50%\|#+5? *\| "
            r"235/469 \[\d\d:\d\d<\d\d:\d\d, 07:42 left\]",
        ),
        (
            40,
            r"100%, Loss=0\.0033 Acc=99\.21",
            r" 50%, 07:42 left, Loss=0\.0033 Acc=75\.00",
        ),
    ],
)
def test_bar_on_a_terminal(
    columns: int,
    first: str,
    second: str,
    tmp_path: Path,
    config: ConfigDict,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    seconds = itertools.count(0.0, 8.0)
    monkeypatch.setattr(terminal, "time", SimpleNamespace(monotonic=lambda: next(seconds)))
    stream = Live()
    print_on(stream, monkeypatch)
    run = begin_run(tmp_path, config)
    with run.progress(1) as progress:
        assert progress is not None
        progress(235, 0.2, 0.75)
        progress(469, 0.0033, 0.9921)
    run.save(None, make_record(1, 0.9949))
    with run.progress(2) as progress:
        assert progress is not None
        progress(235, 0.0033, 0.75)
    # A line that is rewritten is as long as the one before.
    assert all(len(line) < columns for line in re.findall(r"\r([^\r\n]*)", stream.getvalue()))
    lines = [line.rstrip() for line in re.split(r"[\r\n]+", stream.getvalue())]
    begin = lines.index("Epoch 1")
    zero, _, end, test, estimate, head, again, now = lines[begin + 1 : begin + 9]
    assert "0%" in zero
    assert re.fullmatch(first, end)
    assert test == "Test set: Average loss: 0.0165, Accuracy: 9949/10000 (99.49%)"
    # 19 epochs of 25 s; in the middle of the second, 18.5.
    assert estimate == "About 8 min left for the other 19 epochs."
    assert head == "Epoch 2"
    assert "0%" in again
    assert re.fullmatch(second, now)


def test_how_long_the_rest_takes_is_said_once(
    tmp_path: Path, config: ConfigDict, capsys: pytest.CaptureFixture[str]
) -> None:
    config.num_epochs = 3
    saved = checkpoints.Saved(None, [make_record(1, 0.98)])
    run = Run(tmp_path, config, saved, overwrite=False)
    image = np.zeros((28, 28), np.uint8)
    run.begin(model_table="", num_train=60_000, num_test=10_000, example=image)
    for epoch in (2, 3):
        run.save(None, make_record(epoch, 0.99, train_seconds=4000.0))
    out = capsys.readouterr().out
    assert out.count("About ") == 1
    assert "About 67 min left for the last epoch." in out


def test_nothing_is_left_after_the_only_epoch(
    tmp_path: Path, config: ConfigDict, capsys: pytest.CaptureFixture[str]
) -> None:
    config.num_epochs = 1
    write_run(tmp_path, config, [0.99])
    assert "About " not in capsys.readouterr().out


def test_no_bar_in_a_pipe(tmp_path: Path, config: ConfigDict) -> None:
    with begin_run(tmp_path, config).progress(1) as progress:
        assert progress is None


def test_target_is_compared_by_the_count(tmp_path: Path, config: ConfigDict) -> None:
    config.target_accuracy = 0.996
    assert float(np.float32(0.996)) < 0.996
    summary = write_run(tmp_path, config, [np.float32(0.9959), np.float32(0.996)])
    assert summary["first_epoch_at_target"] == 2
    assert summary["final_test_accuracy"] == 0.996


def test_target_not_met(
    tmp_path: Path, config: ConfigDict, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = write_run(tmp_path, config, [0.9939, 0.9931])
    assert summary["first_epoch_at_target"] is None
    assert (
        capsys.readouterr()
        .out.splitlines()[-1]
        .startswith("Target of 99.4 % not met: best 99.39 % at epoch 1, final 99.31 %; 19,114")
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(4.6, "5 s"), (59.6, "1 min 00 s"), (3600.0, "1 h 00 min"), (3725.0, "1 h 02 min")],
)
def test_durations(
    seconds: float,
    text: str,
    tmp_path: Path,
    config: ConfigDict,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("time.perf_counter", iter([1000.0, 1000.0 + seconds]).__next__)
    write_run(tmp_path, config, [1.0])
    assert capsys.readouterr().out.endswith(f"19,114 parameters, {text}.\n")


def test_the_epochs_before_a_resume_count_by_their_own_times(
    tmp_path: Path, config: ConfigDict, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.perf_counter", iter([1000.0, 1010.0]).__next__)
    saved = checkpoints.Saved(None, [make_record(1, 0.98), make_record(2, 0.99)])
    run = Run(tmp_path, config, saved, overwrite=False)
    image = np.zeros((28, 28), np.uint8)
    run.begin(model_table="", num_train=60_000, num_test=10_000, example=image)
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 2
    assert finish_run(run)["total_seconds"] == pytest.approx(60.0)


def test_what_json_has_no_number_for_is_null(
    tmp_path: Path, config: ConfigDict, capsys: pytest.CaptureFixture[str]
) -> None:
    run = begin_run(tmp_path, config)
    run.save(None, make_record(1, 0.5, test_loss=float("nan"), train_loss=np.float32("inf")))

    def refuse(constant: str) -> NoReturn:
        raise AssertionError(constant)

    line = (tmp_path / "metrics.jsonl").read_text()
    assert json.loads(line, parse_constant=refuse)["test_loss"] is None
    assert json.loads(line, parse_constant=refuse)["train_loss"] is None
    assert "Average loss: nan" in capsys.readouterr().out


def test_full_disk_leaves_whole_lines(tmp_path: Path, config: ConfigDict) -> None:
    run = begin_run(tmp_path, config)

    def save() -> None:
        for epoch in range(1, 20):
            run.save(None, make_record(epoch, 0.99))

    with full_disk(4000), pytest.raises(OSError, match="too large"):
        save()
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    epochs = [json.loads(line)["epoch"] for line in lines]
    assert epochs == list(range(1, len(epochs) + 1))
    assert len(epochs) > 3
    (events_file,) = tmp_path.glob("events.out.tfevents.*")
    assert read_events(events_file.read_bytes())[-1].step == 469 * (len(epochs) - 1)


def test_a_picture_that_cannot_be_drawn_costs_a_warning(
    tmp_path: Path,
    config: ConfigDict,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*args: object, **kwargs: object) -> NoReturn:
        raise RuntimeError("latex could not be found\nand more")

    monkeypatch.setattr(curves, "draw_curves", fail)
    monkeypatch.setattr(augmentations, "draw_augmentations", fail)
    summary = write_run(tmp_path, config, [0.9941])
    out, err = capsys.readouterr()
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    assert out.splitlines()[-1].startswith("Target of 99.4 % met at epoch 1")
    warnings = err.splitlines()
    assert [line.partition(" could")[0] for line in warnings] == [
        "warning: TensorBoard's pictures",
        "warning: curves.png",
    ]
    for line in warnings:
        assert "(RuntimeError: latex could not be found and more)" in line
        assert f"python -m mnist_flax.report --workdir {tmp_path} draws" in line


def test_a_new_run_replaces_the_old_one_and_nothing_else(
    tmp_path: Path, config: ConfigDict
) -> None:
    write_run(tmp_path, config, [0.99])
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "other").mkdir()
    begin_run(tmp_path, config)
    assert (tmp_path / "metrics.jsonl").read_bytes() == b""
    (events,) = tmp_path.glob("events.out.tfevents.*")
    after = {path.name for path in tmp_path.iterdir()}
    assert after == {"notes.txt", "other", "config.json", "metrics.jsonl", events.name}


def test_a_terminal_that_is_closed_costs_a_warning(
    tmp_path: Path,
    config: ConfigDict,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Gone(Live):
        def write(self, text: str) -> int:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    run = begin_run(tmp_path, config)
    monkeypatch.setattr(run, "_watched", True)
    monkeypatch.setattr(sys, "stdout", Gone())
    with run.progress(1) as progress:
        assert progress is not None
        progress(469, 0.0033, 0.9921)
    run.save(None, make_record(1, 0.9949))
    finish_run(run)
    assert (tmp_path / "summary.json").exists()
    lines = capsys.readouterr().err.splitlines()
    assert lines
    assert set(lines) == {
        "warning: stdout cannot be written (Input/output error); the run continues"
    }
