"""Pictures of a digit by what is on the paper and around it."""

import numpy as np
from PIL import Image
from scipy import ndimage

from helpers.own_digits import sheets
from helpers.own_digits.sheets import Rng, image, inked, noisy, place, shades


def frame(
    rng: Rng, glyph: np.ndarray, below: tuple[float, float], width: int, inset: int
) -> Image.Image:
    """A line around the sheet, darker than it by `below`, up to `inset` pixels off the rim."""
    paper, pen = shades(rng)
    picture = inked(place(rng, glyph).ink, paper, pen)
    width, inset = int(rng.integers(1, width + 1)), int(rng.integers(inset + 1))
    line = np.zeros(picture.shape, bool)
    y, x = picture.shape
    line[inset : y - inset, inset : x - inset] = True
    outer = inset + width
    line[outer : y - outer, outer : x - outer] = False
    picture[line] = max(paper - rng.uniform(*below), 0)
    return image(picture)


def scanner_edge(rng: Rng, glyph: np.ndarray, sides: int) -> Image.Image:
    """Black edges on some sides, where the sheet was smaller than the scanner."""
    return _bordered(rng, glyph, sides, (0.015, 0.08), (0, 35))


def table(rng: Rng, glyph: np.ndarray, sides: int) -> Image.Image:
    """The sheet and, on some sides, the table below it."""
    return _bordered(rng, glyph, sides, (0.08, 0.2), (50, 160))


def _bordered(
    rng: Rng,
    glyph: np.ndarray,
    sides: int,
    width: tuple[float, float],
    shade: tuple[float, float],
) -> Image.Image:
    """Adds borders, each its `width` as a share of the picture's longer side."""
    ink = place(rng, glyph).ink
    wide = np.zeros(4, int)
    chosen = rng.permutation(4)[:sides]
    wide[chosen] = np.maximum(2, rng.uniform(*width, sides) * max(ink.shape))
    paper, pen = shades(rng)
    around = wide.reshape(2, 2)
    picture = np.pad(inked(ink, paper, pen), around, constant_values=rng.uniform(*shade))
    return image(noisy(rng, ndimage.gaussian_filter(picture, 0.6), 2))


def on_table(rng: Rng, glyph: np.ndarray, degrees: float) -> Image.Image:
    """A whole sheet on a darker table, turned by up to `degrees`."""
    paper, pen = shades(rng)
    return image(_on_table(rng, inked(place(rng, glyph).ink, paper, pen), degrees))


def _on_table(rng: Rng, picture: np.ndarray, degrees: float) -> np.ndarray:
    """Puts a sheet on a darker table."""
    wide = int(rng.uniform(0.06, 0.2) * max(picture.shape))
    shade = rng.uniform(50, 160)
    picture = np.pad(picture, wide, constant_values=shade)
    picture = sheets.turned(picture, rng.uniform(-degrees, degrees), shade, degrees > 0)
    return noisy(rng, ndimage.gaussian_filter(picture, 0.6), 2)


def ruled(rng: Rng, glyph: np.ndarray, contrast: float, squared: bool) -> Image.Image:
    """Ruled or squared paper; its lines have this share of the ink's contrast."""
    return image(_ruled(rng, glyph, contrast, squared))


def ruled_on_table(
    rng: Rng, glyph: np.ndarray, contrast: tuple[float, float], squared: bool
) -> Image.Image:
    """A whole sheet of such paper on a darker table, turned by up to 4 degrees."""
    return image(_on_table(rng, _ruled(rng, glyph, rng.uniform(*contrast), squared), 4))


def _ruled(rng: Rng, glyph: np.ndarray, contrast: float, squared: bool) -> np.ndarray:
    """Writes on ruled or squared paper."""
    sheet = place(rng, glyph)
    paper, pen = shades(rng)
    lines = _rules(rng, sheet, squared)
    return inked(sheet.ink, paper - contrast * (paper - pen) * lines, pen)


def blue_on_blue(rng: Rng, glyph: np.ndarray) -> Image.Image:
    """A blue pen on paper with blue lines."""
    sheet = place(rng, glyph)
    rules = _rules(rng, sheet, False)[..., None]
    line = np.array([rng.uniform(110, 160), rng.uniform(150, 190), rng.uniform(215, 235)])
    paper = 250 * (1 - rules) + line * rules
    pen = np.array([rng.uniform(25, 60), rng.uniform(50, 90), rng.uniform(170, 215)])
    return image(inked(sheet.ink, paper, pen))


def _rules(rng: Rng, sheet: sheets.Sheet, squared: bool) -> np.ndarray:
    """Lines a third to a whole digit apart (squares: a quarter to a half)."""
    side = max(sheet.height, sheet.width)
    spacing, width = (
        side * rng.uniform(*((0.25, 0.5) if squared else (0.35, 1))),
        int(rng.integers(1, 4)),
    )
    rules = sheets.lines(rng, sheet.ink.shape, spacing, width)
    if squared:
        rules = np.maximum(rules, sheets.lines(rng, sheet.ink.shape[::-1], spacing, width).T)
    return rules


def boxed(rng: Rng, glyph: np.ndarray, room: tuple[float, float], comb: bool) -> Image.Image:
    """A printed box, `room` of the digit's side away from it; a comb is a line with teeth."""
    sheet = place(rng, glyph, margin=(0.5, 0.9))
    paper, pen = shades(rng)
    above, below, before, after = (
        rng.uniform(*room, 4) * max(sheet.height, sheet.width)
    ).astype(int)
    top, bottom = sheet.top - above, sheet.top + sheet.height + below
    left, right = sheet.left - before, sheet.left + sheet.width + after
    width = int(rng.integers(1, 4))
    line = np.zeros(sheet.ink.shape, bool)
    if comb:
        line[bottom : bottom + width] = True
        top += int(rng.uniform(0.4, 0.8) * (bottom - top))
    line[top : bottom + width, left : right + width] = True
    line[top if comb else top + width : bottom, left + width : right] = False
    picture = inked(sheet.ink, paper, pen)
    return image(np.where(line, np.minimum(picture, rng.uniform(0, 120)), picture))


def punch_hole(rng: Rng, glyph: np.ndarray) -> Image.Image:
    """A hole for a binder beside the digit, dark or with a dark rim."""
    sheet = place(rng, glyph, margin=(0.45, 0.8))
    side = max(sheet.height, sheet.width)
    radius = side * rng.uniform(0.08, 0.14)
    y, x = np.indices(sheet.ink.shape)
    at = rng.uniform(0.2, 0.8) * sheet.ink.shape[0], sheet.left - side * rng.uniform(0.2, 0.28)
    distance = np.hypot(y - at[0], x - at[1])
    paper, pen = shades(rng)
    hole = np.clip(radius + 0.5 - distance, 0, 1)
    picture = inked(hole, inked(sheet.ink, paper, pen), rng.uniform(0, 120))
    return image(picture)
