"""Writes TensorBoard's event file of a run.

tensorboardX's own writer hands events to a thread, where a full disk is a traceback and not an
error of the run. So this module uses its protocol buffers and its checksum alone.
"""

import io
import os
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from PIL import Image
from tensorboardX import summary
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.record_writer import masked_crc32c

from mnist_flax import errors
from mnist_flax.config import flatten
from mnist_flax.runs import files
from mnist_flax.runs.curves_writer import not_drawn

_TAGS = {
    "train_loss": "train/loss",
    "train_accuracy": "train/accuracy",
    "test_loss": "test/loss",
    "test_accuracy": "test/accuracy",
    "learning_rate": "learning_rate",
    "images_per_second": "images_per_second",
}


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
        # TensorBoard finds a file by the part 'tfevents'.
        name = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}"
        self.path = workdir / name
        events = [first_events(flatten(config)), *map(scalar_events, history)]
        files.replace(self.path, b"".join(events))

    def epoch(self, record: Mapping[str, Any]) -> None:
        """Appends a point to each curve."""
        files.append(self.path, scalar_events(record))

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Marks the run as finished, and adds a picture of its augmentations.

        A failure is a warning, as the run is on record without it.
        """
        try:
            files.append(self.path, last_event())
            # Matplotlib takes most of a second to import.
            from mnist_flax.plots.augmentations import draw_augmentations

            sheet = draw_augmentations(self._example, self._config)
            files.append(self.path, image_event("augmentations", sheet))
        except Exception as error:  # Whatever Matplotlib and the disk happen to raise.
            errors.warn(not_drawn("TensorBoard's augmentations", self._workdir, error))


def first_events(fields: Mapping[str, Any]) -> bytes:
    """The start of an event file: its version, then the hyperparameters.

    They are there as a table, for the tab TEXT, and for the tab HPARAMS, which compares runs.

    Args:
        fields: Name and value of each hyperparameter.
    """
    rows = "\n".join(f"| {name} | {value!r} |" for name, value in fields.items())
    table = summary.text("hyperparameters", f"| field | value |\n|---|---|\n{rows}")
    experiment, start, _ = summary.hparams(fields, dict.fromkeys(_TAGS.values()))
    return b"".join(
        [
            _frame(Event(wall_time=time.time(), file_version="brain.Event:2")),
            *(
                _frame(Event(wall_time=time.time(), summary=part))
                for part in (table, experiment, start)
            ),
        ]
    )


def scalar_events(record: Mapping[str, Any]) -> bytes:
    """One point of each curve, at the record's step; none for a value of None.

    Args:
        record: A line of metrics.jsonl.
    """
    return b"".join(
        _frame(
            Event(
                wall_time=time.time(),
                step=record["step"],
                summary=summary.scalar(tag, record[name]),
            )
        )
        for name, tag in _TAGS.items()
        if record[name] is not None
    )


def image_event(tag: str, png: bytes) -> bytes:
    """A picture.

    Args:
        tag: Its name, such as 'augmentations'.
        png: A PNG file.
    """
    with Image.open(io.BytesIO(png)) as image:
        width, height = image.size
        channels = len(image.getbands())
    picture = Summary.Image(
        width=width, height=height, colorspace=channels, encoded_image_string=png
    )
    value = Summary.Value(tag=tag, image=picture)
    return _frame(Event(wall_time=time.time(), summary=Summary(value=[value])))


def last_event() -> bytes:
    """What tells the tab HPARAMS that the run finished."""
    *_, end = summary.hparams({}, {})
    return _frame(Event(wall_time=time.time(), summary=end))


def _frame(event: Event) -> bytes:
    """An event as a TFRecord: length, its checksum, data, its checksum, all little-endian.

    https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details
    """
    data = event.SerializeToString()
    length = struct.pack("<Q", len(data))
    checksums = (struct.pack("<I", masked_crc32c(part)) for part in (length, data))
    return length + next(checksums) + data + next(checksums)
