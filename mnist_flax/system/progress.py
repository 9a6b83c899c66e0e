"""Shows what a command is at, wherever that takes longer than two seconds.

On a terminal and in a notebook it is one line, which is rewritten every second and is gone when
the work is done. Elsewhere, as in a pipe or the log of a CI, it is a few whole lines. There are
no colours. All of it goes to stderr, so that stdout holds results only; in a notebook, where
stderr looks like an error, to stdout. The environment variable TQDM_DISABLE turns it off.
"""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from mnist_flax import errors

# Seconds: how long a work may take in silence, and how often its line is rewritten.
PATIENCE, _PERIOD = 2.0, 1.0

# Terminals with fewer columns than these have no room for a bar.
_ROOM_FOR_A_BAR = 60
_NARROW = "{n_fmt}/{total_fmt} {unit}{left}, {desc}"
_WIDE = "{percentage:3.0f}%|{bar:10}| " + _NARROW

# Of the lines that are shown now, the last one is on the terminal; this lock guards them.
_lock = threading.RLock()
_lines: list["_Line"] = []


def is_live(stream: TextIO) -> bool:
    """Says whether a line on a stream can be rewritten, and should be.

    It can on a terminal and in a notebook, but not on one that says it is 'dumb'.
    """
    if _is_off() or os.environ.get("TERM") == "dumb":
        return False
    try:
        return _is_notebook(stream) or stream.isatty()
    except (AttributeError, ValueError):  # There is none, or it is closed.
        return False


@contextlib.contextmanager
def shown(what: str, *, here: bool = True) -> Iterator[None]:
    """Shows what is going on as long as it lasts, unless it is over within two seconds.

    Args:
      what: begins with a verb, such as 'Compiling'.
      here: whether this process shows anything: of several, only the first one should.
    """
    if not here or _is_off():
        yield
        return
    begin = time.monotonic()
    with _line(lambda _: f"{what}: {time.monotonic() - begin:.0f} s", f"{what} ..."):
        yield


