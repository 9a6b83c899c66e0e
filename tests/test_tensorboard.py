"""Event files, read back by the description of their format."""

import struct
from typing import Any

from tensorboardX.crc32c import crc32c
from tensorboardX.proto.event_pb2 import Event

from mnist_flax import tensorboard


def read_events(data: bytes) -> list[Any]:
    """Parses TFRecords, checking every checksum, into Event protocol buffers."""
    events = []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        record, end = data[12 : 12 + length], 16 + length
        for part, stored in ((data[:8], data[8:12]), (record, data[12 + length : end])):
            crc = crc32c(part)
            rotated = (crc >> 15 | crc << 17) & 0xFFFFFFFF
            assert struct.pack("<I", (rotated + 0xA282EAD8) & 0xFFFFFFFF) == stored
        events.append(Event.FromString(record))
        data = data[end:]
    return events


def test_first_events() -> None:
    version, hyperparameters = read_events(
        tensorboard.first_events({"seed": 0, "optimizer": "adam"})
    )
    assert version.file_version == "brain.Event:2"
    (value,) = hyperparameters.summary.value
    assert value.metadata.plugin_data.plugin_name == "text"
    assert b"| seed | 0 |\n| optimizer | 'adam' |" in value.tensor.string_val[0]


def test_scalar_events() -> None:
    record = {
        "epoch": 2,
        "step": 938,
        "learning_rate": 0.001,
        "train_loss": 0.25,
        "train_accuracy": 0.875,
        "test_loss": None,
        "test_accuracy": 0.9375,
        "images_per_second": 2048.0,
    }
    events = read_events(tensorboard.scalar_events(record))
    assert {event.step for event in events} == {938}
    values = [value for event in events for value in event.summary.value]
    assert {value.tag: round(value.simple_value, 6) for value in values} == {
        "train/loss": 0.25,
        "train/accuracy": 0.875,
        "test/accuracy": 0.9375,
        "learning_rate": 0.001,
        "images_per_second": 2048.0,
    }
