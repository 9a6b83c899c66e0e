"""Writes the figures of a run: config.json, metrics.jsonl and summary.json."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from ml_collections import ConfigDict

from mnist_flax.runs import files


class Answers(NamedTuple):
    """What the network of a run answers after its last epoch.

    Attributes:
      images: uint8[N,28,28], the test images.
      labels: int32[N], their digits.
      logits: float32[N,10].
    """

    images: np.ndarray
    labels: np.ndarray
    logits: np.ndarray


class Writer(Protocol):
    """Records a run in one form. Between two calls its files are complete and can be read."""

    def epoch(self, record: Mapping[str, Any]) -> None:
        """Records an epoch.

        Args:
          record: the fields of metrics.jsonl: epoch (from 1), step, learning_rate, train_loss,
            train_accuracy, test_loss, test_accuracy (0 to 1), train_seconds, test_seconds,
            images_per_second. A loss that is not finite is None.
        """

    def finish(self, summary: Mapping[str, Any], answers: Callable[[], Answers]) -> None:
        """Records the end of a run.

        Args:
          summary: the content of summary.json.
          answers: computes the network's answers, which takes a second or more.
        """


class MetricsWriter:
    """Writes config.json, metrics.jsonl and, at the end, summary.json."""

    FILES = ("config.json", "metrics.jsonl")

    def __init__(
        self, workdir: Path, config: ConfigDict, history: Sequence[Mapping[str, Any]]
    ) -> None:
        """Writes the config, and the epochs that are done.

        Args:
          workdir: the folder of the run, which is locked. Its files are replaced.
          config: the run's.
          history: the epochs that are done, as lines of metrics.jsonl.
        """
        self._workdir = workdir
        files.replace(workdir / "config.json", to_json(config.to_dict(), indent=2))
        files.replace(workdir / "metrics.jsonl", b"".join(map(to_json, history)))

    def epoch(self, record: Mapping[str, Any]) -> None:
        """Appends a line to metrics.jsonl."""
        files.append(self._workdir / "metrics.jsonl", to_json(record))

    def finish(self, summary: Mapping[str, Any], answers: Callable[[], Answers]) -> None:
        """Writes summary.json: its presence says that the run finished."""
        files.replace(self._workdir / "summary.json", to_json(summary, indent=2))


def to_plain(value: Any) -> Any:
    """Converts a value to what JSON gives back for it.

    Scalars of NumPy and JAX become Python's own; NaN and infinity, which JSON lacks, None.
    """
    if isinstance(value, Mapping):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [to_plain(item) for item in value]
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def to_json(value: Any, indent: int | None = None) -> bytes:
    """Encodes a value as JSON, by way of `to_plain`; in one line if there is no indent."""
    return (json.dumps(to_plain(value), indent=indent, allow_nan=False) + "\n").encode()
