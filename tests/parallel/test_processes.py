"""Two processes that train one network, and what happens when one of them is gone."""

import json
import os
import signal
import socket
import subprocess
from pathlib import Path
from typing import NamedTuple

import jax
import pytest
from helpers import forks

from mnist_flax import main
from mnist_flax.errors import TrainingError
from mnist_flax.parallel import processes

EPOCHS = ["--config.num_epochs=3"]
# 10 batches of 128 and one of 96, and a network that is compiled soon.
SMALL = [
    *("--config.train_split=train[:1376]", "--config.test_split=test[:1001]"),
    "--config.model.architecture=4 pool 8k1",
]


def free_port():
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return listener.getsockname()[1]


def start(number, port, *arguments, count=2):
    command = [
        *(*forks.python(), "-m", "mnist_flax.main", *SMALL, *map(str, arguments)),
        *(f"--coordinator=localhost:{port}", f"--processes={count}", f"--process={number}"),
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(*arguments, others=()):
    """Both processes to their end: [status, stdout, stderr] of each."""
    port = free_port()
    both = [start(number, port, *arguments, *others[:number]) for number in (0, 1)]
    outputs = [process.communicate(timeout=300) for process in both]
    return [(p.returncode, *output) for p, output in zip(both, outputs, strict=True)]


def error_in(err):
    """What the line with the error says. JAX's threads write their own lines around it."""
    begin = "error: "
    (line,) = [line for line in err.splitlines() if line.startswith(begin)]
    return line.removeprefix(begin)


def figures(workdir):
    """The lines of metrics.jsonl, but for the times."""
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return [
        {key: value for key, value in json.loads(line).items() if "second" not in key}
        for line in lines
    ]


def wait_for(process, words):
    """Reads what a process prints, up to a line that begins so; returns all of it."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith(words):
            break
    return "".join(lines)


class Finished(NamedTuple):
    """A run that has ended, and a process too many that came when its first epoch was over.

    Attributes:
      workdir: its folder. Not to be changed.
      ends: [status, stdout, stderr] of each of its processes.
      late: the same of the one too many.
    """

    workdir: Path
    ends: list[tuple[int, str, str]]
    late: tuple[int, str, str]


@pytest.fixture(scope="module")
def finished(data_dir, tmp_path_factory):
    workdir, port = tmp_path_factory.mktemp("runs") / "run", free_port()
    flags = ("--workdir", workdir, *EPOCHS)
    both = [start(number, port, *flags) for number in (0, 1)]
    begin = wait_for(both[0], "Epoch 1")
    late = start(1, port, *flags)
    # It would be an abort of all if JAX had met it.
    ends = [(*process.communicate(timeout=300), process) for process in (*both, late)]
    first, *others = [(process.returncode, out, err) for out, err, process in ends]
    first = (first[0], begin + first[1], first[2])
    return Finished(workdir, [first, *others[:1]], others[1])


@pytest.mark.slow
def test_two_processes_train_and_one_writes(finished):
    workdir, ((status, out, err), (other_status, other_out, other_err)), _ = finished
    assert status == 0, err
    assert other_status == 0, other_err
    assert "Epoch 3  Train: Loss=" in out
    assert "Epoch" not in other_out
    summary = json.loads((workdir / "summary.json").read_text())
    assert summary["device_count"] == 2
    assert len(figures(workdir)) == 3
    assert {path.name for path in (workdir / "checkpoints").iterdir()} >= {"2", "3"}


@pytest.mark.slow
def test_two_processes_compute_what_one_does(finished, tmp_path):
    workdir = tmp_path / "alone"
    command = [*forks.python(), "-m", "mnist_flax.main", *SMALL, "--config.num_epochs=3"]
    subprocess.run([*command, "--workdir", workdir], check=True, capture_output=True)
    for one, two in zip(figures(workdir), figures(finished.workdir), strict=True):
        assert two["step"] == one["step"]
        assert two["train_loss"] == pytest.approx(one["train_loss"], rel=1e-3)
        assert two["train_accuracy"] == pytest.approx(one["train_accuracy"], abs=5e-3)


@pytest.fixture
def after_one_epoch(finished, tmp_path):
    """Two processes in the middle of the same run, and its workdir."""
    port, workdir = free_port(), tmp_path / "run"
    both = [start(number, port, "--workdir", workdir, *EPOCHS) for number in (0, 1)]
    wait_for(both[0], "Epoch 1")
    yield both, workdir
    for process in both:
        process.kill()
        process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("gone", [1, pytest.param(0, marks=pytest.mark.long)])
def test_a_process_that_is_killed_stops_the_other_and_the_run_resumes(
    finished, after_one_epoch, gone
):
    both, workdir = after_one_epoch
    both[gone].send_signal(signal.SIGKILL)
    other = both[1 - gone]
    # It fails here if the other one goes on waiting.
    _, err = other.communicate(timeout=300)
    # In the middle of a save it is JAX that ends it, which says so in its own words.
    assert other.returncode in (1, -signal.SIGABRT)
    if other.returncode == 1:
        assert error_in(err).startswith("another process of this run has stopped")
        assert "--resume" in error_in(err)
    for status, _, err in run("--workdir", workdir, *EPOCHS, "--resume"):
        assert status == 0, err
    assert figures(workdir) == figures(finished.workdir)


@pytest.mark.slow
def test_sigterm_ends_each_process(after_one_epoch):
    both, workdir = after_one_epoch
    for process in both:
        process.send_signal(signal.SIGTERM)
    outputs = [process.communicate(timeout=300) for process in both]
    assert f"epochs done: {len(figures(workdir))}, in {workdir}" in outputs[0][1]
    assert both[0].returncode == 143
    # The first may have been gone before the second had its answer.
    assert both[1].returncode in (143, 1, -signal.SIGABRT)


@pytest.mark.slow
def test_bad_data_on_one_of_them(data_dir, tmp_path):
    workdir, empty = tmp_path / "run", tmp_path / "file"
    empty.write_text("no folder")
    first, second = run("--workdir", workdir, others=[f"--config.data_dir={empty}"])
    assert first[0] == second[0] == 2
    assert "another process of this run has bad input" in error_in(first[2])
    assert str(empty) in error_in(second[2])
    assert not workdir.exists()


@pytest.mark.slow
def test_bad_input_is_said_by_both(finished):
    workdir = finished.workdir
    before = {path: path.stat().st_mtime_ns for path in workdir.rglob("*")}
    for status, _, err in run("--workdir", workdir):
        assert status == 2
        assert "already holds a run" in error_in(err)
    assert {path: path.stat().st_mtime_ns for path in workdir.rglob("*")} == before


@pytest.mark.slow
def test_another_config_on_the_second(data_dir, tmp_path):
    workdir = tmp_path / "run"
    first, second = run("--workdir", workdir, others=["--config.seed=7"])
    assert first[0] == second[0] == 2
    assert "another process of this run has bad input" in error_in(first[2])
    assert "config.seed is 7 and on the first process 0" in error_in(second[2])
    assert not workdir.exists()


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1])
def test_others_that_never_come(monkeypatch, data_dir, tmp_path, number):
    code = (
        "from mnist_flax import main; from mnist_flax.cli import exit_status; "
        "from mnist_flax.parallel import processes; "
        "processes._START_SECONDS = 5; exit_status.entry(main.main)"
    )
    port = free_port()
    flags = [f"--coordinator=localhost:{port}", "--processes=2", f"--process={number}"]
    workdir = tmp_path / "run"
    result = subprocess.run(
        [*forks.python(), "-c", code, *flags, "--workdir", workdir],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert result.returncode == 2, result.stderr
    missing = ["process 1 of 2 did not come", f"process 0 is not at localhost:{port}"][number]
    assert f"did not meet: {missing}" in error_in(result.stderr)
    assert not workdir.exists()


@pytest.mark.slow
def test_one_too_many_that_comes_late(finished):
    """The run goes on. Its figures are those of runs that nobody joined, in the tests above."""
    status, _, err = finished.late
    assert status == 2
    assert "perhaps their run has begun without this one" in err
    assert err.count("\n") == 1
    for status, _, err in finished.ends:
        assert status == 0, err


def test_the_time_to_meet_is_less_than_a_minute():
    assert processes._START_SECONDS < 60
    assert processes._SILENCE_SECONDS < 60


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--coordinator=host:1"], "--processes=N and --process=I"),
        (["--coordinator=host", "--processes=2", "--process=0"], "HOST:PORT"),
        (
            ["--coordinator=host:1", "--processes=2", "--process=2"],
            "does not fit --processes=2",
        ),
        (["--coordinator=auto", "--processes=2"], "go with --coordinator=HOST:PORT"),
        (["--process=1"], "go with --coordinator=HOST:PORT"),
        (
            ["--coordinator=host:1", "--processes=0", "--process=0"],
            "--processes is 0; it must be at least 1",
        ),
    ],
)
def test_flags_that_do_not_go_together(capsys, tmp_path, flags, words):
    assert main.main([*flags, "--workdir", str(tmp_path / "run")]) == 2
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1
    assert not os.listdir(tmp_path)


def test_alone_there_is_nobody_to_tell():
    assert processes.is_first()
    value = object()
    assert processes.told_by_first(lambda: value) is value


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("UNAVAILABLE: heartbeat", TrainingError),
        ("RESOURCE_EXHAUSTED: Out of memory", jax.errors.JaxRuntimeError),
    ],
)
def test_too_little_memory_here_is_not_another_process_gone(
    monkeypatch, words, expected
) -> None:
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(expected, match=words), processes.together():
        raise jax.errors.JaxRuntimeError(words)
