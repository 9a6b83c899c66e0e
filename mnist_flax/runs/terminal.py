"""Prints a run on the terminal, in the manner of the assignment's log."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mnist_flax import errors, metrics
from mnist_flax.runs.writers import Answers
from mnist_flax.system import progress

# Is told, several times an epoch: the steps done, the loss of the last of them, and the share
# of this epoch's images so far that were right.
Progress = Callable[[int, float, float], None]

# tqdm's bar_format: from _WIDE columns on, with fewer, and below _NARROW.
_WIDE, _NARROW = 110, 80
_BAR = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}"
_WITH_RATE, _WITHOUT_RATE = _BAR + ", {rate_fmt}{postfix}]", _BAR + "{postfix}]"
_NO_BAR = "{percentage:3.0f}%{postfix}, {desc}"


class Terminal:
    """Prints the head of a run, its epochs and its verdict."""

    def __init__(
        self, workdir: Path, num_epochs: int, steps: int, num_test: int, *, watched: bool
    ) -> None:
        """Prints nothing yet.

        Args:
          workdir: the folder of the run.
          num_epochs: config.num_epochs.
          steps: number of optimizer steps in an epoch.
          num_test: number of test images, to print how many were right.
          watched: whether a line of stdout can be rewritten: then each epoch has a progress
            bar, and otherwise one line.
        """
        self._workdir, self._steps, self._num_test = workdir, steps, num_test
        self._num_epochs, self._watched = num_epochs, watched
        # Of the epochs of this process.
        self._seconds: list[float] = []

    def print_head(self, model_table: str, epochs_done: int) -> None:
        """Prints what is known before the first epoch."""
        resumed = [f"Resumed after epoch {epochs_done}."] if epochs_done else []
        say(f"Workdir: {self._workdir}", model_table, *resumed)

    @contextlib.contextmanager
    def bar(self, epoch: int) -> Iterator[Progress]:
        """Shows the progress bar of an epoch, from 1; yields what moves it."""
        say(f"Epoch {epoch}")
        begin = time.monotonic()

        def draw(steps_done: int, words: str, columns: int) -> None:
            left = self._seconds_left(self._num_epochs - epoch + 1 - steps_done / self._steps)
            layout = _WITHOUT_RATE if left and columns < _WIDE else _WITH_RATE
            text = progress.meter(
                steps_done,
                self._steps,
                time.monotonic() - begin,
                columns,
                _NO_BAR if columns < _NARROW else layout,
                stream=sys.stdout,
                prefix=words,
                postfix=f"{progress.clock(left)} left" if left else None,
            )
            say(f"\r{text:{columns - 1}}", end="")

        def update(steps_done: int, loss: float, accuracy: float) -> None:
            columns, share = progress.columns_of(sys.stdout), f"{100 * accuracy:.2f}"
            batch = f"Batch_id={steps_done - 1} " if columns >= _WIDE else ""
            words = f"Train: Loss={loss:.4f} {batch}Accuracy={share}"
            short = f"Loss={loss:.4f} Acc={share}"
            draw(steps_done, short if columns < _NARROW else words, columns)

        draw(0, "Train", progress.columns_of(sys.stdout))
        try:
            yield update
        finally:
            say()

    def epoch(self, record: Mapping[str, Any]) -> None:
        """Prints an epoch, a line of metrics.jsonl; below a bar only its second half."""
        correct = metrics.count_correct(record["test_accuracy"], self._num_test)
        test = (
            f"Test set: Average loss: {_number(record['test_loss'])}, "
            f"Accuracy: {correct}/{self._num_test} ({100 * correct / self._num_test:.2f}%)"
        )
        loss, accuracy = _number(record["train_loss"]), 100 * record["train_accuracy"]
        seconds = record["train_seconds"] + record["test_seconds"]
        train = f"Epoch {record['epoch']}  Train: Loss={loss} Accuracy={accuracy:.2f}"
        self._seconds.append(seconds)
        left = self._num_epochs - record["epoch"]
        estimate = []
        if left and len(self._seconds) == 1:
            others = "the last epoch" if left == 1 else f"the other {left} epochs"
            estimate = [f"About {progress.about(left * seconds)} left for {others}."]
        if self._watched:
            say(test, *estimate, "")
        else:
            say(f"{train}  {test}  {seconds:.1f} s", *estimate)

    def _seconds_left(self, epochs: float) -> float:
        """Estimates the time that epochs take by those before; 0 before there is one."""
        return epochs * sum(self._seconds) / max(1, len(self._seconds))

    def finish(self, summary: Mapping[str, Any], answers: Callable[[], Answers]) -> None:
        """Prints where the results are, and whether the target was met."""
        results = "summary.json, metrics.jsonl, curves.png, TensorBoard"
        say(f"Results: {self._workdir} ({results})", _verdict(summary))


def say(*lines: str, end: str = "\n") -> None:
    """Prints lines; where stdout is a full disk or a closed terminal, a run continues.

    Raises:
      BrokenPipeError: the reader of the output is gone, as with `| head`.
    """
    try:
        with progress.hidden():
            print(*lines, sep="\n", end=end, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        errors.discard(sys.stdout)
        errors.warn(f"stdout cannot be written ({error.strerror}); the run continues")


def _verdict(summary: Mapping[str, Any]) -> str:
    """Makes the last line of a run."""
    target = f"{100 * summary['target_accuracy']:g} %"
    best = f"best {100 * summary['best_test_accuracy']:.2f} % at epoch {summary['best_epoch']}"
    final = f"final {100 * summary['final_test_accuracy']:.2f} %"
    first = summary["first_epoch_at_target"]
    met = f"Target of {target} met at epoch {first}" if first else f"Target of {target} not met"
    cost = f"{summary['params']:,} parameters, {_duration(summary['total_seconds'])}"
    return f"{met}: {best}, {final}; {cost}."


def _duration(seconds: float) -> str:
    """Formats seconds as '34 s', '9 min 12 s' or '1 h 02 min'."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def _number(value: float | None) -> str:
    return "nan" if value is None else f"{value:.4f}"
