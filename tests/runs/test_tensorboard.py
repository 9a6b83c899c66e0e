"""Event files, read back by the description of their format."""

import io
import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tensorboardX.crc32c import crc32c
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

from mnist_flax import config as config_lib
from mnist_flax import metrics
from mnist_flax.plots import augmentations, diagnostics, mistakes
from mnist_flax.runs import tensorboard
from mnist_flax.runs.writers import Answers


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


def values_of(events: list[Any]) -> dict[str, Any]:
    return {value.tag: value for event in events for value in event.summary.value}


def hparams_of(value: Any) -> HParamsPluginData:
    assert value.metadata.plugin_data.plugin_name == "hparams"
    return HParamsPluginData.FromString(value.metadata.plugin_data.content)


def test_first_events() -> None:
    version, table, *hyperparameters = read_events(
        tensorboard.first_events(
            {"seed": 0, "optimizer": "adam", "augment.degrees": 10.0, "num_epochs": 20}
        )
    )
    assert version.file_version == "brain.Event:2"
    (value,) = table.summary.value
    assert value.metadata.plugin_data.plugin_name == "text"
    assert b"| seed | 0 |\n| optimizer | 'adam' |" in value.tensor.string_val[0]
    found = values_of(hyperparameters)
    # A list of columns in one file would be that of all runs, in the order of the alphabet.
    assert found.keys() == {"_hparams_/session_start_info"}
    start = hparams_of(found["_hparams_/session_start_info"]).session_start_info.hparams
    assert {name: getattr(x, x.WhichOneof("kind")) for name, x in start.items()} == {
        "seed": 0.0,
        "optimizer": "adam",
        "augment.degrees": 10.0,
    }


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


def test_what_a_run_shows(tmp_path: Path) -> None:
    """Scalars, hyperparameters, results and pictures, in the order they were written."""
    config = config_lib.load(config_lib.default_path())
    config.augment.degrees = 45.0
    digit = np.zeros((28, 28), np.uint8)
    digit[6:22, 10:18] = 255
    writer = tensorboard.TensorBoardWriter(tmp_path, config, [], digit)
    for epoch in (1, 2):
        writer.epoch(
            {
                "epoch": epoch,
                "step": 469 * epoch,
                "learning_rate": 0.001,
                "train_loss": 0.05,
                "train_accuracy": 0.9875,
                "test_loss": 0.0165,
                "test_accuracy": 1 - 0.5**epoch,
                "train_seconds": 24.0,
                "test_seconds": 1.0,
                "images_per_second": 2500.0,
            }
        )
    answers = make_answers()
    writer.finish(SUMMARY, lambda: answers)

    (path,) = tmp_path.glob("events.out.tfevents.*")
    events = read_events(path.read_bytes())
    accuracies = [
        (event.step, value.simple_value)
        for event in events
        for value in event.summary.value
        if value.tag == "test/accuracy"
    ]
    assert accuracies == [(469, 0.5), (938, 0.75)]
    found = values_of(events)
    start = hparams_of(found["_hparams_/session_start_info"]).session_start_info.hparams
    expected = config_lib.flatten(config)
    for name in ("data_dir", "target_accuracy", "num_epochs"):
        del expected[name]
    assert {name: getattr(x, x.WhichOneof("kind")) for name, x in start.items()} == expected
    scores = metrics.score(metrics.log_probabilities(answers.logits), answers.labels)
    wrong = mistakes.find_mistakes(
        answers.images, answers.labels, np.exp(metrics.log_probabilities(answers.logits))
    )
    assert len(wrong) == 1
    for name, png in {
        "augmentations": augmentations.draw_augmentations(digit, config),
        "confusion": diagnostics.draw_confusion(scores.confusion),
        "mistakes": mistakes.draw_mistakes(wrong),
    }.items():
        picture = found[name].image
        assert picture.encoded_image_string == png
        with Image.open(io.BytesIO(png)) as image:
            assert (image.width, image.height) == (picture.width, picture.height)
            assert len(image.getbands()) == picture.colorspace
    tags = [value.tag for event in events for value in event.summary.value]
    # What a run has come to is safe before anything is drawn.
    assert tags[-10:] == [
        *("final/accuracy", "final/best_accuracy", "final/epochs"),
        *("final/first_epoch_at_target", "final/parameters", "final/seconds"),
        *("_hparams_/session_end_info", "augmentations", "confusion", "mistakes"),
    ]
    # The first columns of the tab HPARAMS: TensorBoard sorts them, and shows five.
    scalars = {value.tag for value in found.values() if value.HasField("simple_value")}
    assert all(name.startswith("final/") for name in sorted(scalars)[:5])
    assert {event.step for event in events[-10:]} == {938, 0}
    assert hparams_of(found["_hparams_/session_end_info"]).session_end_info.ByteSize()


