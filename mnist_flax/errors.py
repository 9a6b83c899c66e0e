"""What can go wrong, and the exit status and the line on stderr that each has."""

import errno
import os
import sys
from collections.abc import Callable
from typing import NoReturn

# A full disk, a quota, a limit on a file's size.
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class UserError(Exception):
    """Bad input: a config value, a file, a folder.

    The message is one line: what was wrong, where, and what to do about it. A command prints
    it without a traceback and exits with status 2.
    """


class TrainingError(Exception):
    """Work that failed by itself: a loss that is no longer a finite number, a failed check.

    The message is one line. A command prints it without a traceback and exits with status 1.
    """


class WriteError(OSError):
    """A file of a run that cannot be written: a full disk, one that broke, or is read-only.

    It names the file. A command prints one line without a traceback and exits with status 1.
    """


def warn(line: str) -> None:
    """Prints a warning on stderr, in one line whatever it holds."""
    print(_one_line(f"warning: {line}"), file=sys.stderr, flush=True)


def exit_status(command: Callable[[], None]) -> int:
    """Runs a command and answers what the user can understand with one line on stderr.

    Args:
        command: A KeyboardInterrupt that it raises may carry a message.

    Returns:
        0 if the command finished, 2 for bad input, 130 for Ctrl-C, 1 for a run that failed by
        itself, a disk that is full or fails, or a reader of the output who went away
        (`| head`). Whatever else it raises is an error of the program and passes through, with
        its traceback.
    """
    try:
        command()
        sys.stdout.flush()
        return 0
    except UserError as error:
        return _fail(2, f"error: {error}")
    except TrainingError as error:
        return _fail(1, f"error: {error}")
    except KeyboardInterrupt as interrupt:
        return _fail(130, f"interrupted{f': {interrupt}' if str(interrupt) else ''}")
    except BrokenPipeError:
        # What is still buffered has no reader: without this, Python fails once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if not isinstance(error, WriteError) and error.errno not in _NO_SPACE:
            raise
        return _fail(1, f"error: {error.strerror} while writing {error.filename or 'a file'}")


def leave(status: int) -> NoReturn:
    """Ends the process with the status of `exit_status`."""
    if status:
        # The device may still be at what was interrupted, and so may the other processes of a
        # run: a normal exit would wait for them.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def _fail(status: int, message: str) -> int:
    """Prints one line, whatever the message holds."""
    print(_one_line(message), file=sys.stderr)
    return status


def shown(text: str) -> str:
    """A text as a terminal may be given it: what could steer the terminal is escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _one_line(text: str) -> str:
    return shown(" ".join(text.split()))
