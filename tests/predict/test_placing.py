"""A mark is scaled to 20x20 and its mass is put into the middle of 28x28."""

import numpy as np
import pytest
from helpers.drawings import drawn, pixels
from scipy import ndimage

from mnist_flax.predict import images, placing, strokes
from mnist_flax.predict.contrast import Ink


def placed(level: np.ndarray) -> np.ndarray:
    """uint8[28,28] of the largest mark in ink."""
    ink = Ink(level.astype(np.float32), 0.05, 1.0, 255 * (1 - level))
    return placing.to_mnist(ink, strokes.find_marks(ink)[0])


def stroke_width(image: np.ndarray) -> float:
    """The width of an upright stroke in uint8[28,28], in pixels."""
    rows = image[image.any(1)].sum(1) / 255.0
    return float(np.median(rows))


def test_size_and_place(three) -> None:
    for image in (
        three,
        three.resize((500, 300)),
        three.rotate(90),
        three.crop((0, 0, 80, 120)),
    ):
        seen = images.to_mnist(pixels(image))
        assert seen.dtype == np.uint8
        assert seen.shape == (28, 28)
        assert seen.max() == 255
        rows, columns = (np.flatnonzero(seen.any(axis)) for axis in (1, 0))
        assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20
        assert np.abs(np.array(ndimage.center_of_mass(seen)) - 14).max() <= 0.5


@pytest.mark.parametrize("number", range(10))
@pytest.mark.parametrize("side", [40, 240])
def test_shape_is_kept(number, side) -> None:
    level = 1 - pixels(drawn(number, side, max(2, side // 20))) / 255
    rows, columns = (np.flatnonzero((level > 0.2).any(axis)) for axis in (1, 0))
    seen = placed(level)
    sides = [np.ptp(np.flatnonzero(seen.any(axis))) + 1 for axis in (1, 0)]
    assert max(sides) == 20
    ratio = (np.ptp(rows) + 1) / (np.ptp(columns) + 1)
    assert sides[0] / sides[1] == pytest.approx(ratio, rel=0.35 if min(sides) < 6 else 0.15)


def test_mass_in_the_corner_is_not_pushed_out() -> None:
    # A heavy corner: with its mass in the middle it would leave the image.
    level = np.zeros((100, 100))
    level[20:80, 20:23] = 1
    level[77:80, 20:80] = 1
    level[60:80, 20:40] = 1
    seen = placed(level)
    rows, columns = (np.flatnonzero(seen.any(axis)) for axis in (1, 0))
    assert np.ptp(rows) + 1 == np.ptp(columns) + 1 == 20


@pytest.mark.parametrize("width", [1, 2, 4])
def test_the_strokes_of_a_fine_pen_are_widened(width) -> None:
    level = np.zeros((400, 400))
    level[50:350, 200 : 200 + width] = 1
    # Scaled by 20/300, it would be at most 0.3 pixels wide.
    assert stroke_width(placed(level)) >= 1.3


@pytest.mark.parametrize("width", [40, 60])
def test_other_strokes_keep_their_width(width) -> None:
    level = np.zeros((400, 400))
    level[50:350, 200 : 200 + width] = 1
    assert stroke_width(placed(level)) == pytest.approx(width * 20 / 300, abs=0.5)


def test_full_ink_is_255_however_pale_it_is() -> None:
    level = 0.3 * (1 - pixels(drawn(3, 200, 20)) / 255)
    ink = Ink(level.astype(np.float32), 0.05, 0.3, 255 * (1 - level))
    seen = placing.to_mnist(ink, strokes.find_marks(ink)[0])
    assert seen.max() == 255
    assert (seen > 200).mean() > 0.05


def test_neighbours_are_left_out() -> None:
    level = np.zeros((100, 200))
    level[20:80, 50:58] = 1
    alone = placed(level)
    level[25:78, 75:82] = 1
    np.testing.assert_array_equal(placed(level), alone)
