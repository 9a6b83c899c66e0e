"""Runs a command, and turns what went wrong into one line on stderr and an exit status."""

import argparse
import errno
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from mnist_flax.cli import arguments, surroundings
from mnist_flax.errors import TrainingError, UserError, WriteError, discard, one_line

# A full disk, a quota, a limit on a file's size.
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# A terminal that is gone, a stream that cannot be written.
_NO_STREAM = (errno.EIO, errno.EBADF)

# What XLA says when a device has too little memory; what follows may be pages long.
_NO_MEMORY = "RESOURCE_EXHAUSTED: "
_LONGEST = 200


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
      that failed by itself, too little memory, a disk that is full or fails, or a reader of the
      output that is gone (`| head`). Any other exception is an error of the program and passes
      through, with its traceback.
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
        discard(sys.stdout)
        return 1
    except MemoryError:
        return _fail(1, "error: this machine has too little memory; end what else uses it")
    except RuntimeError as error:
        # To name JAX's own type, JAX would have to be imported for every wrong command line.
        _, found, reason = str(error).partition(_NO_MEMORY)
        if not found:
            raise
        return _fail(
            1,
            f"error: the device has too little memory ({one_line(reason)[:_LONGEST]}); lower "
            "config.batch_size (for a sweep, --parallel), or end what else uses the device",
        )
    except OSError as error:
        of_stdout = error.filename is None and error.errno in _NO_STREAM
        if not isinstance(error, WriteError) and not of_stdout and error.errno not in _NO_SPACE:
            raise
        if error.filename is None:
            # What stdout could not write would fail once more when the process ends.
            discard(sys.stdout)
        return _fail(1, f"error: {error.strerror} while writing {error.filename or 'stdout'}")


def entry(main: Callable[[Sequence[str]], int]) -> NoReturn:
    """Runs a command as the whole of this process, and ends the process with its status.

    Args:
      main: a command's own `main`, which gets the command line without the program's name.
    """
    surroundings.prepare_streams()
    surroundings.forget_settings()
    surroundings.whole_process = not surroundings.is_hosted()
    status = main(sys.argv[1:])
    if status and surroundings.whole_process:
        # The device, or the other processes of a run, may still be busy with the interrupted
        # work: a normal exit would wait for them.
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except OSError:
                discard(stream)
        os._exit(status)
    sys.exit(status)


def _fail(status: int, message: str) -> int:
    """Prints a message in one line, whatever it holds."""
    try:
        print(one_line(message), file=sys.stderr, flush=True)
    except OSError:
        discard(sys.stderr)
    return status
