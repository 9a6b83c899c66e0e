"""Writes TensorBoard's event file of a run.

tensorboardX's own writer hands events to a thread, where a full disk is a traceback and not an
error of the run. So this module uses its protocol buffers and its checksum alone.
"""

import io
import os
import socket
import struct
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from mnist_flax import errors, metrics
from mnist_flax.config import flatten
from mnist_flax.runs import files
from mnist_flax.runs.curves_writer import not_drawn
from mnist_flax.runs.writers import Answers
from mnist_flax.system import libraries, progress

# tensorboardX imports PyTorch where it finds it, which takes seconds and brings nothing.
with libraries.hidden("torch"):
    from tensorboardX import summary
    from tensorboardX.proto.event_pb2 import Event, SessionLog
    from tensorboardX.proto.summary_pb2 import Summary
    from tensorboardX.record_writer import masked_crc32c

_TAGS = {
    "train_loss": "train/loss",
    "train_accuracy": "train/accuracy",
    "test_loss": "test/loss",
    "test_accuracy": "test/accuracy",
    "learning_rate": "learning_rate",
    "images_per_second": "images_per_second",
}
# Fields of summary.json. The tab HPARAMS sorts these columns, and at first shows five.
_RESULTS = {
    "final_test_accuracy": "final/accuracy",
    "best_test_accuracy": "final/best_accuracy",
    "epochs": "final/epochs",
    "first_epoch_at_target": "final/first_epoch_at_target",
    "params": "final/parameters",
    "total_seconds": "final/seconds",
}
# A taller picture is too much for a tab of pictures.
_MOST_MISTAKES = 75
# Fields of the config that change no result; and the one that a resume may change, while
# TensorBoard shows the first that it read.
_NOT_COMPARED = ("data_dir", "target_accuracy", "num_epochs")

# TensorBoard finds a file by the part 'tfevents'.
_PREFIX = "events.out.tfevents."


class TensorBoardWriter:
    """Writes one event file.

    Attributes:
      path: the file.
    """

    def __init__(
        self,
        workdir: Path,
        config: ConfigDict,
        history: Sequence[Mapping[str, Any]],
        example: np.ndarray,
    ) -> None:
        """Writes the hyperparameters, and the epochs that are done.

        Args:
          workdir: the folder of the run.
          config: the run's.
          history: the epochs that are done, as lines of metrics.jsonl.
          example: uint8[28,28], the image to show the augmentations of at the end.
        """
        self._workdir, self._config, self._example = workdir, config, example
        self._last_step = history[-1]["step"] if history else 0
        self._there: set[tuple[int, str]] = set()
        earlier = sorted(workdir.glob(f"{_PREFIX}*"))
        if history and earlier and (whole := whole_events(earlier[-1].read_bytes())):
            self.path = earlier[-1]
            self._continue(whole, history)
            return
        self.path = (
            workdir / f"{_PREFIX}{int(time.time())}.{socket.gethostname()}.{os.getpid()}"
        )
        events = [first_events(flatten(config)), *map(scalar_events, history)]
        files.replace(self.path, b"".join(events))

    def _continue(self, whole: bytes, history: Sequence[Mapping[str, Any]]) -> None:
        """Continues the file of a run that was interrupted.

        A TensorBoard that is open reads on in the same file: a new one would show each point of
        the epochs done a second time.

        Args:
          whole: the events of the file, without half a one at its end.
          history: the epochs that are done.
        """
        os.truncate(self.path, len(whole))
        self._there = {
            (event.step, value.tag)
            for event in map(Event.FromString, _records(whole))
            for value in event.summary.value
            if event.step <= self._last_step
        }
        self._append(b"".join(map(scalar_events, history)))
        restart = Event(
            # Whatever has this step or a later one is from an epoch that is trained anew.
            step=self._last_step + 1,
            wall_time=time.time(),
            session_log=SessionLog(status=SessionLog.START),
        )
        files.append(self.path, _frame(restart))

    def epoch(self, record: Mapping[str, Any]) -> None:
        """Appends a point to each curve."""
        self._last_step = record["step"]
        self._append(scalar_events(record))

    def finish(self, summary: Mapping[str, Any], answers: Callable[[], Answers]) -> None:
        """Adds the results, marks the run as finished, and then adds its pictures.

        They are the augmentations, and of the last epoch the confusion matrix and the mistakes.
        A failure is a warning, as the run is on record without them.
        """
        try:
            self._append(result_events(self._last_step, summary) + last_event())
            with progress.shown("Drawing the pictures of the run"):
                self._append(self._pictures(answers()))
        except Exception as error:  # Whatever Matplotlib and the disk happen to raise.
            errors.warn(not_drawn("TensorBoard's pictures", self._workdir, error))

    def _append(self, events: bytes) -> None:
        """Appends events, but for points and pictures that the file has already."""
        files.append(self.path, b"".join(map(_record, _without(events, self._there))))

    def _pictures(self, answers: Answers) -> bytes:
        # Matplotlib takes most of a second to import.
        from mnist_flax.plots.augmentations import draw_augmentations
        from mnist_flax.plots.diagnostics import draw_confusion
        from mnist_flax.plots.mistakes import draw_mistakes, find_mistakes

        images, labels, logits = answers
        probabilities = metrics.log_probabilities(logits)
        scores = metrics.score(probabilities, labels)
        mistakes = find_mistakes(images, labels, np.exp(probabilities))
        drawn = {
            "augmentations": draw_augmentations(self._example, self._config),
            "confusion": draw_confusion(scores.confusion),
            "mistakes": draw_mistakes(mistakes, most=_MOST_MISTAKES),
        }
        return b"".join(image_event(name, self._last_step, png) for name, png in drawn.items())


