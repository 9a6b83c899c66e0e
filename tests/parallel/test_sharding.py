"""Several devices compute what one does."""

import json
import os
import subprocess
from pathlib import Path

import jax
import numpy as np
import pytest
from helpers import backend_forms, forks

from mnist_flax import architecture
from mnist_flax.errors import UserError
from mnist_flax.parallel import sharding

# 10 batches of 128 and one of 96.
COMMAND = [
    *("-m", "mnist_flax.main", "--config.num_epochs=3"),
    *("--config.train_split=train[:1376]", "--config.test_split=test[:1001]"),
]

STEPS = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from helpers import many_devices
many_devices.main(*sys.argv[1:])
"""


def run(devices, *arguments):
    return subprocess.run(
        [*forks.python(), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "JAX_NUM_CPU_DEVICES": str(devices)},
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("platform", "layers", "counts"),
    [
        *zip(backend_forms.PLATFORMS, ["4 pool 8k1"] * 3, ([8], [2], [4]), strict=True),
        *(
            pytest.param(platform, architecture.DEFAULT, [2, 4, 8], marks=pytest.mark.long)
            for platform in backend_forms.PLATFORMS
        ),
    ],
)
def test_steps_are_those_of_one_device(platform, layers, counts):
    result = run(8, "-c", STEPS, platform, layers, *counts)
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report.keys() == set(map(str, counts))
    for found in report.values():
        # float64, after ten steps of Adam of 1e-3.
        assert found["loss"] < 1e-9
        assert found["state"] < 1e-9
        # No device is sent what others compute: only sums go round.
        assert found["gathers"] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "layers",
    ["4 pool 8k1", pytest.param(architecture.DEFAULT, marks=pytest.mark.long)],
)
def test_a_run_on_eight_devices_is_that_of_one(tmp_path, data_dir, layers):
    lines = []
    for devices in (1, 8):
        workdir = tmp_path / str(devices)
        layers_flag = f"--config.model.architecture={layers}"
        result = run(devices, *COMMAND, layers_flag, "--workdir", workdir)
        assert result.returncode == 0, result.stderr
        assert json.loads((workdir / "summary.json").read_text())["device_count"] == devices
        texts = (workdir / "metrics.jsonl").read_text().splitlines()
        lines.append([json.loads(text) for text in texts])
    for one, eight in zip(*lines, strict=True):
        assert eight["step"] == one["step"]
        assert eight["train_loss"] == pytest.approx(one["train_loss"], rel=1e-4)
        assert eight["train_accuracy"] == pytest.approx(one["train_accuracy"], abs=3e-3)
        assert eight["test_loss"] == pytest.approx(one["test_loss"], rel=5e-3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--config.batch_size=100"], "batch_size is 100, which 8 devices cannot share evenly"),
        (["--config.train_split=train[:1290]"], "a last batch of 10 of the 1290 images"),
    ],
)
def test_batches_that_cannot_be_shared(tmp_path, data_dir, arguments, words):
    result = run(8, *COMMAND, *arguments, "--workdir", tmp_path / "run")
    assert result.returncode == 2
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_batches_that_can_be_shared(monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: 8)
    sharding.check_divisible(128, 60_000)
    with pytest.raises(UserError, match="choose a multiple of 8"):
        sharding.check_divisible(12, 60_000)


def test_a_batch_is_what_its_indices_say():
    """With one device here; test_a_run_on_eight_devices has eight."""
    images = np.arange(9 * 784, dtype=np.int64).astype(np.uint8).reshape(9, 28, 28)
    arrays = images, np.arange(9, dtype=np.int32)
    split = sharding.DeviceSplit(*sharding.replicate(arrays, sharding.make_mesh()))
    assert split.size == 9
    assert split.mesh.size == 1
    indices = np.array([8, 0, 3, 3])
    for found, expected in zip(sharding.take(split, indices), arrays, strict=True):
        np.testing.assert_array_equal(found, expected[indices])


@pytest.mark.parametrize("offset", [0, 16])
def test_replicated_arrays_are_copies(offset):
    # At multiples of 64 bytes a CPU can use NumPy's memory as it is.
    memory = np.zeros(128, np.uint8)
    begin = -memory.ctypes.data % 64 + offset
    array = memory[begin : begin + 16].view(np.float32)
    key = jax.random.key(3)
    copies = sharding.replicate((array, key), sharding.make_mesh())
    copy, same = jax.block_until_ready(copies)
    array[:] = 1
    np.testing.assert_array_equal(copy, np.zeros(4))
    np.testing.assert_array_equal(jax.random.key_data(same), jax.random.key_data(key))
