"""The errors that a user can understand, and how they are printed: always in one line."""

import sys


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
    """Prints a warning on stderr, in one line whatever it holds."""
    print(one_line(f"warning: {line}"), file=sys.stderr, flush=True)


def printable(text: str) -> str:
    """Escapes whatever in a text could steer a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def one_line(text: str) -> str:
    """Joins the lines of a text and makes it `printable`."""
    return printable(" ".join(text.split()))
