"""Pictures that are no one plain digit, by kind: what a person would not answer with a digit.

Letters that look like digits, such as O, l, S and Z, are left out.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage
from scipy.interpolate import CubicSpline

from helpers.own_digits import glyphs, sheets
from helpers.own_digits.glyphs import Writer
from helpers.own_digits.sheets import Rng, image, inked, place, shades

Other = Callable[[Rng, Writer], Image.Image]

LETTERS = "ACEFHKMNPRTUVWXadefhkmnprtuvwx"
WORDS = ("hello", "yes", "Tuesday", "milk", "and", "Anna", "the", "Wien", "name", "tea")
MARKS = '?&%#@+=*!"<>'

# Outlines, as points (x, y) from 0 to 100, y downwards.
DRAWINGS = {
    "horse": [
        [(8, 40), (18, 22), (26, 18), (34, 30), (44, 42), (78, 40), (88, 48), (84, 62)],
        [(8, 40), (14, 46), (26, 40), (34, 58), (34, 92), (40, 92), (44, 64), (68, 64)],
        [(68, 64), (72, 92), (78, 92), (80, 58), (84, 62)],
        [(88, 48), (96, 56), (94, 74)],
    ],
    "house": [
        [(15, 45), (15, 92), (85, 92), (85, 45), (15, 45), (50, 10), (85, 45)],
        [(42, 92), (42, 66), (58, 66), (58, 92)],
        [(24, 54), (36, 54), (36, 64), (24, 64), (24, 54)],
    ],
    "face": [
        [(50 + 42 * np.cos(t), 50 + 42 * np.sin(t)) for t in np.linspace(0, 6.3, 40)],
        [(34, 36), (34, 42)],
        [(66, 36), (66, 42)],
        [(30, 62), (40, 72), (50, 75), (60, 72), (70, 62)],
    ],
    "tree": [
        [(44, 95), (46, 60), (26, 58), (18, 40), (30, 22), (50, 10), (72, 22), (82, 42)],
        [(82, 42), (74, 58), (56, 60), (58, 95)],
        [(50, 60), (40, 44)],
        [(51, 56), (64, 40)],
    ],
    "star": [[(50, 8), (74, 88), (8, 38), (92, 38), (26, 88), (50, 8)]],
    "arrow": [[(5, 50), (92, 50)], [(66, 26), (92, 50), (66, 74)]],
    "heart": [
        [(50, 90), (12, 50), (10, 28), (26, 14), (42, 18), (50, 32)],
        [(50, 32), (58, 18), (74, 14), (90, 28), (88, 50), (50, 90)],
    ],
}


def written(rng: Rng, glyph: np.ndarray) -> Image.Image:
    """A glyph, dark on light."""
    return image(inked(place(rng, glyph).ink, *shades(rng)))


def several(rng: Rng, write: Writer, count: int, gap: tuple[float, float]) -> Image.Image:
    """Several digits in a row; the gap is a share of their height, 0: they touch."""
    hand = rng.integers(2**32)  # The same hand for all.
    texts = [str(rng.integers(10)) for _ in range(count)]
    row = [write(np.random.default_rng(hand), text) for text in texts]
    return written(rng, glyphs.row(row, int(rng.uniform(*gap) * glyphs.SIDE)))


def letter(rng: Rng, write: Writer) -> Image.Image:
    """A letter that looks like no digit."""
    return written(rng, write(rng, LETTERS[rng.integers(len(LETTERS))]))


def word(rng: Rng, write: Writer) -> Image.Image:
    """A word."""
    return written(rng, write(rng, WORDS[rng.integers(len(WORDS))]))


def mark(rng: Rng, write: Writer) -> Image.Image:
    """A punctuation mark or a symbol that looks like no digit."""
    return written(rng, write(rng, MARKS[rng.integers(len(MARKS))]))


def dash(rng: Rng, write: Writer) -> Image.Image:
    """A dash, nearly level."""
    bar = np.zeros((200, 200), np.float32)
    thick = int(rng.integers(4, 18))
    bar[100 - thick : 100 + thick, 20:180] = 1
    return written(rng, glyphs.tight(sheets.turned(bar, rng.uniform(-12, 12), 0, False)))


def dot(rng: Rng, write: Writer) -> Image.Image:
    """A filled dot, more or less round."""
    y, x = sheets.grid((200, 200))
    long = rng.uniform(1, 1.4)
    blob = np.clip(20 * (0.6 - np.hypot(y, x * long)), 0, 1).astype(np.float32)
    sheet = place(rng, glyphs.tight(blob), side=(12, 60), margin=(1, 4))
    return image(inked(sheet.ink, *shades(rng)))


def scribble(rng: Rng, write: Writer) -> Image.Image:
    """A curve through 8 to 20 points that nobody chose."""
    points = rng.uniform(0, 1, (rng.integers(8, 20), 2)) * (300, rng.uniform(150, 300)) + 30
    curve = CubicSpline(np.arange(len(points)), points)(np.linspace(0, len(points) - 1, 400))
    return written(rng, pen_lines([curve], int(rng.integers(6, 22))))


def drawing(rng: Rng, write: Writer) -> Image.Image:
    """A horse, a house, a face and the like."""
    lines = list(DRAWINGS.values())[rng.integers(len(DRAWINGS))]
    scale = rng.uniform(2.4, 3.4, 2)
    strokes = [
        (np.array(line) + rng.normal(0, 1.2, (len(line), 2))) * scale + 30 for line in lines
    ]
    return written(rng, pen_lines(strokes, int(rng.integers(6, 18))))


def texture(rng: Rng, write: Writer) -> Image.Image:
    """Grass, stone or cloth: detail of many sizes."""
    shape = tuple(rng.integers(150, 350, 2).tolist())
    sizes = 2.0 ** np.arange(0, 7)
    weights = sizes ** rng.uniform(0.2, 1)
    layers = [w * sheets.smooth(rng, shape, s) for s, w in zip(sizes, weights, strict=True)]
    total = np.sum(layers, 0)
    return image(rng.uniform(80, 170) + rng.uniform(25, 60) * total / total.std())


def blank(rng: Rng, write: Writer) -> Image.Image:
    """A sheet with nothing on it."""
    shape = tuple(rng.integers(100, 350, 2).tolist())
    sheet = np.full(shape, rng.uniform(200, 250), np.float32)
    return image(sheets.noisy(rng, sheet, rng.uniform(0, 3)))


def black(rng: Rng, write: Writer) -> Image.Image:
    """The lens's cap was on."""
    shape = tuple(rng.integers(100, 350, 2).tolist())
    return image(sheets.noisy(rng, np.zeros(shape, np.float32), rng.uniform(0, 6)))


