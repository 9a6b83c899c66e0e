"""Where a run's figures go: the terminal, metrics.jsonl, TensorBoard, a picture, a summary."""

import contextlib
import importlib.metadata
import json
import math
import os
import platform
import shutil
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

import mnist_flax
from mnist_flax.config import flatten
from mnist_flax.runs import files, tensorboard
from mnist_flax.runs.workdirs import RUN_FILES

_VERSIONS = ("jax", "jaxlib", "flax", "optax", "numpy")


def epochs_on_record(workdir: Path) -> int:
    """How many epochs of a run were finished, and are there to go on from."""
    path = workdir / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


class ProgressBar:
    """The bar of one epoch, in the manner of the assignment's log."""

    def __init__(self, bar: Any, wide: bool) -> None:
        """Wraps a tqdm bar; `wide`: whether there is room for all that the log shows."""
        self._bar = bar
        self._wide = wide

    def update(self, steps_done: int, loss: float, accuracy: float) -> None:
        """Moves the bar.

        Args:
            steps_done: Steps of this epoch that are done, 1 to all.
            loss: Loss of the last step.
            accuracy: Share of this epoch's training images so far that were right, 0 to 1.
        """
        batch = f"Batch_id={steps_done - 1} " if self._wide else ""
        text = f"Train: Loss={loss:.4f} {batch}Accuracy={100 * accuracy:.2f}"
        self._bar.set_description_str(text, refresh=False)
        self._bar.update(steps_done - self._bar.n)


class RunWriter:
    """Writes one run. Between two calls every file is complete: it can be read at any time.

    Attributes:
        wants_progress: Whether anyone sees the progress bar: whether stdout is a terminal.
        history: The epochs so far, as lines of metrics.jsonl.
    """

    def __init__(
        self,
        workdir: Path,
        config: ConfigDict,
        *,
        steps_per_epoch: int,
        num_test: int,
        history: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """Starts a run, or goes on with one: writes config.json and what is in `history`.

        Args:
            workdir: A folder that `workdirs.hold` holds. Its run's files are replaced.
            config: Goes into config.json, summary.json and TensorBoard.
            steps_per_epoch: Length of the progress bar.
            num_test: Number of images that are tested, to print how many were right.
            history: The epochs that are done, as lines of metrics.jsonl.
        """
        self.wants_progress = sys.stdout.isatty()
        self._workdir = workdir
        self._config = config
        self._steps_per_epoch = steps_per_epoch
        self._num_test = num_test
        self.history = [dict(record) for record in history]
        # TensorBoard finds a file by the part 'tfevents'.
        name = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}"
        self._events = workdir / name
        files.replace(workdir / "config.json", to_json(config.to_dict(), indent=2))
        files.replace(workdir / "metrics.jsonl", b"".join(map(to_json, self.history)))
        events = map(tensorboard.scalar_events, self.history)
        files.replace(
            self._events, tensorboard.first_events(flatten(config)) + b"".join(events)
        )
        kept = (self._events.name, "config.json", "metrics.jsonl")
        for pattern in RUN_FILES:
            # The second are what `files.replace` leaves behind if it is killed.
            folder, name = (workdir / pattern).parent, Path(pattern).name
            for path in (*folder.glob(name), *folder.glob(f".{name}.*.tmp")):
                if path.name not in kept:
                    path.unlink()

    def say(self, text: str) -> None:
        """Prints lines that are no figures."""
        print(text, flush=True)

    @contextlib.contextmanager
    def epoch_bar(self, epoch: int) -> Iterator[ProgressBar]:
        """The progress bar of one epoch, from 1; on a terminal only."""
        if self.wants_progress:
            print(f"Epoch {epoch}", flush=True)
        # By itself tqdm shows nothing on a terminal that says its size is 0, as some do.
        columns, lines = shutil.get_terminal_size()
        with tqdm(
            desc="Train",
            total=self._steps_per_epoch,
            disable=not self.wants_progress,
            file=sys.stdout,
            ncols=columns,
            nrows=lines,
        ) as bar:
            yield ProgressBar(bar, wide=columns >= 90)

    def epoch(self, record: Mapping[str, Any]) -> None:
        """Writes and prints one epoch.

        Args:
            record: The fields of metrics.jsonl: epoch (from 1), step, learning_rate,
                train_loss, train_accuracy, test_loss, test_accuracy (0 to 1), train_seconds,
                test_seconds, images_per_second.
        """
        line = plain(record)
        files.append(self._workdir / "metrics.jsonl", to_json(line))
        files.append(self._events, tensorboard.scalar_events(line))
        self.history.append(line)
        right = self._right(line)
        test = (
            f"Test set: Average loss: {_number(line['test_loss'])}, "
            f"Accuracy: {right}/{self._num_test} ({100 * right / self._num_test:.2f}%)"
        )
        if self.wants_progress:
            print(f"{test}\n", flush=True)
            return
        train = (
            f"Loss={_number(line['train_loss'])} Accuracy={100 * line['train_accuracy']:.2f}"
        )
        seconds = line["train_seconds"] + line["test_seconds"]
        print(f"Epoch {line['epoch']}  Train: {train}  {test}  {seconds:.1f} s", flush=True)

    def augmentations(self, image: np.ndarray) -> None:
        """Shows in TensorBoard what training does to an image, uint8[28,28]."""
        # Matplotlib takes most of a second to import.
        from mnist_flax.plots.augmentations import augment_sheet
        from mnist_flax.plots.diagnostics import draw_augmentations
        from mnist_flax.plots.themes import LIGHT

        sheet = draw_augmentations(augment_sheet(image, self._config), LIGHT)
        files.append(self._events, tensorboard.image_event("augmentations", sheet))

    def close(
        self,
        *,
        params: int,
        total_seconds: float,
        compile_seconds: float,
        backend: str,
        device_count: int,
    ) -> dict[str, Any]:
        """Ends a run of at least one epoch: curves.png, summary.json, and the verdict.

        Args:
            params: Number of the network's parameters.
            total_seconds: From the start of the run.
            compile_seconds: How much of that went into compilation.
            backend: jax.default_backend().
            device_count: jax.device_count().

        Returns:
            The content of summary.json.
        """
        # Matplotlib takes most of a second to import.
        from mnist_flax.plots.curves import draw_curves

        rights = [self._right(record) for record in self.history]
        target = self._config.target_accuracy
        epochs = [record["epoch"] for record in self.history]
        # A count is compared, and within rounding: 9,940 of 10,000 are 0.994.
        needed = target * self._num_test - 1e-6
        reached = [epoch for epoch, n in zip(epochs, rights, strict=True) if n >= needed]
        summary = {
            "params": params,
            "epochs": len(epochs),
            "final_test_accuracy": rights[-1] / self._num_test,
            "best_test_accuracy": max(rights) / self._num_test,
            "best_epoch": epochs[rights.index(max(rights))],
            "first_epoch_at_target": reached[0] if reached else None,
            "target_accuracy": target,
            "total_seconds": total_seconds,
            "compile_seconds": compile_seconds,
            "backend": backend,
            "device_count": device_count,
            "seed": self._config.seed,
            "versions": versions(),
            "config": self._config.to_dict(),
        }
        files.replace(self._workdir / "curves.png", draw_curves(self.history, target, params))
        files.append(self._events, tensorboard.last_event())
        # Last: who finds it knows that the run finished.
        files.replace(self._workdir / "summary.json", to_json(summary, indent=2))
        print(
            f"Results: {self._workdir} (summary.json, metrics.jsonl, curves.png, TensorBoard)"
        )
        print(_verdict(summary), flush=True)
        return summary

    def _right(self, record: Mapping[str, Any]) -> int:
        """Number of test images that were right: a whole number, free of float32's rounding."""
        return round(record["test_accuracy"] * self._num_test)