class Bar:
    """Shows how much of a work is done, and about how long the rest takes."""

    def __init__(self, total: int, unit: str) -> None:
        """Shows nothing yet. Call `bar` to make a Bar."""
        self._total, self._unit = total, unit
        self._done, self._words = 0, ""
        self._begin = self._moved = self._said = time.monotonic()
        # The first number of units at which another line may be printed.
        self._next = 1

    @contextlib.contextmanager
    def part(self, units: int, words: str) -> Iterator[Callable[[int], None]]:
        """Shows what the work is at. At the end, all units of this part count as done.

        Args:
          units: how many units this part has.
          words: what it is.

        Yields:
          What says how many of these units are done.
        """
        before, self._words = self._done, words
        if not before:
            # What came before the first part, such as a compilation, may not come again.
            self._begin = time.monotonic()
        yield lambda done: self._move(before + done)
        self._move(before + units)

    def _move(self, done: int) -> None:
        """Moves the bar.

        Where no line can be rewritten, it prints one for each tenth of the work, and none
        within two seconds of another.
        """
        self._done, self._moved = done, time.monotonic()
        due = self._next <= done < self._total and self._moved - self._said >= PATIENCE
        if due and not _is_off() and not is_live(_stream()):
            state = f"{done} of {self._total} {self._unit}, {self._words}"
            _write(_stream(), f"{state}, about {about(self._seconds_left())} left\n")
            self._said, self._next = self._moved, done + max(1, self._total // 10)

    def _seconds_left(self) -> float:
        """Estimates the time for the rest by that for the units that are done, at least one."""
        each = (self._moved - self._begin) / self._done
        since = time.monotonic() - self._moved
        return max(0.0, each * (self._total - self._done) - since)

    def text(self, columns: int) -> str:
        """Makes the line for a terminal of some columns; '' before the first part."""
        if not self._words:
            return ""
        return meter(
            self._done,
            self._total,
            time.monotonic() - self._begin,
            columns,
            _WIDE if columns >= _ROOM_FOR_A_BAR else _NARROW,
            stream=_stream(),
            prefix=self._words,
            unit=self._unit,
            left=f", {clock(self._seconds_left())} left" if self._done else "",
        )


@contextlib.contextmanager
def bar(total: int, unit: str) -> Iterator[Bar]:
    """Shows a bar as long as it lasts.

    Args:
      total: how many units of work there are.
      unit: their name in the plural.

    Yields:
      The bar; its `part` moves it.
    """
    shown_bar = Bar(total, unit)
    if _is_off():
        yield shown_bar
        return
    with _line(shown_bar.text):
        yield shown_bar


@contextlib.contextmanager
def hidden() -> Iterator[None]:
    """Takes the line off the terminal, for others to print; it comes back by itself."""
    with _lock:
        if _lines:
            _lines[-1].clear()
        yield


def meter(
    done: int,
    total: int,
    seconds: float,
    columns: int,
    layout: str,
    *,
    stream: TextIO,
    **fields: Any,
) -> str:
    """Formats a bar with tqdm, so that it fits a terminal.

    Args:
      done: how many units are done.
      total: of how many.
      seconds: how long they took.
      columns: of the terminal; the last one stays free.
      layout: tqdm's bar_format.
      stream: where the bar is to be shown; it chooses between '#' and blocks.
      **fields: other arguments of tqdm.format_meter.
    """
    # Here, since it reads its settings from the environment as it is imported.
    from tqdm import tqdm

    encoding = getattr(stream, "encoding", None) or ""
    text: str = tqdm.format_meter(
        done,
        total,
        seconds,
        ncols=max(1, columns - 1),
        ascii=not encoding.lower().startswith("utf"),
        bar_format=layout,
        **fields,
    )
    return text


def columns_of(stream: TextIO) -> int:
    """Returns the width of a terminal; 80 where nothing says it."""
    for ask in (
        lambda: int(os.environ["COLUMNS"]),
        lambda: os.get_terminal_size(stream.fileno()).columns,
    ):
        with contextlib.suppress(KeyError, ValueError, OSError):
            if (columns := ask()) > 0:
                return columns
    return 80


def about(seconds: float) -> str:
    """Formats a time that is only estimated: '34 s', '8 min' or '1 h 02 min'."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02} min"


def clock(seconds: float) -> str:
    """Formats a time as '08:20' or '1:02:11'."""
    from tqdm import tqdm

    text: str = tqdm.format_interval(seconds)
    return text


class _Line:
    """A line on a terminal, which is rewritten."""

    def __init__(self, text: Callable[[int], str]) -> None:
        self._text, self._width = text, 0

    def draw(self) -> None:
        """Writes the line, and leaves the cursor at its start: whatever follows covers it."""
        stream = _stream()
        columns = columns_of(stream)
        text = self._text(columns)[: columns - 1]
        _write(stream, f"\r{text.ljust(self._width)}\r")
        self._width = len(text)

    def clear(self) -> None:
        """Takes the line off the terminal."""
        if self._width:
            _write(_stream(), f"\r{' ' * self._width}\r")
            self._width = 0


@contextlib.contextmanager
def _line(text: Callable[[int], str], log: str = "") -> Iterator[None]:
    """Shows a line after two seconds, and rewrites it until the end.

    Args:
      text: makes the line for a terminal of some columns.
      log: the line for a stream on which it cannot be rewritten; '' for none.
    """
    live = is_live(_stream())
    line, over = _Line(text), threading.Event()

    def show() -> None:
        if over.wait(PATIENCE):
            return
        if not live:
            _write(_stream(), f"{log}\n")
            return
        while not over.is_set():
            with _lock:
                if _lines[-1] is line:
                    line.draw()
            over.wait(_PERIOD)

    thread = threading.Thread(target=show, daemon=True)
    with _lock:
        if live:
            _lines.append(line)
    if live or log:
        thread.start()
    try:
        yield
    finally:
        over.set()
        if live or log:
            thread.join()
        if live:
            with _lock:
                line.clear()
                _lines.remove(line)


def _write(stream: TextIO, text: str) -> None:
    """Writes to a stream; to nowhere if it is full, closed or None."""
    try:
        stream.write(text)
        stream.flush()
    except (OSError, ValueError):
        errors.discard(stream)
    except AttributeError:
        pass


def _stream() -> TextIO:
    return sys.stdout if _is_notebook(sys.stdout) else sys.stderr


def _is_notebook(stream: TextIO) -> bool:
    return type(stream).__module__.partition(".")[0] == "ipykernel"


def _is_off() -> bool:
    return os.environ.get("TQDM_DISABLE", "").lower() not in ("", "0", "false")
