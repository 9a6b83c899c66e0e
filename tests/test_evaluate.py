"""The command that evaluates a network: its numbers, its words, and what it refuses."""

import json
import math
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from helpers.refusals import assert_refused
from helpers.trained_runs import WEIGHTS, write_run

from mnist_flax import augment, evaluate, input_pipeline, steps, train
from mnist_flax import config as config_lib
from mnist_flax.trained import weights


def write_evaluable(workdir: Path, data_dir: Path, **fields: Any) -> Path:
    """The folder of a run with trained weights, tested on 500 images."""
    fields = {"test_accuracy": 0.998} | fields
    return write_run(workdir, data_dir=str(data_dir), test_split="test[:500]", **fields)


@pytest.fixture(scope="module")
def workdir(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run. Not to be changed."""
    return write_evaluable(tmp_path_factory.mktemp("evaluate") / "run", data_dir)


def content(folder: Path) -> dict[str, float]:
    return {str(path): path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]}


def evaluated(argv: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """What --json prints."""
    assert evaluate.main([*argv, "--json"]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    record: dict[str, Any] = json.loads(out)
    return record


def test_the_numbers(workdir, data_dir, capsys) -> None:
    """Beside numbers that come straight from the network's logits."""
    before = content(workdir)
    found = evaluated(["--workdir", str(workdir)], capsys)
    assert content(workdir) == before
    test = input_pipeline.load("test[:500]", data_dir)
    config = config_lib.load(config_lib.default_path())
    apply = jax.jit(partial(steps.create_model(config).apply, train=False))
    logits = apply(weights.read(WEIGHTS).variables, augment.normalize(test.images))
    right = np.asarray(logits).argmax(1) == test.labels
    losses = -jax.nn.log_softmax(logits)[np.arange(500), test.labels]
    assert found.pop("loss") == pytest.approx(float(losses.mean()), abs=1e-6)
    assert 0 < found.pop("ece") < 0.02
    low, high = found.pop("accuracy_interval")
    assert (round(low, 4), round(high, 4)) == (0.9888, 0.9996)  # Wilson, for 499 of 500.
    classes = found.pop("per_class")
    assert [row["digit"] for row in classes] == list(range(10))
    for row in classes:
        images = test.labels == row["digit"]
        assert (row["images"], row["correct"]) == (images.sum(), right[images].sum())
        assert row["accuracy"] == row["correct"] / row["images"]
    assert found == {
        "network": str(workdir),
        "epoch": 1,
        "finished": True,
        "split": "test[:500]",
        "images": 500,
        "correct": right.sum(),
        "accuracy": right.mean(),
    }


def test_the_table(workdir, capsys) -> None:
    record = evaluated(["--workdir", str(workdir)], capsys)
    assert evaluate.main(["--workdir", str(workdir)]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    network, images, *rows = captured.out.splitlines()
    assert network == f"Network: {workdir} after epoch 1 of 1"
    assert images == "Test images: 500 (test[:500])"
    cells = dict(row.strip().split("  ", 1) for row in rows)
    low, high = record["accuracy_interval"]
    assert {name: value.strip() for name, value in cells.items()} == {
        "accuracy": "99.80%",
        "95 % interval": f"{low:.2%} to {high:.2%}",
        "right": "499",
        "loss": f"{record['loss']:.4f}",
        "ECE": f"{record['ece']:.2%}",
        **{
            f"digit {row['digit']}": (
                f"{row['accuracy']:.2%} ({row['correct']} of {row['images']})"
            )
            for row in record["per_class"]
        },
    }
    assert len({len(row) for row in rows}) == 1


def test_augmentation_is_beside_the_plain_numbers(workdir, capsys) -> None:
    argv = ["--workdir", str(workdir)]
    plain = evaluated(argv, capsys)
    both = evaluated([*argv, "--tta"], capsys)
    augmented = both.pop("tta")
    assert both == plain
    assert augmented.keys() == plain.keys() - {
        "network", "epoch", "finished", "split", "images",
    }  # fmt: skip
    assert augmented["loss"] != plain["loss"]
    assert evaluate.main([*argv, "--tta"]) == 0
    _, _, head, accuracy, *_ = capsys.readouterr().out.splitlines()
    assert head.split() == ["plain", "with", "TTA"]
    assert accuracy.split() == [
        "accuracy", f"{plain['accuracy']:.2%}", f"{augmented['accuracy']:.2%}",
    ]  # fmt: skip


def test_a_run_and_its_summary_agree(data_dir, tmp_path, capsys) -> None:
    config = config_lib.load(config_lib.default_path())
    config.data_dir, config.num_epochs = str(data_dir), 2
    config.train_split, config.test_split = "train[:200]", "test[:100]"
    summary = train.train_and_evaluate(config, tmp_path)
    capsys.readouterr()
    found = evaluated(["--workdir", str(tmp_path)], capsys)
    assert found["accuracy"] == summary["final_test_accuracy"]
    assert (found["epoch"], found["finished"]) == (2, True)
    last = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])
    assert found["loss"] == pytest.approx(last["test_loss"], rel=1e-5)


