"""What a run writes and prints."""

import io
import json
import re
import sys
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from ml_collections import ConfigDict
from test_files import full_disk
from test_tensorboard import read_events

from mnist_flax import config as config_lib
from mnist_flax.runs.writers import RunWriter, SilentWriter, epochs_on_record

SUMMARY_FIELDS = [
    *("params", "epochs", "final_test_accuracy", "best_test_accuracy", "best_epoch"),
    *("first_epoch_at_target", "target_accuracy", "total_seconds", "compile_seconds"),
    *("backend", "device_count", "seed", "versions", "config"),
]


@pytest.fixture
def config() -> ConfigDict:
    return config_lib.load(config_lib.default_path())


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


def write_run(workdir: Path, config: ConfigDict, accuracies: list[float]) -> dict[str, Any]:
    writer = RunWriter(workdir, config, steps_per_epoch=469, num_test=10_000)
    for epoch, accuracy in enumerate(accuracies, 1):
        with writer.epoch_bar(epoch) as bar:
            bar.update(469, 0.0033, 0.9921)
        writer.epoch(make_record(epoch, accuracy))
    return writer.close(
        params=19_114,
        total_seconds=552.4,
        compile_seconds=7.5,
        backend="cpu",
        device_count=1,
    )


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
    writer = RunWriter(tmp_path, config, steps_per_epoch=469, num_test=10_000)
    for epoch in (1, 2):
        writer.epoch(make_record(epoch, 0.99))
        lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
        assert [json.loads(line)["epoch"] for line in lines] == list(range(1, epoch + 1))
    assert not (tmp_path / "summary.json").exists()


def test_epochs_on_record(tmp_path: Path) -> None:
    assert epochs_on_record(tmp_path) == 0
    # The power failed in the middle of the third line.
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 1}\n{"epoch": 2}\n{"epo')
    assert epochs_on_record(tmp_path) == 2


def test_lines_in_a_pipe(
    tmp_path: Path, config: ConfigDict, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path, config, [0.9768, 0.9941])
    out, err = capsys.readouterr()
    assert err == ""
    assert out.splitlines() == [
        "Epoch 1  Train: Loss=0.0500 Accuracy=98.75  "
        "Test set: Average loss: 0.0165, Accuracy: 9768/10000 (97.68%)  25.0 s",
        "Epoch 2  Train: Loss=0.0500 Accuracy=98.75  "
        "Test set: Average loss: 0.0165, Accuracy: 9941/10000 (99.41%)  25.0 s",
        f"Results: {tmp_path} (summary.json, metrics.jsonl, curves.png, TensorBoard)",
        "Target of 99.4 % met at epoch 2: best 99.41 % at epoch 2, final 99.41 %; "
        "19,114 parameters, 9 min 12 s.",
    ]


@pytest.mark.parametrize(("columns", "batch"), [(100, r"Batch_id=468 "), (80, "")])
def test_bar_on_a_terminal(
    columns: int,
    batch: str,
    tmp_path: Path,
    config: ConfigDict,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("COLUMNS", str(columns))
    writer = RunWriter(tmp_path, config, steps_per_epoch=469, num_test=10_000)
    assert writer.wants_progress
    with writer.epoch_bar(1) as bar:
        bar.update(235, 0.2, 0.75)
        bar.update(469, 0.0033, 0.9921)
    writer.epoch(make_record(1, 0.9949))
    lines = re.split(r"[\r\n]+", sys.stdout.getvalue().strip())
    assert lines[0] == "Epoch 1"
    assert len(lines[-2]) <= columns
    assert re.fullmatch(
        rf"Train: Loss=0\.0033 {batch}Accuracy=99\.21: 100%\|\S+\| "
        r"469/469 \[\d\d:\d\d<00:00, .*",
        lines[-2].strip(),
    )
    assert lines[-1] == "Test set: Average loss: 0.0165, Accuracy: 9949/10000 (99.49%)"


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
    assert capsys.readouterr().out.splitlines()[-1] == (
        "Target of 99.4 % not met: best 99.39 % at epoch 1, final 99.31 %; "
        "19,114 parameters, 9 min 12 s."
    )


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.6, "5 s"), (59.6, "1 min 00 s"), (3725.0, "1 h 02 min")]
)
def test_durations(
    seconds: float,
    text: str,
    tmp_path: Path,
    config: ConfigDict,
    capsys: pytest.CaptureFixture[str],
) -> None:
    writer = RunWriter(tmp_path, config, steps_per_epoch=1, num_test=10)
    writer.epoch(make_record(1, 1.0))
    writer.close(
        params=1, total_seconds=seconds, compile_seconds=0.0, backend="cpu", device_count=1
    )
    assert capsys.readouterr().out.endswith(f"1 parameters, {text}.\n")