class SilentWriter:
    """Of a process that only computes: writes and prints nothing. See RunWriter."""

    def __init__(self, history: Sequence[Mapping[str, Any]], wants_progress: bool) -> None:
        """What the first process has: an epoch has to have as many parts everywhere."""
        self.history = [dict(record) for record in history]
        self.wants_progress = wants_progress

    def say(self, text: str) -> None:
        """Prints nothing."""

    def epoch_bar(self, epoch: int) -> contextlib.AbstractContextManager[None]:
        """No bar."""
        return contextlib.nullcontext()

    def epoch(self, record: Mapping[str, Any]) -> None:
        """Counts one epoch."""
        self.history.append(dict(record))


def _verdict(summary: Mapping[str, Any]) -> str:
    """The last line of a run."""
    target = f"{100 * summary['target_accuracy']:g} %"
    best = f"best {100 * summary['best_test_accuracy']:.2f} % at epoch {summary['best_epoch']}"
    final = f"final {100 * summary['final_test_accuracy']:.2f} %"
    first = summary["first_epoch_at_target"]
    met = f"Target of {target} met at epoch {first}" if first else f"Target of {target} not met"
    cost = f"{summary['params']:,} parameters, {_duration(summary['total_seconds'])}"
    return f"{met}: {best}, {final}; {cost}."


def _duration(seconds: float) -> str:
    """'34 s', '9 min 12 s' or '1 h 02 min'."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def _number(value: float | None) -> str:
    return "nan" if value is None else f"{value:.4f}"


def plain(value: Any) -> Any:
    """A value as JSON gives it back.

    Scalars of NumPy and JAX become Python's own; NaN and infinity, which JSON lacks, None.
    """
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def to_json(value: Any, indent: int | None = None) -> bytes:
    """A value as lines of JSON, by way of `plain`; one line, if no indent is given."""
    return (json.dumps(plain(value), indent=indent, allow_nan=False) + "\n").encode()


def versions() -> dict[str, str]:
    """Versions of whatever may change a result."""
    return {
        "mnist_flax": mnist_flax.__version__,
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in _VERSIONS},
    }
