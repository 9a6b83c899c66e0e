"""Pictures of a digit by what wrote it and how it was stored."""

import io

import numpy as np
from PIL import Image
from scipy import ndimage

from helpers.own_digits import glyphs, sheets
from helpers.own_digits.sheets import Rng, image, inked, noisy, place, shades


def plain(rng: Rng, glyph: np.ndarray) -> Image.Image:
    """Dark on light, softened a little, as most scans are."""
    ink = ndimage.gaussian_filter(place(rng, glyph).ink, rng.uniform(0, 1.2))
    return image(inked(ink, *shades(rng)))


def coloured(rng: Rng, glyph: np.ndarray) -> Image.Image:
    """A coloured pen on white or yellowish paper."""
    pens = ((30, 60, 200), (190, 30, 40), (20, 120, 50), (120, 40, 140), (220, 100, 20))
    pen = np.array(pens[rng.integers(len(pens))], float)
    paper = np.array([rng.uniform(240, 255), rng.uniform(235, 252), rng.uniform(200, 250)])
    return image(inked(place(rng, glyph).ink, paper, pen))


def chalkboard(rng: Rng, glyph: np.ndarray) -> Image.Image:
    """Chalk on a board."""
    sheet = place(rng, glyph)
    board = 45 + 6 * sheets.smooth(rng, sheet.ink.shape, 20)
    chalk = sheet.ink * np.clip(0.85 + 0.15 * sheets.smooth(rng, sheet.ink.shape, 1), 0, 1)
    return image(noisy(rng, inked(chalk, board, rng.uniform(190, 245)), 4))


def jpeg(rng: Rng, glyph: np.ndarray) -> Image.Image:
    """Compressed hard."""
    file = io.BytesIO()
    plain(rng, glyph).save(file, "JPEG", quality=int(rng.integers(10, 40)))
    return Image.open(file)


def rotated(rng: Rng, glyph: np.ndarray) -> Image.Image:
    """Turned by up to 12 degrees."""
    paper, pen = shades(rng)
    ink = sheets.turned(place(rng, glyph).ink, rng.uniform(-12, 12), 0, True)
    return image(inked(np.clip(ink, 0, 1), paper, pen))


def perspective(rng: Rng, glyph: np.ndarray) -> Image.Image:
    """Photographed from the side."""
    ink = place(rng, glyph).ink
    height, width = ink.shape
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], float)
    to = corners + rng.uniform(-0.12, 0.12, (4, 2)) * (width, height)
    return image(inked(np.clip(sheets.warped(ink, to, ink.shape, 0), 0, 1), *shades(rng)))


def dust(rng: Rng, glyph: np.ndarray) -> Image.Image:
    """With ten to forty specks."""
    paper, pen = shades(rng)
    sheet = place(rng, glyph)
    specks = np.zeros_like(sheet.ink)
    for _ in range(rng.integers(10, 40)):
        y, x = (int(rng.integers(n - 3)) for n in specks.shape)
        specks[y : y + rng.integers(1, 4), x : x + rng.integers(1, 4)] = rng.uniform(0.3, 1)
    return image(inked(np.maximum(sheet.ink, specks), paper, pen))


def transparent(rng: Rng, glyph: np.ndarray) -> Image.Image:
    """Only the strokes are opaque, of any colour."""
    ink = place(rng, glyph).ink
    colour = np.full((*ink.shape, 4), (*rng.integers(0, 256, 3), 0), np.uint8)
    colour[..., 3] = np.round(255 * ink)
    return Image.fromarray(colour)


def broken(rng: Rng, glyph: np.ndarray) -> Image.Image:
    """Strokes with gaps."""
    return plain(rng, glyphs.broken(rng, glyph))


def hairline(rng: Rng, glyph: np.ndarray) -> Image.Image:
    """A pen so fine that its strokes are a hundredth to a fortieth of the digit."""
    return plain(rng, glyphs.hairline(glyph, rng.uniform(2, 5)))


def tight(rng: Rng, glyph: np.ndarray) -> Image.Image:
    """Cut so close that the digit touches the rim, or nearly."""
    small = glyphs.scaled(glyph, rng.uniform(60, 180))
    ink = np.pad(small, rng.integers(0, 3, (2, 2)))
    return image(inked(ink, *shades(rng)))


def tight_speck(rng: Rng, glyph: np.ndarray) -> Image.Image:
    """Cut close, with one speck on the paper that is left."""
    picture = np.array(tight(rng, glyph))
    free = ndimage.binary_erosion(picture > 200, iterations=4)
    places = np.argwhere(free)
    if len(places):
        y, x = places[rng.integers(len(places))]
        size = int(rng.integers(2, 4))
        picture[y - 1 : y - 1 + size, x - 1 : x - 1 + size] = picture.min()
    return Image.fromarray(picture)


def equal_luminance(rng: Rng, glyph: np.ndarray) -> Image.Image:
    """Red on green or green on red, of the same grey."""
    red = np.array([rng.uniform(190, 230), rng.uniform(20, 50), rng.uniform(20, 60)])
    weights = np.array([0.299, 0.587, 0.114])
    green = np.array([20.0, 0, 50])
    green[1] = (weights @ red - weights @ green) / weights[1]
    pair = (red, green) if rng.random() < 0.5 else (green, red)
    return image(inked(place(rng, glyph).ink, *pair))


def twelve_bit(rng: Rng, glyph: np.ndarray) -> Image.Image:
    """A scanner's 12 bits in a file of 16."""
    picture = inked(place(rng, glyph).ink, *shades(rng)) * 16
    return Image.fromarray(np.clip(picture, 0, 4095).astype(np.uint16))


def faint_pencil(rng: Rng, glyph: np.ndarray) -> Image.Image:
    """25 to 50 of 256 grey levels darker than the paper, and grainy."""
    sheet = place(rng, glyph)
    grain = np.clip(0.85 + 0.2 * sheets.smooth(rng, sheet.ink.shape, 1), 0, 1)
    paper = rng.uniform(215, 250)
    picture = inked(sheet.ink * grain, paper, paper - rng.uniform(25, 50))
    return image(noisy(rng, picture, 1.5))
