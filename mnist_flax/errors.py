"""The errors that a user can understand, and how they are printed: always in one line."""

import contextlib
import os
import sys
from typing import TextIO


class UserError(Exception):
    """Bad input: a config value, a file, a folder.

    The message is one line: what was wrong, where, and what to do about it. A command prints
    it without a traceback and exits with status 2.
    """


class TrainingError(Exception):
    """Work that failed by itself: a loss that is not finite, a check that failed.

    The message is one line. A command prints it without a traceback and exits with status 1.
    """


class WriteError(OSError):
    """A file of a run that cannot be written: the disk is full, broken or read-only.

    It names the file. A command prints one line without a traceback and exits with status 1.
    """


def warn(line: str) -> None:
    """Prints a warning on stderr, in one line whatever it holds. It never fails."""
    try:
        print(one_line(f"warning: {line}"), file=sys.stderr, flush=True)
    except OSError:
        discard(sys.stderr)


def discard(stream: TextIO) -> None:
    """Sends what a stream still holds, and all that follows, to nowhere.

    A stream keeps what it could not write, and would fail again at exit.
    """
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def printable(text: str) -> str:
    """Escapes whatever in a text could steer a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def one_line(text: str) -> str:
    """Joins the lines of a text and makes it `printable`."""
    return printable(" ".join(text.split()))