def test_another_result_than_the_run_had(data_dir, tmp_path, capsys) -> None:
    run = write_evaluable(tmp_path / "run", data_dir, test_accuracy=0.9)
    assert evaluate.main(["--workdir", str(run)]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        "warning: the run had 450 of 500 right after epoch 1, here it has 499"
    )


def test_a_run_that_never_finished(data_dir, tmp_path, capsys) -> None:
    run = write_evaluable(tmp_path / "run", data_dir, num_epochs=2)
    assert evaluate.main(["--workdir", str(run), "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.err == f"warning: the run in {run} is used as it was after epoch 1 of 2\n"
    assert json.loads(captured.out)["finished"] is False


def test_weights_of_a_file_on_all_test_images(data_dir) -> None:
    """As a person types it; and nothing of TensorFlow or PyTorch is imported."""
    code = (
        "import runpy, sys; sys.argv[0] = 'evaluate'\n"
        "try: runpy.run_module('mnist_flax.evaluate', run_name='__main__')\n"
        "finally: assert not {'tensorflow', 'torch', 'matplotlib'} & set(sys.modules)\n"
    )
    command = [sys.executable, "-c", code, "--weights", str(WEIGHTS), "--json"]
    result = subprocess.run(
        command, capture_output=True, text=True, check=False, env=dict(os.environ)
    )
    assert (result.returncode, result.stderr) == (0, "")
    found = json.loads(result.stdout)
    assert (found["images"], found["accuracy"]) == (10_000, 0.9952)
    assert (found["epoch"], found["finished"]) == (None, True)
    assert sum(row["images"] for row in found["per_class"]) == 10_000


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "give either --workdir, a run, or --weights, a file"),
        (["--workdir=run", "--weights=net.pt"], "give either --workdir"),
        (["--wrkdir", "run"], "unknown flag --wrkdir; did you mean --workdir?"),
        (["run"], "unexpected argument 'run'"),
        (["--workdir", "run"], "run is not the folder of a run: it has no config.json"),
        (["--weights", "net.pt"], "net.pt"),
    ],
)
def test_a_command_line_that_is_wrong(argv, words, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert_refused(evaluate.main, argv, words, capsys)
    assert not list(tmp_path.iterdir())


def test_data_that_is_not_there(data_dir, tmp_path, capsys) -> None:
    run = write_evaluable(tmp_path / "run", data_dir)
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(config | {"test_split": "test[20000:]"}))
    assert evaluate.main(["--workdir", str(run)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_digit_of_which_there_is_no_image(workdir, capsys, monkeypatch) -> None:
    load = input_pipeline.load

    def without_nines(*arguments: Any) -> input_pipeline.Split:
        split = load(*arguments)
        kept = split.labels != 9
        return input_pipeline.Split(split.images[kept], split.labels[kept])

    monkeypatch.setattr(input_pipeline, "load", without_nines)
    found = evaluated(["--workdir", str(workdir)], capsys)
    assert found["per_class"][9] == {"digit": 9, "images": 0, "correct": 0, "accuracy": None}
    assert math.isfinite(found["loss"])
    assert evaluate.main(["--workdir", str(workdir)]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split() == ["digit", "9", "no", "image"]


def test_help(capsys) -> None:
    assert evaluate.main(["--help"]) == 0
    captured = capsys.readouterr()
    for word in ("Examples:", "--workdir", "--weights", "--tta", "--json", "Wilson"):
        assert word in captured.out
    assert captured.err == ""
