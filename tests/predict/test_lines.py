"""Lines of the paper are taken out of the ink; a digit's own strokes are not."""

import numpy as np
import pytest
from helpers.drawings import drawn, pixels
from PIL import Image, ImageDraw
from scipy import ndimage

from mnist_flax.predict import lines
from mnist_flax.predict.contrast import Ink

SIDE = 240


def as_ink(level: np.ndarray) -> Ink:
    level = level.astype(np.float32)
    return Ink(level, 0.1, 1.0, 255 * (1 - level))


def digit(number: int, width: int = 10) -> np.ndarray:
    """float32[SIDE,SIDE], 0 or 1: a drawn digit, 140 pixels high."""
    return (pixels(drawn(number, SIDE, width)) < 128).astype(np.float32)


def ruled(spacing: int, width: int, slope: float = 0.0) -> np.ndarray:
    """float32[SIDE,SIDE], 0 or 1: lines from rim to rim."""
    image = Image.new("L", (SIDE, SIDE))
    pen = ImageDraw.Draw(image)
    for y in range(-SIDE, 2 * SIDE, spacing):
        pen.line([(-5, y - 5 * slope), (SIDE + 5, y + (SIDE + 5) * slope)], 255, width)
    return (pixels(image) > 0).astype(np.float32)


def boxed(inset: int, width: int) -> np.ndarray:
    """float32[SIDE,SIDE], 0 or 1: a square frame."""
    frame = np.zeros((SIDE, SIDE), np.float32)
    frame[inset : SIDE - inset, inset : SIDE - inset] = 1
    inner = inset + width
    frame[inner : SIDE - inner, inner : SIDE - inner] = 0
    return frame


def assert_taken_out(paper: np.ndarray, strokes: np.ndarray) -> None:
    """The lines are gone but for their crossings with the strokes, which stay in one piece."""
    rest = lines.without_lines(as_ink(np.maximum(paper, strokes)))
    kept = rest.level > 0.1
    # A line's pixels within its width of a stroke may stay.
    near = ndimage.binary_dilation(strokes > 0, iterations=6)
    assert (kept & (paper > 0) & ~near).sum() <= 0.03 * (paper > 0).sum()
    # On squared paper, the bar of a 5 may look like a line.
    labels, _ = ndimage.label(kept & (strokes > 0), np.ones((3, 3)))
    largest = np.bincount(labels.ravel())[1:].max()
    assert largest >= 0.8 * (strokes > 0).sum()


@pytest.mark.parametrize("number", [0, 2, 3, 5, 6, 8, 9])
@pytest.mark.parametrize(("spacing", "width"), [(47, 1), (60, 2), (110, 3)])
def test_ruled(number, spacing, width) -> None:
    assert_taken_out(ruled(spacing, width), digit(number))


@pytest.mark.parametrize("number", [0, 2, 3, 5, 6, 8, 9])
def test_upright_lines(number) -> None:
    assert_taken_out(ruled(60, 2).T, digit(number))


@pytest.mark.parametrize("number", [0, 3, 5, 8])
@pytest.mark.parametrize(("spacing", "width"), [(31, 1), (53, 2)])
def test_squared(number, spacing, width) -> None:
    assert_taken_out(np.maximum(ruled(spacing, width), ruled(spacing, width).T), digit(number))


@pytest.mark.parametrize("degrees", [-8, -3, 2, 6])
def test_slightly_turned_lines(degrees) -> None:
    slope = np.tan(np.radians(degrees))
    for number in (0, 3, 5, 8):
        assert_taken_out(ruled(60, 2, slope), digit(number))


@pytest.mark.parametrize("width", [1, 3])
def test_a_box(width) -> None:
    for number in (0, 3, 5, 8):
        assert_taken_out(boxed(15, width), digit(number))


# A '1', a '4', a '7' and a '5' as with a ruler: (x, y) in shares of the digit's box.
RULER = {
    1: [[(0.5, 0), (0.5, 1)]],
    4: [[(0.3, 0), (0.0, 0.65), (1, 0.65)], [(0.7, 0.3), (0.7, 1)]],
    7: [[(0, 0), (1, 0), (0.4, 1)]],
    5: [[(1, 0), (0, 0), (0, 0.45), (1, 0.45), (1, 1), (0, 1)]],
}