SUMMARY = {
    "final_test_accuracy": 0.75,
    "best_test_accuracy": 0.75,
    "epochs": 2,
    "first_epoch_at_target": 2,
    "params": 19_114,
    "total_seconds": 50.0,
}


def make_answers() -> Answers:
    """Of ten images the network takes the last one, a 9, for a 4."""
    images = np.random.default_rng(0).integers(0, 256, (10, 28, 28), np.uint8)
    logits = 5 * np.eye(10, dtype=np.float32)
    logits[9] = logits[4]
    return Answers(images, np.arange(10, dtype=np.int32), logits)


def points_of(events: list[Any]) -> list[tuple[int, str]]:
    """Step and tag of every point and picture."""
    return [
        (event.step, value.tag)
        for event in events
        for value in event.summary.value
        if value.HasField("simple_value") or value.HasField("image")
    ]


def test_a_run_that_finishes_twice_shows_nothing_twice(tmp_path: Path) -> None:
    """A resume of a finished run draws again; with more epochs, there is more to show."""
    config = config_lib.load(config_lib.default_path())
    image = np.zeros((28, 28), np.uint8)
    history = [make_record(1)]
    for epochs in (1, 1, 2):
        writer = tensorboard.TensorBoardWriter(tmp_path, config, history, image)
        if epochs == 2:
            writer.epoch(make_record(2))
        writer.finish(SUMMARY, make_answers)
    (path,) = tmp_path.glob("events.out.tfevents.*")
    points = points_of(read_events(path.read_bytes()))
    assert len(points) == len(set(points)) == 2 * (6 + 6 + 3)
    assert {step for step, tag in points if tag == "confusion"} == {469, 938}


def test_a_target_that_was_never_met_has_no_point() -> None:
    events = read_events(
        tensorboard.result_events(469, SUMMARY | {"first_epoch_at_target": None})
    )
    assert len(values_of(events)) == len(SUMMARY) - 1


def test_many_mistakes_do_not_make_a_tower(tmp_path: Path) -> None:
    config = config_lib.load(config_lib.default_path())
    writer = tensorboard.TensorBoardWriter(
        tmp_path, config, [make_record(1)], np.zeros((28, 28), np.uint8)
    )
    images = np.zeros((300, 28, 28), np.uint8)
    wrong = Answers(images, np.zeros(300, np.int32), np.tile(np.float32([0, 9]), (300, 5)))
    writer.finish(SUMMARY, lambda: wrong)
    (path,) = tmp_path.glob("events.out.tfevents.*")
    picture = values_of(read_events(path.read_bytes()))["mistakes"].image
    assert picture.height < 4 * picture.width


def make_record(epoch: int) -> dict[str, Any]:
    names = ("learning_rate", "train_loss", "train_accuracy", "test_loss", "test_accuracy")
    return {
        "step": 469 * epoch,
        **dict.fromkeys(names, 0.5**epoch),
        "images_per_second": 2500.0,
    }


@pytest.mark.parametrize("lost", [0, 1, 40, 400])
def test_a_resume_continues_the_same_file_and_shows_no_point_twice(
    tmp_path: Path, lost: int
) -> None:
    """A kill may cut off the last events; an open TensorBoard reads on in the same file."""
    config = config_lib.load(config_lib.default_path())
    image = np.zeros((28, 28), np.uint8)
    first = tensorboard.TensorBoardWriter(tmp_path, config, [], image)
    for epoch in (1, 2):
        first.epoch(make_record(epoch))
    inode = first.path.stat().st_ino
    os.truncate(first.path, first.path.stat().st_size - lost)

    history = [make_record(1), make_record(2)]
    again = tensorboard.TensorBoardWriter(tmp_path, config, history, image)
    again.epoch(make_record(3))
    assert again.path == first.path
    assert again.path.stat().st_ino == inode
    events = read_events(again.path.read_bytes())
    points = points_of(events)
    assert len(points) == len(set(points)) == 3 * 6
    # Points of epochs that are trained anew would be dropped.
    (restart,) = (event for event in events if event.HasField("session_log"))
    assert restart.session_log.status == restart.session_log.START
    assert restart.step == 2 * 469 + 1


def test_tensorflow_is_not_needed() -> None:
    command = (
        "import json, sys; from mnist_flax import train; print(json.dumps([*sys.modules]))"
    )
    out = subprocess.run(
        [sys.executable, "-c", command], capture_output=True, text=True, check=True
    )
    imported = {name.partition(".")[0] for name in json.loads(out.stdout)}
    assert "tensorboardX" in imported
    assert not {"tensorflow", "torch", "tensorboard", "matplotlib"} & imported