def first_events(fields: Mapping[str, Any]) -> bytes:
    """Makes the start of an event file: its version, then the hyperparameters.

    They are there as a table, for the tab TEXT, and for the tab HPARAMS, which compares runs:
    there without those in _NOT_COMPARED.

    Args:
      fields: name and value of each hyperparameter.
    """
    rows = "\n".join(f"| {name} | {value!r} |" for name, value in fields.items())
    table = summary.text("hyperparameters", f"| field | value |\n|---|---|\n{rows}")
    compared = {name: x for name, x in fields.items() if name not in _NOT_COMPARED}
    # Without a list of columns in any file, TensorBoard makes it from all runs, and puts those
    # columns first in which they differ.
    _, start, _ = summary.hparams(compared, {})
    return b"".join(
        [
            _frame(Event(wall_time=time.time(), file_version="brain.Event:2")),
            *(_frame(Event(wall_time=time.time(), summary=part)) for part in (table, start)),
        ]
    )


def scalar_events(record: Mapping[str, Any]) -> bytes:
    """Makes one point of each curve, at the record's step; none for a value of None.

    Args:
      record: a line of metrics.jsonl.
    """
    return _points(record["step"], _TAGS, record)


def result_events(step: int, result: Mapping[str, Any]) -> bytes:
    """Makes the points that the tab HPARAMS compares runs by.

    Args:
      step: the last of the run.
      result: the content of summary.json.
    """
    return _points(step, _RESULTS, result)


def _points(step: int, tags: Mapping[str, str], values: Mapping[str, Any]) -> bytes:
    """Makes a point for each tag whose value is not None."""
    return b"".join(
        _frame(
            Event(wall_time=time.time(), step=step, summary=summary.scalar(tag, values[name]))
        )
        for name, tag in tags.items()
        if values[name] is not None
    )


def image_event(tag: str, step: int, png: bytes) -> bytes:
    """Makes a picture.

    Args:
      tag: its name, such as 'augmentations'.
      step: that it is of.
      png: a PNG file.
    """
    with Image.open(io.BytesIO(png)) as image:
        width, height = image.size
        channels = len(image.getbands())
    picture = Summary.Image(
        width=width, height=height, colorspace=channels, encoded_image_string=png
    )
    value = Summary.Value(tag=tag, image=picture)
    return _frame(Event(wall_time=time.time(), step=step, summary=Summary(value=[value])))


def last_event() -> bytes:
    """Makes the event that tells the tab HPARAMS that the run finished."""
    *_, end = summary.hparams({}, {})
    return _frame(Event(wall_time=time.time(), summary=end))


def whole_events(data: bytes) -> bytes:
    """Returns the content of an event file up to the first event that is not whole."""
    return data[: sum(12 + len(record) + 4 for record in _records(data))]


def _without(data: bytes, there: Collection[tuple[int, str]]) -> Iterator[bytes]:
    """Yields the records of events, but for those of these steps and tags."""
    for record in _records(data):
        event = Event.FromString(record)
        if not any((event.step, value.tag) in there for value in event.summary.value):
            yield record


def _records(data: bytes) -> Iterator[bytes]:
    """Yields the records of an event file, until one is not whole or not as it was written."""
    while len(data) >= 16:
        (length,) = struct.unpack("<Q", data[:8])
        record = data[12 : 12 + length]
        if data[: 16 + length] != _record(record):
            return
        yield record
        data = data[16 + length :]


def _frame(event: Event) -> bytes:
    return _record(event.SerializeToString())


def _record(data: bytes) -> bytes:
    """Makes a TFRecord: length, its checksum, data, its checksum, all little-endian.

    https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details
    """
    length = struct.pack("<Q", len(data))
    checksums = (struct.pack("<I", masked_crc32c(part)) for part in (length, data))
    return length + next(checksums) + data + next(checksums)
