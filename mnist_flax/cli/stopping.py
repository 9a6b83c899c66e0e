"""Ends a command at once at Ctrl-C and SIGTERM, but never in the middle of a step that matters.

Python answers a signal in the main thread, and only between two of its bytecode instructions:
while that thread waits for a compilation or for the device, the answer may take ten seconds. So
another thread waits for the signal and ends the process.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import NoReturn

from mnist_flax.cli import surroundings

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def at_once(
    describe: Callable[[signal.Signals], str], in_one_piece: threading.Lock
) -> Iterator[None]:
    """As long as it lasts, Ctrl-C and SIGTERM end the process with a line on stderr.

    In a process that is not the command's own, such as a notebook's, it does nothing.

    The exit status is the shell's own for them: 130 and 143. A signal that the process was
    started to ignore, as a shell starts what runs in the background, stays ignored.

    Args:
      describe: makes the line; it is called in another thread, which has the lock.
      in_one_piece: a lock; whoever has it finishes before a signal ends the process.
    """
    if not surroundings.whole_process:
        yield
        return
    handled = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    # Python writes the number of a signal there as soon as it arrives.
    end, begin = os.pipe()
    os.set_blocking(begin, False)
    thread = threading.Thread(
        target=_watch, args=(end, handled, describe, in_one_piece), daemon=True
    )
    thread.start()
    previous_descriptor = signal.set_wakeup_fd(begin, warn_on_full_buffer=False)
    previous = {number: signal.signal(number, _nothing) for number in handled}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(previous_descriptor)
        os.close(begin)
        thread.join()
        os.close(end)


def _nothing(number: int, frame: object) -> None:
    """Python's part of the answer to a signal, which would come too late."""


def _watch(
    pipe: int,
    handled: list[signal.Signals],
    describe: Callable[[signal.Signals], str],
    in_one_piece: threading.Lock,
) -> None:
    """Waits for one of some signals; returns when nobody can send one any more."""
    while received := os.read(pipe, 1):
        for number in handled:
            if number == received[0]:
                with in_one_piece:
                    _leave(number, describe)


def _leave(number: signal.Signals, describe: Callable[[signal.Signals], str]) -> NoReturn:
    """Ends the process without a look at what its other threads are at."""
    try:
        # On a terminal the progress bar has not ended its line.
        line = "\n" * sys.stdout.isatty() + " ".join(describe(number).split()) + "\n"
        # Not by way of sys.stderr, which another thread may be holding.
        os.write(sys.stderr.fileno(), line.encode(errors="replace"))
    finally:
        os._exit(128 + number)
