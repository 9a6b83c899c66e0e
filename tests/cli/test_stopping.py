"""Ctrl-C and SIGTERM end a process at once, but for what is to be done in one piece."""

import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mnist_flax.cli import stopping, surroundings

# A shell starts what it runs in the background with SIGINT ignored.
START = """
import hashlib, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
import threading
from mnist_flax.cli import stopping, surroundings
surroundings.whole_process = True
in_one_piece = threading.Lock()
"""
# One call of C that takes minutes: Python's own answer would come after it.
WORK = """
line = lambda number: f"stopped by {number.name},\\n as it should"
with stopping.at_once(line, in_one_piece):
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)
"""


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        process.kill()
        process.communicate()


def start(
    processes: list[subprocess.Popen[str]], program: str, *, stdout: int = subprocess.PIPE
) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", START + program],
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(stopping.__file__).parents[2])},
    )
    processes.append(process)
    if process.stdout is not None:
        assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_in_the_middle_of_a_long_call(
    processes: list[subprocess.Popen[str]], number: signal.Signals, status: int
) -> None:
    process = start(processes, WORK)
    process.send_signal(number)
    assert process.communicate(timeout=60) == (
        "",
        f"stopped by {number.name}, as it should\n",
    )
    assert process.returncode == status


def test_on_a_terminal_the_line_of_the_bar_ends_first(
    processes: list[subprocess.Popen[str]],
) -> None:
    ours, theirs = pty.openpty()
    process = start(processes, WORK, stdout=theirs)
    assert os.read(ours, 5) == b"ready"
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=60)[1] == "\nstopped by SIGTERM, as it should\n"
    os.close(ours)
    os.close(theirs)


def test_what_is_to_be_done_in_one_piece_is_finished(
    processes: list[subprocess.Popen[str]], tmp_path: Path
) -> None:
    program = f"""
with stopping.at_once(lambda number: "stopped", in_one_piece):
    with in_one_piece:
        print("ready", flush=True)
        sys.stdin.readline()
        open({str(tmp_path / "file")!r}, "w").write("whole")
    time.sleep(600)
"""
    process = start(processes, program)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)  # Time for a process that does not wait to be gone.
    assert process.communicate("go on\n", timeout=60) == ("", "stopped\n")
    assert process.returncode == 143
    assert (tmp_path / "file").read_text() == "whole"


def test_a_signal_that_was_ignored_stays_ignored(
    processes: list[subprocess.Popen[str]],
) -> None:
    process = start(processes, "signal.signal(signal.SIGINT, signal.SIG_IGN)" + WORK)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=60)[1] == "stopped by SIGTERM, as it should\n"
    assert process.returncode == 143


def test_it_ends_even_if_there_is_nothing_to_say(
    processes: list[subprocess.Popen[str]],
) -> None:
    process = start(processes, WORK.replace("number.name", "number.nonsense"))
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143


def test_a_process_that_is_not_the_commands_own_is_left_alone() -> None:
    before = [signal.getsignal(number) for number in stopping.SIGNALS]
    threads = threading.active_count()
    with stopping.at_once(lambda number: "", threading.Lock()):
        assert [signal.getsignal(number) for number in stopping.SIGNALS] == before
        assert threading.active_count() == threads


def test_afterwards_all_is_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surroundings, "whole_process", True)
    before = [signal.getsignal(number) for number in stopping.SIGNALS]
    threads = threading.active_count()
    for _ in range(2):
        with stopping.at_once(lambda number: "", threading.Lock()):
            assert threading.active_count() == threads + 1
        assert [signal.getsignal(number) for number in stopping.SIGNALS] == before
        assert signal.set_wakeup_fd(-1) == -1
        assert threading.active_count() == threads
