"""Ink becomes marks: each digit one, without specks, blots, frames and neighbours."""

import numpy as np
import pytest
from helpers.drawings import drawn, pixels, printed
from PIL import Image, ImageDraw

from mnist_flax.predict import strokes
from mnist_flax.predict.contrast import Ink
from mnist_flax.predict.marks import Mark

SIDE = 240


def marks_of(level: np.ndarray) -> list[Mark]:
    level = level.astype(np.float32)
    return strokes.find_marks(Ink(level, 0.1, 1.0, 255 * (1 - level)))


def digit(number: int, width: int = 12) -> np.ndarray:
    """float32[SIDE,SIDE], 0 to 1: a drawn digit."""
    return 1 - pixels(drawn(number, SIDE, width)) / 255


def text(words: str, size: int = 60) -> np.ndarray:
    """float32[H,W], 0 to 1: printed digits with a margin."""
    image = Image.new("L", (60 * len(words) * size // 60 + 60, 2 * size), 255)
    one = printed("0", "DejaVuSans", size)
    at = 30
    for each in words:
        glyph = printed(each, "DejaVuSans", size)
        left, _, right, _ = glyph.point(lambda shade: 255 * (shade < 128)).getbbox()
        image.paste(glyph.crop((left, 0, right, one.height)), (at, 0))
        at += right - left + size // 8
    return 1 - pixels(image) / 255


def box_of(level: np.ndarray) -> tuple[slice, slice]:
    rows, columns = (np.flatnonzero((level > 0.4).any(axis)) for axis in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def assert_box(mark: Mark, expected: tuple[slice, slice], within: int = 2) -> None:
    for side, other in zip(mark.box, expected, strict=True):
        assert abs(side.start - other.start) <= within
        assert abs(side.stop - other.stop) <= within


@pytest.mark.parametrize("number", range(10))
@pytest.mark.parametrize("width", [3, 12, 30])
def test_a_digit_is_one_mark(number, width) -> None:
    level = digit(number, width)
    (mark,) = marks_of(level)
    assert_box(mark, box_of(level))
    assert mark.height == mark.mask.shape[0]
    assert mark.size == max(mark.mask.shape)
    assert mark.area == mark.mask.sum()
    assert mark.area == pytest.approx((level > 0.5).sum(), rel=0.1)
    assert not mark.rim


@pytest.mark.parametrize("width", [4, 10, 24])
def test_the_width_of_strokes(width) -> None:
    level = np.zeros((SIDE, SIDE))
    level[30:210, 100 : 100 + width] = 1
    (mark,) = marks_of(level)
    assert mark.width == pytest.approx(width, rel=0.2)


def test_nothing() -> None:
    assert marks_of(np.zeros((50, 50))) == []


def test_specks_are_left_out() -> None:
    level = digit(3)
    expected = box_of(level)
    rng = np.random.default_rng(0)
    for y, x in rng.integers(2, SIDE - 4, (40, 2)):
        level[y : y + 2, x : x + 2] = 1
    (mark,) = marks_of(level)
    assert_box(mark, expected, within=4)


def test_a_blot_beside_the_digit_is_not_a_part_of_it() -> None:
    level = digit(3)
    expected = box_of(level)
    y, x = np.indices(level.shape)
    for at in ((17, 120), (120, 18)):
        blot = level.copy()
        blot[np.hypot(y - at[0], x - at[1]) < 17] = 1
        assert_box(marks_of(blot)[0], expected)


@pytest.mark.parametrize("inset", [0, 4])
@pytest.mark.parametrize("width", [1, 4])
def test_a_frame_is_left_out(inset, width) -> None:
    level = digit(5)
    expected = box_of(level)
    edge = np.ones_like(level)
    inner = inset + width
    edge[inner:-inner, inner:-inner] = 0
    if inset:
        edge[:inset], edge[-inset:], edge[:, :inset], edge[:, -inset:] = 0, 0, 0, 0
    marks = marks_of(np.maximum(level, edge))
    assert_box(marks[0], expected)


@pytest.mark.parametrize("gap", [3, 6])
@pytest.mark.parametrize("at", [0.35, 0.5, 0.65])
def test_broken_strokes_are_joined(gap, at) -> None:
    for number in (0, 2, 3, 5, 6, 8, 9):
        level = digit(number)
        expected = box_of(level)
        row = int(expected[0].start + at * (expected[0].stop - expected[0].start))
        level[row : row + gap] = 0
        (mark,) = marks_of(level)
        assert_box(mark, expected)


def test_the_upper_stroke_of_a_5_belongs_to_it() -> None:
    level = np.zeros((SIDE, SIDE))
    image = Image.fromarray(level.astype(np.uint8))
    pen = ImageDraw.Draw(image)
    pen.line([(90, 70), (85, 110), (130, 110), (140, 150), (120, 185), (80, 180)], 255, 10)
    pen.line([(97, 56), (150, 52)], 255, 10)
    level = pixels(image) / 255
    (mark,) = marks_of(level)
    assert_box(mark, box_of(level))


@pytest.mark.parametrize("words", ["42", "10", "11", "365", "8097", "1111", "5544"])
@pytest.mark.parametrize("size", [40, 80])
def test_neighbours_are_not_joined(words, size) -> None:
    level = text(words, size)
    assert len(marks_of(level)) == len(words)


def test_marks_are_in_the_order_of_their_size() -> None:
    level = np.zeros((200, 300))
    for i, side in enumerate((40, 100, 70, 20)):
        level[50 : 50 + side, 10 + 70 * i : 18 + 70 * i] = 1
    # The fourth is less than a third of the largest.
    assert [mark.size for mark in marks_of(level)] == [100, 70, 40]


@pytest.mark.parametrize("number", range(10))
def test_a_tight_crop(number) -> None:
    level = digit(number, 18)
    tight = level[box_of(level)]
    mark = marks_of(tight)[0]
    assert mark.rim
    assert mark.mask.shape == tight.shape
    assert mark.area == pytest.approx((tight > 0.5).sum(), rel=0.1)


def test_a_tight_crop_with_a_speck_is_not_the_speck() -> None:
    level = digit(7, 18)
    tight = level[box_of(level)].copy()
    tight[-12:-6, -12:-6] = 1
    assert marks_of(tight)[0].size == max(tight.shape)


def test_the_lowest_threshold_at_which_the_digit_stands_by_itself() -> None:
    # Lines half as dark as the digit join it with the rim; above them it is by itself.
    level = digit(6)
    expected = box_of(level)
    level = np.maximum(level, np.where(np.arange(SIDE)[:, None] % 40 < 2, 0.5, 0))
    assert_box(marks_of(level)[0], expected)


def test_a_sheet_of_paper_is_known() -> None:
    sheet = np.ones((160, 120), bool)
    sheet[50:110, 55:63] = False
    full = np.zeros((200, 160))
    full[20:180, 20:140] = sheet
    (mark, *_) = marks_of(full)
    assert strokes.is_sheet(mark)
    for number in range(10):
        (mark,) = marks_of(digit(number, 30))
        assert not strokes.is_sheet(mark)


@pytest.mark.parametrize("degrees", [-15, -8, 5, 12])
def test_a_turned_sheet_of_paper_is_known(degrees) -> None:
    sheet = Image.new("L", (120, 160), 255)
    ImageDraw.Draw(sheet).line([(60, 50), (60, 110)], fill=0, width=8)
    table = Image.new("L", (260, 260))
    table.paste(sheet, (70, 50))
    level = pixels(table.rotate(degrees)) / 255
    (mark, *_) = marks_of(level)
    assert strokes.is_sheet(mark)


def test_a_solid_square_is_no_sheet() -> None:
    # Nothing is on it.
    level = np.zeros((100, 100))
    level[30:70, 30:70] = 1
    (mark,) = marks_of(level)
    assert not strokes.is_sheet(mark)
