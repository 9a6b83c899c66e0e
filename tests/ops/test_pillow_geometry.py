"""Every angle and scale that the default config can draw, against Pillow in float64.

python -m pytest tests/ops/test_pillow_geometry.py            # one in 101
python -m pytest tests/ops/test_pillow_geometry.py -m long    # 11 million of them
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mnist_flax.ops import pillow_geometry


def pillow_rotation(degrees: np.ndarray) -> np.ndarray:
    """Pillow's recipe in float64, Image.rotate and affine_fixed: int64[4,N]."""
    angle = -np.radians(degrees.astype(np.float64) % 360.0)
    cos, sin = np.round(np.cos(angle), 15), np.round(np.sin(angle), 15)
    x0 = cos * -14 + sin * -14 + 14
    y0 = -sin * -14 + cos * -14 + 14
    exact = cos, -sin, x0 + cos * 0.5 + sin * 0.5, y0 + -sin * 0.5 + cos * 0.5
    return np.floor(np.stack(exact) * 65536 + 0.5).astype(np.int64)


@pytest.mark.parametrize("stride", [101, pytest.param(1, marks=pytest.mark.long)])
def test_rotation_of_every_angle_that_can_be_drawn(stride: int) -> None:
    """A uniform draw is k / 2^23, scaled: with one rounding or two, as the compiler likes."""
    unit = np.arange(0, 2**23, stride, dtype=np.float32) / np.float32(2**23)
    two_roundings = unit * np.float32(20) + np.float32(-10)
    one_rounding = (unit.astype(np.float64) * 20 - 10).astype(np.float32)
    wide = np.random.default_rng(2).uniform(-360, 360, len(unit)).astype(np.float32)
    rotation = jax.jit(pillow_geometry.rotation)
    for degrees in (two_roundings, one_rounding, wide):
        assert (np.stack(rotation(degrees)) != pillow_rotation(degrees)).sum() == 0


@pytest.mark.parametrize("stride", [101, pytest.param(1, marks=pytest.mark.long)])
def test_affine_of_every_scale_that_can_be_drawn(stride: int) -> None:
    """All float32 in [0.9, 1.1] and all whole-pixel shifts, against Pillow's running sum."""
    first, last = np.float32([0.9, 1.1]).view(np.int32)
    scales = np.arange(first, last + 1, stride, dtype=np.int32).view(np.float32)
    scales = np.append(scales, np.float32([0.9, 0.9375, 1.0, 1.0625, 1.1]))
    positions = jax.jit(pillow_geometry.scaled_positions)
    different = set()
    for shift in range(-3, 4):
        got = np.asarray(positions(jnp.full(len(scales), shift), scales))
        step = 1.0 / scales.astype(np.float64)
        running = step * (-14.0 - shift) + 14.0 + step * 0.5
        for column in range(28):
            theirs = np.where((running >= 0) & (running < 28), np.trunc(running), -1)
            mine = np.where((got[:, column] >= 0) & (got[:, column] < 28), got[:, column], -1)
            different |= set(scales[mine != theirs].tolist())
            running += step
    # At 15/16 a position is a whole number, and Pillow's sum of rounded steps lands below it.
    assert different == {0.9375}
