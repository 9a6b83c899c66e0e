"""The parts of a digit are joined across the gaps in its strokes; what is no part is not."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from mnist_flax.predict import grouping, strokes
from mnist_flax.predict.marks import Mark

SIDE = 200


def parts_of(*rectangles: tuple[int, int, int, int]) -> list[Mark]:
    """Bars, each left, top, right, bottom in pixels."""
    image = Image.new("L", (SIDE, SIDE))
    for each in rectangles:
        ImageDraw.Draw(image).rectangle(each, 255)
    return strokes.find_parts(np.asarray(image) > 0)


UPPER = (90, 20, 105, 100)


@pytest.mark.parametrize("gap", [3, 8, 14])
def test_a_gap_in_a_stroke_is_bridged(gap) -> None:
    (mark,) = grouping.group(parts_of(UPPER, (90, 101 + gap, 105, 180)), many=False)
    rows = slice(100 - 20, 101 + gap - 20)
    assert mark.mask.shape == (161, 16)
    # All of the gap but for its corners.
    assert mark.mask[rows, 4:-4].all()


def test_short_pieces_of_a_stroke_are_joined() -> None:
    pieces = [(90, y, 105, y + 21) for y in range(20, 150, 25)]
    (mark,) = grouping.group(parts_of(*pieces), many=False)
    assert mark.height == 147


def test_strokes_side_by_side_are_two_digits() -> None:
    bars = parts_of(UPPER, (130, 20, 145, 100))
    assert len(grouping.group(bars, many=False)) == 2
    near = parts_of(UPPER, (112, 20, 127, 100))
    assert len(grouping.group(near, many=False)) == 1
    # Where several digits are expected, they may stand as close.
    assert len(grouping.group(near, many=True)) == 2


@pytest.mark.parametrize("radius", [9, 12, 16])
@pytest.mark.parametrize("height", [40, 100])
def test_a_punch_hole_is_no_part_of_a_digit(radius, height) -> None:
    y, x = np.indices((SIDE, SIDE))
    mask = np.zeros((SIDE, SIDE), bool)
    mask[20:140, 90:105] = True
    mask |= np.hypot(y - height, x - (80 - radius)) < radius + 0.5
    assert len(grouping.group(strokes.find_parts(mask), many=False)) == 2


def test_joining_without_a_bridge_leaves_the_gap() -> None:
    one, other = parts_of(UPPER, (90, 110, 105, 180))
    mark = grouping.join(one, other, bridged=False)
    assert mark.area == one.area + other.area
    assert mark.rim == one.rim + other.rim
    assert mark.width == pytest.approx(one.width, rel=0.05)
