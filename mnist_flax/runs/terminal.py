"""Prints a run on the terminal, in the manner of the assignment's log."""

import contextlib
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mnist_flax import errors, metrics

# Is told, several times an epoch: the steps done, the loss of the last of them, and the share
# of this epoch's images so far that were right.
Progress = Callable[[int, float, float], None]

# Fewer columns than these have no room for the number of the batch.
_WIDE = 90


class Terminal:
    """Prints the head of a run, its epochs and its verdict."""

    def __init__(self, workdir: Path, steps: int, num_test: int, *, watched: bool) -> None:
        """Prints nothing yet.

        Args:
          workdir: the folder of the run.
          steps: number of optimizer steps in an epoch.
          num_test: number of test images, to print how many were right.
          watched: whether stdout is a terminal: then each epoch has a progress bar, and
            otherwise one line.
        """
        self._workdir, self._steps, self._num_test = workdir, steps, num_test
        self._watched = watched

    def print_head(self, model_table: str, epochs_done: int) -> None:
        """Prints what is known before the first epoch."""
        resumed = [f"Resumed after epoch {epochs_done}."] if epochs_done else []
        compiling = "Compiling: some seconds, and less the next time."
        say(f"Workdir: {self._workdir}", model_table, *resumed, compiling)

    @contextlib.contextmanager
    def bar(self, epoch: int) -> Iterator[Progress]:
        """Shows the progress bar of an epoch, from 1; yields what moves it."""
        # Here, since it reads its settings from the environment as it is imported.
        from tqdm import tqdm

        say(f"Epoch {epoch}")
        # By itself tqdm shows nothing on a terminal that says its size is 0, as some do.
        columns, lines = shutil.get_terminal_size()
        with tqdm(
            desc="Train", total=self._steps, file=_Stdout(), ncols=columns, nrows=lines
        ) as bar:

            def update(steps_done: int, loss: float, accuracy: float) -> None:
                batch = f"Batch_id={steps_done - 1} " if columns >= _WIDE else ""
                text = f"Train: Loss={loss:.4f} {batch}Accuracy={100 * accuracy:.2f}"
                bar.set_description_str(text, refresh=False)
                bar.update(steps_done - bar.n)

            yield update

    def epoch(self, record: Mapping[str, Any]) -> None:
        """Prints an epoch, a line of metrics.jsonl; below a bar only its second half."""
        correct = metrics.count_correct(record["test_accuracy"], self._num_test)
        test = (
            f"Test set: Average loss: {_number(record['test_loss'])}, "
            f"Accuracy: {correct}/{self._num_test} ({100 * correct / self._num_test:.2f}%)"
        )
        if self._watched:
            say(test, "")
            return
        loss, accuracy = _number(record["train_loss"]), 100 * record["train_accuracy"]
        seconds = record["train_seconds"] + record["test_seconds"]
        say(
            f"Epoch {record['epoch']}  Train: Loss={loss} Accuracy={accuracy:.2f}  {test}  "
            f"{seconds:.1f} s"
        )

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Prints where the results are, and whether the target was met."""
        results = "summary.json, metrics.jsonl, curves.png, TensorBoard"
        say(f"Results: {self._workdir} ({results})", _verdict(summary))


class _Stdout:
    """Writes to stdout for tqdm, as `say` does."""

    def write(self, text: str) -> None:
        say(text, end="")

    def flush(self) -> None:
        """Does nothing: `say` has flushed."""


def say(*lines: str, end: str = "\n") -> None:
    """Prints lines; where stdout is a full disk or a closed terminal, a run continues.

    Raises:
      BrokenPipeError: the reader of the output is gone, as with `| head`.
    """
    try:
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