def by_ruler(number: int, width: int, margin: int) -> np.ndarray:
    """float32[H,W], 0 or 1: a digit of straight strokes, 140 pixels high and 90 wide."""
    image = Image.new("L", (90 + 2 * margin, 140 + 2 * margin))
    pen = ImageDraw.Draw(image)
    for stroke in RULER[number]:
        points = [(margin + 89 * x, margin + 139 * y) for x, y in stroke]
        pen.line(points, fill=255, width=width)
    return (pixels(image) > 0).astype(np.float32)


@pytest.mark.parametrize("number", RULER)
@pytest.mark.parametrize("width", [2, 5])
@pytest.mark.parametrize("margin", [30, 80, 200])
def test_a_digits_own_straight_strokes_stay(number, width, margin) -> None:
    strokes = by_ruler(number, width, margin)
    rest = lines.without_lines(as_ink(strokes))
    np.testing.assert_array_equal(rest.level, strokes)


@pytest.mark.parametrize("number", RULER)
@pytest.mark.parametrize("width", [4, 9])
def test_a_tight_crop_keeps_its_strokes(number, width) -> None:
    strokes = by_ruler(number, width, 40)
    rows, columns = (np.flatnonzero(strokes.any(axis)) for axis in (1, 0))
    tight = strokes[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    rest = lines.without_lines(as_ink(tight))
    assert (rest.level > 0.1).sum() >= 0.95 * tight.sum()


def test_a_sheet_without_lines_stays_as_it_is() -> None:
    ink = as_ink(digit(8))
    assert lines.without_lines(ink) is ink


def test_nothing_but_lines_is_not_emptied() -> None:
    ink = as_ink(ruled(60, 2))
    rest = lines.without_lines(ink)
    assert rest.most > 1.3 * rest.floor


@pytest.mark.parametrize("tall", [25, 50, 90])
@pytest.mark.parametrize("width", [1, 3])
def test_a_comb_is_removed(tall, width) -> None:
    five, comb = digit(5), np.zeros((SIDE, SIDE), np.float32)
    comb[200 : 200 + width] = 1
    comb[200 - tall : 200, 30 : 30 + width] = comb[200 - tall : 200, 215 : 215 + width] = 1
    left = lines.without_lines(as_ink(np.maximum(five, comb))).level
    # Some pixels where lines meet are none's.
    assert (left[(comb > 0) & (five == 0)] > 0).sum() <= 20
    assert (left[five > 0] > 0).mean() > 0.98


def test_a_1_on_a_line_is_no_tooth() -> None:
    level = np.zeros((SIDE, SIDE), np.float32)
    level[200:202] = 1
    level[80:200, 119:121] = 1
    left = lines.without_lines(as_ink(level)).level
    assert left[80:198, 119:121].all()


def test_a_box_of_which_the_digit_covers_a_side() -> None:
    seven, frame = np.zeros((2, SIDE, SIDE), np.float32)
    seven[60:72, 60:180] = 1
    for row in range(72, 190):
        middle = int(170 - 0.5 * (row - 72))
        seven[row, middle - 6 : middle + 6] = 1
    frame[62:200, 58:182] = 1
    frame[64:198, 60:180] = 0
    left = lines.without_lines(as_ink(np.maximum(seven, frame))).level
    assert not left[80:190, 58:60].any()
    assert not left[80:190, 180:182].any()
    assert (left[seven > 0] > 0).mean() > 0.95


@pytest.mark.parametrize("offset", [0, 1])
def test_a_bar_along_a_lighter_line_stays(offset) -> None:
    """The bar of a 7 by a fine pen lies on the squared paper's lines, from one to another."""
    squares = np.maximum(ruled(40, 1), ruled(40, 1).T)
    bar = np.zeros((SIDE, SIDE), np.float32)
    bar[80 + offset : 84, 80:160] = 1
    for row in range(84, 190):
        middle = int(156 - 0.4 * (row - 84))
        bar[row, middle - 2 : middle + 2] = 1
    left = lines.without_lines(as_ink(np.maximum(0.5 * squares, bar))).level
    assert (left[bar > 0] > 0).mean() > 0.95
    assert (left[(squares > 0) & (bar == 0)] > 0).mean() < 0.1