def cut_off(rng: Rng, write: Writer) -> Image.Image:
    """A digit of which the rim cuts off 35 to 55 percent."""
    sheet = place(rng, write(rng, str(rng.integers(10))))
    picture, share = inked(sheet.ink, *shades(rng)), rng.uniform(0.35, 0.55)
    y, x = sheet.top + int(share * sheet.height), sheet.left + int(share * sheet.width)
    parts = (np.s_[y:], np.s_[: 2 * sheet.top + sheet.height - y], np.s_[:, x:])
    return image(picture[parts[rng.integers(2 if sheet.height > sheet.width else 3)]])


def mostly_ink(rng: Rng, write: Writer) -> Image.Image:
    """Dark paint with a ragged edge over most of the sheet."""
    shape = tuple(rng.integers(120, 300, 2).tolist())
    field = sheets.smooth(rng, shape, rng.uniform(12, 40))
    paint = np.clip(8 * (field - np.quantile(field, rng.uniform(0.15, 0.4))), 0, 1)
    return image(inked(ndimage.gaussian_filter(paint, 1), *shades(rng)))


def pen_lines(strokes: list[np.ndarray], width: int) -> np.ndarray:
    """Draws lines; returns a glyph."""
    size = np.concatenate(strokes).max(0) + 2 * width
    least = np.concatenate(strokes).min(0) - 2 * width
    drawn = Image.new("L", tuple((size - least).astype(int).tolist()))
    pen = ImageDraw.Draw(drawn)
    for stroke in strokes:
        points = [tuple(point) for point in stroke - least]
        pen.line(points, fill=255, width=width, joint="curve")
    return glyphs.tight(np.asarray(drawn, np.float32) / 255)


OTHERS: dict[str, Other] = {
    "two digits": partial(several, count=2, gap=(0.08, 0.4)),
    "four digits": partial(several, count=4, gap=(0.05, 0.3)),
    "two digits, touching": partial(several, count=2, gap=(0, 0)),
    "letter": letter,
    "word": word,
    "mark": mark,
    "dash": dash,
    "dot": dot,
    "scribble": scribble,
    "drawing": drawing,
    "texture": texture,
    "blank sheet": blank,
    "black sheet": black,
    "cut off": cut_off,
    "mostly ink": mostly_ink,
}
