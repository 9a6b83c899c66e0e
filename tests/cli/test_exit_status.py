"""Exit statuses, and one line on stderr for each."""

import errno
import os
import runpy
import subprocess
import sys
from collections.abc import Callable

import jax
import numpy as np
import pytest

from mnist_flax.cli import exit_status
from mnist_flax.errors import TrainingError, UserError, WriteError, warn


def run(command: Callable[[], None]) -> int:
    """Runs a command without flags."""
    return exit_status.run([], "", lambda parser: None, lambda args: command())


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (UserError("config.x is 0;\nit must be 1"), 2, "error: config.x is 0; it must be 1"),
        (TrainingError("loss is nan at step 3"), 1, "error: loss is nan at step 3"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (KeyboardInterrupt("epochs done: 3"), 130, "interrupted: epochs done: 3"),
        (
            OSError(errno.ENOSPC, "No space left on device", "runs/a/metrics.jsonl"),
            1,
            "error: No space left on device while writing runs/a/metrics.jsonl",
        ),
        (
            WriteError(errno.EROFS, "Read-only file system", "runs/a/metrics.jsonl"),
            1,
            "error: Read-only file system while writing runs/a/metrics.jsonl",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            1,
            "error: No space left on device while writing stdout",
        ),
    ],
)
def test_one_line_and_a_status(
    error: BaseException, status: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def command() -> None:
        raise error

    assert run(command) == status
    assert capsys.readouterr() == ("", f"{line}\n")


def test_success_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(lambda: None) == 0
    assert capsys.readouterr() == ("", "")


def test_a_name_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    name = "a\x1b[2J\u202e\udcff.png"
    warn(f"{name} is blank")

    def command() -> None:
        raise UserError(f"{name} cannot be read")

    assert run(command) == 2
    out, err = capsys.readouterr()
    safe = r"a\x1b[2J\u202e\udcff.png"
    assert (out, err) == ("", f"warning: {safe} is blank\nerror: {safe} cannot be read\n")


def test_a_device_with_too_little_memory(capsys: pytest.CaptureFixture[str]) -> None:
    def allocate() -> None:
        jax.numpy.zeros(1 << 44).block_until_ready()

    def compile_for_tpu() -> None:
        raise RuntimeError(
            "INTERNAL: in fusion: RESOURCE_EXHAUSTED: Ran\nout of hbm" + "." * 999
        )

    for command, words in (
        (allocate, "Out of memory allocating"),
        (compile_for_tpu, "Ran out"),
    ):
        assert run(command) == 1
        out, err = capsys.readouterr()
        assert out == ""
        (line,) = err.splitlines()
        assert line.startswith(f"error: the device has too little memory ({words}")
        assert "lower config.batch_size" in line
        assert len(line) < 400


def test_a_machine_with_too_little_memory(capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> None:
        np.zeros(1 << 50)

    assert run(command) == 1
    words = "error: this machine has too little memory; end what else uses it\n"
    assert capsys.readouterr() == ("", words)


@pytest.mark.parametrize(
    "error",
    [
        *(ValueError("a bug"), OSError(errno.ENOENT, "not a full disk")),
        RuntimeError("INTERNAL: a bug of XLA"),
    ],
)
def test_an_error_of_the_program_keeps_its_traceback(error: Exception) -> None:
    def command() -> None:
        raise error

    with pytest.raises(type(error)):
        run(command)


def test_a_reader_that_leaves_is_no_traceback() -> None:
    program = """
import sys
from mnist_flax.cli import exit_status
def command(args):
    while True:
        print("x" * 1000)
sys.exit(exit_status.run([], "", lambda parser: None, command))
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.read(10)
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 1


@pytest.mark.parametrize(
    "command", ["main", "evaluate", "export", "report", "predict", "demo", "sweep", "bench"]
)
def test_a_command_run_inside_other_code_ends_that_code_only_by_an_exception(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [command, "--help"])
    # It forgets some variables for good.
    monkeypatch.setattr(os, "environ", dict(os.environ))
    with pytest.raises(SystemExit) as end:
        runpy.run_module(f"mnist_flax.{command}", run_name="__main__")
    assert end.value.code == 0
    assert f"python -m mnist_flax.{command}" in capsys.readouterr().out
