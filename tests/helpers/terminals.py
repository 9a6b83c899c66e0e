"""Runs a program on a terminal, and reads what a person sees there."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import mnist_flax


class Seen(NamedTuple):
    """What a program wrote.

    Attributes:
      status: its exit status.
      screen: the lines that stay on the terminal.
      drawn: every line that was there for a while, in its order, those that stay included.
      raw: what was sent to the terminal.
      out: stdout, if that was no terminal.
    """

    status: int
    screen: list[str]
    drawn: list[str]
    raw: str
    out: str


def run_on_terminal(
    argv: Sequence[str],
    columns: int = 80,
    *,
    stdout_too: bool = True,
    cwd: Path | None = None,
    **environment: str,
) -> Seen:
    """Runs Python with stderr, and stdout unless said otherwise, on a terminal.

    Args:
      argv: arguments of the interpreter.
      columns: width of the terminal.
      stdout_too: False: stdout is a pipe.
      cwd: the folder to run it in.
      **environment: variables to set; progress is on.
    """
    source = str(Path(mnist_flax.__file__).parents[1])
    env = {**os.environ, "PYTHONPATH": source, "PYTHONIOENCODING": "utf-8", "TERM": "xterm"}
    for name in ("COLUMNS", "TQDM_DISABLE"):
        env.pop(name, None)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, *argv],
        stdin=theirs,
        stdout=theirs if stdout_too else subprocess.PIPE,
        stderr=theirs,
        cwd=cwd,
        env=env | environment,
    )
    os.close(theirs)
    data = b""
    while part := _read(ours):
        data += part
    out = b"" if stdout_too else process.communicate()[0]
    os.close(ours)
    raw = data.decode()
    screen, drawn = _screen(raw)
    return Seen(process.wait(), screen, drawn, raw, out.decode())


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # Linux says so when the last writer has closed a terminal.
        return b""


def _screen(raw: str) -> tuple[list[str], list[str]]:
    r"""Plays what a terminal does with '\r' and '\n'; there may be no other control."""
    screen, drawn, line, column = [], [], "", 0
    for character in raw:
        if character in "\r\n":
            if line.strip() and (not drawn or drawn[-1] != line.rstrip()):
                drawn.append(line.rstrip())
            column = 0
            if character == "\n":
                screen.append(line.rstrip())
                line = ""
        else:
            assert character.isprintable(), repr(character)
            line = line[:column].ljust(column) + character + line[column + 1 :]
            column += 1
    return [*screen, line.rstrip()], drawn
