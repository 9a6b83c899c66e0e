"""The command, as a person types it, on a little of the real data."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from helpers import forks

METRICS = {
    "epoch",
    "step",
    "learning_rate",
    "train_loss",
    "train_accuracy",
    "test_loss",
    "test_accuracy",
    "train_seconds",
    "test_seconds",
    "images_per_second",
}
SUMMARY = {
    "params",
    "epochs",
    "final_test_accuracy",
    "best_test_accuracy",
    "best_epoch",
    "first_epoch_at_target",
    "target_accuracy",
    "total_seconds",
    "compile_seconds",
    "backend",
    "device_count",
    "seed",
    "versions",
    "config",
}
# The same programs in each test: they are compiled once.
SMALL = [
    *("--config.train_split=train[:1280]", "--config.test_split=test[:1000]"),
    "--config.batch_size=64",
]


def run(*arguments, cwd=None, draws=False):
    command = [*forks.python(draws), "-m", "mnist_flax.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)


@pytest.fixture(scope="module")
def finished(data_dir, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run")
    config = Path(__file__).parents[1] / "configs" / "default.py"
    overrides = [*SMALL, "--config.num_epochs=3", "--config.target_accuracy=0.5"]
    argv = ["--config", str(config), "--workdir", str(workdir), *overrides]
    return workdir, run(*argv, draws=True)


def test_the_command_trains(finished):
    workdir, result = finished
    assert result.returncode == 0, result.stderr
    metrics = [
        json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()
    ]
    assert all(set(m) == METRICS for m in metrics)
    assert [m["epoch"] for m in metrics] == [1, 2, 3]
    assert [m["step"] for m in metrics] == [20, 40, 60]
    # It learns: from 2.3, the loss of a guess.
    assert metrics[-1]["train_loss"] < 2.0
    assert metrics[-1]["train_loss"] < metrics[0]["train_loss"]
    summary = json.loads((workdir / "summary.json").read_text())
    assert set(summary) == SUMMARY
    assert (workdir / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert list(workdir.glob("events.out.tfevents.*"))


def test_what_the_command_prints(finished):
    _, result = finished
    lines = result.stdout.splitlines()
    assert "Total params: 19,114" in lines
    epochs = [line for line in lines if line.startswith("Epoch ")]
    assert len(epochs) == 3
    assert "Test set: Average loss: " in epochs[0]
    assert lines[-1].startswith("Target of 50 % ")
    assert "19,114 parameters" in lines[-1]
    assert result.stderr == ""


def test_a_second_run_in_the_same_workdir_is_refused(finished):
    workdir, _ = finished
    before = (workdir / "metrics.jsonl").read_bytes()
    result = run("--workdir", str(workdir), *SMALL)
    assert result.returncode == 2
    assert "already holds a run" in result.stderr
    assert (workdir / "metrics.jsonl").read_bytes() == before


def test_without_a_workdir_a_fresh_one_is_made_and_named(data_dir, tmp_path):
    result = run(*SMALL, "--config.num_epochs=1", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    (workdir,) = (tmp_path / "runs").iterdir()
    assert f"runs/{workdir.name}" in result.stdout
    assert (workdir / "summary.json").exists()


def test_compiled_programs_are_kept(finished):
    assert list(Path(os.environ["XDG_CACHE_HOME"], "mnist_flax", "xla").iterdir())


def test_ctrl_c_keeps_the_epochs_done(data_dir, tmp_path):
    overrides = [*SMALL, "--config.num_epochs=1000"]
    # A shell starts what it runs in the background with SIGINT ignored; a fork has it as usual.
    command = [*forks.python(), "-m", "mnist_flax.main", "--workdir", str(tmp_path), *overrides]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as p:
        # Each line is printed once the epoch is on record; the next epoch is under way.
        next(line for line in p.stdout if line.startswith("Epoch 2"))
        p.send_signal(signal.SIGINT)
        _, stderr = p.communicate(timeout=300)
    assert p.returncode == 130
    epochs = [json.loads(x)["epoch"] for x in (tmp_path / "metrics.jsonl").open()]
    assert epochs[:2] == [1, 2]
    assert stderr == f"interrupted: epochs done: {len(epochs)}, in {tmp_path}\n"
    assert not (tmp_path / "summary.json").exists()


def test_a_killed_run_resumes_to_the_same_end(finished, tmp_path):
    whole, _ = finished
    overrides = [*SMALL, "--config.num_epochs=3", "--config.target_accuracy=0.5"]
    arguments = ["--workdir", str(tmp_path), "--resume", *overrides]
    command = [*forks.python(), "-m", "mnist_flax.main", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        next(line for line in process.stdout if line.startswith("Epoch 2"))
        process.kill()
    assert not (tmp_path / "summary.json").exists()
    result = run(*arguments)
    assert result.returncode == 0, result.stderr
    assert any(line.startswith("Resumed after epoch ") for line in result.stdout.splitlines())

    def figures(workdir):
        lines = [json.loads(x) for x in (workdir / "metrics.jsonl").open()]
        return [[line[key] for key in ("epoch", "train_loss", "test_loss")] for line in lines]

    assert figures(tmp_path) == figures(whole)