def test_what_json_has_no_number_for_is_null(
    tmp_path: Path, config: ConfigDict, capsys: pytest.CaptureFixture[str]
) -> None:
    writer = RunWriter(tmp_path, config, steps_per_epoch=469, num_test=10_000)
    record = make_record(1, 0.5, test_loss=float("nan"), train_loss=np.float32("inf"))
    writer.epoch(record)

    def refuse(constant: str) -> NoReturn:
        raise AssertionError(constant)

    line = (tmp_path / "metrics.jsonl").read_text()
    assert json.loads(line, parse_constant=refuse)["test_loss"] is None
    assert json.loads(line, parse_constant=refuse)["train_loss"] is None
    assert "Average loss: nan" in capsys.readouterr().out


def test_what_is_said_is_printed(
    tmp_path: Path, config: ConfigDict, capsys: pytest.CaptureFixture[str]
) -> None:
    RunWriter(tmp_path, config, steps_per_epoch=1, num_test=1).say("the table")
    assert capsys.readouterr().out == "the table\n"


def test_a_process_that_only_computes_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    writer = SilentWriter([{"epoch": 1}], wants_progress=True)
    writer.say("the table")
    with writer.epoch_bar(2) as bar:
        assert bar is None
    writer.epoch({"epoch": 2})
    assert writer.history == [{"epoch": 1}, {"epoch": 2}]
    assert writer.wants_progress
    assert capsys.readouterr() == ("", "")


def test_full_disk_leaves_whole_lines(tmp_path: Path, config: ConfigDict) -> None:
    writer = RunWriter(tmp_path, config, steps_per_epoch=469, num_test=10_000)

    def run() -> None:
        for epoch in range(1, 20):
            writer.epoch(make_record(epoch, 0.99))

    with full_disk(4000), pytest.raises(OSError, match="too large"):
        run()
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    epochs = [json.loads(line)["epoch"] for line in lines]
    assert epochs == list(range(1, len(epochs) + 1))
    assert len(epochs) > 3
    (events_file,) = tmp_path.glob("events.out.tfevents.*")
    assert read_events(events_file.read_bytes())[-1].step == 469 * (len(epochs) - 1)


def test_a_new_run_replaces_the_old_one_and_nothing_else(
    tmp_path: Path, config: ConfigDict
) -> None:
    write_run(tmp_path, config, [0.99])
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "other").mkdir()
    (tmp_path / "report").mkdir()
    # As if a process had been killed while it wrote them.
    (tmp_path / ".summary.json.123.tmp").write_text("{")
    (tmp_path / "report" / ".curves.png.123.tmp").write_text("{")
    RunWriter(tmp_path, config, steps_per_epoch=1, num_test=1)
    assert (tmp_path / "metrics.jsonl").read_bytes() == b""
    (events,) = tmp_path.glob("events.out.tfevents.*")
    after = {path.name for path in tmp_path.iterdir()}
    assert after == {
        *("notes.txt", "other", "report", "config.json", "metrics.jsonl"),
        events.name,
    }
    assert not list((tmp_path / "report").iterdir())
