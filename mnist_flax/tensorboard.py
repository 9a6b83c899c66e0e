"""TensorBoard's event files, as bytes to append to one.

tensorboardX's own writer hands events to a thread, where a full disk is a traceback and not an
error of the run. Its protocol buffers and checksum are used here without it.
"""

import struct
import time
from collections.abc import Mapping
from typing import Any

from tensorboardX import summary
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.record_writer import masked_crc32c

_TAGS = {
    "train_loss": "train/loss",
    "train_accuracy": "train/accuracy",
    "test_loss": "test/loss",
    "test_accuracy": "test/accuracy",
    "learning_rate": "learning_rate",
    "images_per_second": "images_per_second",
}


def first_events(fields: Mapping[str, Any]) -> bytes:
    """The start of an event file: its version, then the hyperparameters as a table.

    Args:
        fields: Name and value of each hyperparameter.
    """
    rows = "\n".join(f"| {name} | {value!r} |" for name, value in fields.items())
    table = summary.text("hyperparameters", f"| field | value |\n|---|---|\n{rows}")
    return _frame(Event(wall_time=time.time(), file_version="brain.Event:2")) + _frame(
        Event(wall_time=time.time(), summary=table)
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


def _frame(event: Event) -> bytes:
    """An event as a TFRecord: length, its checksum, data, its checksum, all little-endian.

    https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details
    """
    data = event.SerializeToString()
    length = struct.pack("<Q", len(data))
    checksums = (struct.pack("<I", masked_crc32c(part)) for part in (length, data))
    return length + next(checksums) + data + next(checksums)
