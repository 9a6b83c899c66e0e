"""Runs a command, and turns what went wrong into one line on stderr and an exit status."""

import argparse
import errno
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from mnist_flax.cli import arguments
from mnist_flax.errors import TrainingError, UserError, WriteError, one_line

# A full disk, a quota, a limit on a file's size.
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def run(
    argv: Sequence[str],
    doc: str,
    add_flags: Callable[[arguments.Parser], None],
    command: Callable[[argparse.Namespace], None],
) -> int:
    """Parses a command line and runs the command, or prints its help.

    Args:
      argv: the command line without the name of the program.
      doc: what --help prints above the flags.
      add_flags: adds the command's own flags.
      command: gets the values of the flags. A KeyboardInterrupt that it raises may carry a
        message.

    Returns:
      The exit status: 0 if the command finished, 2 for bad input, 130 for Ctrl-C, 1 for a run
      that failed by itself, a disk that is full or fails, or a reader of the output that is
      gone (`| head`). Any other exception is an error of the program and passes through, with
      its traceback.
    """
    try:
        args = arguments.parse(argv, doc, add_flags)
        if args is not None:
            command(args)
        sys.stdout.flush()
        return 0
    except UserError as error:
        return _fail(2, f"error: {error}")
    except TrainingError as error:
        return _fail(1, f"error: {error}")
    except KeyboardInterrupt as interrupt:
        return _fail(130, f"interrupted{f': {interrupt}' if str(interrupt) else ''}")
    except BrokenPipeError:
        # The buffer still holds text for the lost reader: without this, Python fails at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if not isinstance(error, WriteError) and error.errno not in _NO_SPACE:
            raise
        return _fail(1, f"error: {error.strerror} while writing {error.filename or 'a file'}")


def leave(status: int) -> NoReturn:
    """Ends the process with the status of `run`."""
    if status:
        # The device, or the other processes of a run, may still be busy with the interrupted
        # work: a normal exit would wait for them.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def _fail(status: int, message: str) -> int:
    """Prints a message in one line, whatever it holds."""
    print(one_line(message), file=sys.stderr)
    return status
