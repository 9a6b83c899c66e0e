"""Shapes of digits and letters, from fonts, from drawn strokes and from MNIST's images.

A glyph is float32[h,w], 0 (paper) to 1 (ink), cut tight, its longer side SIDE pixels.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage
from scipy.interpolate import CubicSpline

from helpers.drawings import STROKES

SIDE = 200

# Writes a text, such as '5', in a hand that it chooses with the generator.
Writer = Callable[[np.random.Generator, str], np.ndarray]


def fonts(folder: Path | None = None) -> list[Path]:
    """The fonts in a folder, by name; None: those of Matplotlib whose 0 has no dot."""
    if folder is not None:
        endings = (".otf", ".ttf", ".woff")
        return sorted(path for path in folder.iterdir() if path.suffix in endings)
    found = (Path(matplotlib.get_data_path()) / "fonts" / "ttf").glob("DejaVu*.ttf")
    return sorted(
        path for path in found if "Mono" not in path.name and "Display" not in path.name
    )


def from_fonts(paths: Sequence[Path]) -> Writer:
    """Writes texts in one of these fonts."""

    def write(rng: np.random.Generator, text: str) -> np.ndarray:
        first = rng.integers(len(paths))
        # Some fonts have no ink for some marks.
        for path in [*paths[first:], *paths[:first]]:
            if ImageFont.truetype(str(path), 40).getmask(text).getbbox():
                return typeset(text, path)
        raise ValueError(f"no font has {text}")

    return write


def from_strokes(rng: np.random.Generator, text: str) -> np.ndarray:
    """Draws a digit with a pen, no two alike."""
    (tall,) = rng.uniform(0.9, 1.6, 1)
    slant, side, scale = rng.uniform(-0.15, 0.3), 400, np.array([2.4, 2.4 * tall])
    image = Image.new("L", (side * 2, side * 2))
    pen, width = ImageDraw.Draw(image), int(rng.integers(14, 40))
    for stroke in STROKES[int(text)]:
        points = (np.array(stroke) + rng.normal(0, 1.5, (len(stroke), 2))) * scale + 100
        points[:, 0] += slant * (side - points[:, 1])
        if len(points) > 4:
            times = np.append(0, np.cumsum(np.hypot(*np.diff(points, axis=0).T)) + 1e-3)
            points = CubicSpline(times, points)(np.linspace(0, times[-1], 60))
        pen.line([tuple(point) for point in points], fill=255, width=width, joint="curve")
        for x, y in points[[0, -1]]:
            half = width / 2
            pen.ellipse((x - half, y - half, x + half, y + half), fill=255)
    return tight(np.asarray(image, np.float32) / 255)


def from_images(images: np.ndarray, labels: np.ndarray) -> Writer:
    """Writes digits as in MNIST: uint8[N,28,28] with their int[N] labels."""
    of = [np.flatnonzero(labels == digit) for digit in range(10)]

    def write(rng: np.random.Generator, text: str) -> np.ndarray:
        return enlarged(images[rng.choice(of[int(text)])])

    return write


def typeset(text: str, font: Path) -> np.ndarray:
    """Sets a text in a font."""
    face = ImageFont.truetype(str(font), 300)
    left, top, right, bottom = face.getbbox(text)
    image = Image.new("L", (int(right - left) + 40, int(bottom - top) + 40))
    ImageDraw.Draw(image).text((20 - left, 20 - top), text, fill=255, font=face)
    return tight(np.asarray(image, np.float32) / 255)


def enlarged(image: np.ndarray) -> np.ndarray:
    """Draws an image of 28 x 28 pixels, uint8, with smooth edges."""
    large = ndimage.zoom(np.pad(image.astype(np.float32) / 255, 2), 10, order=3)
    large = ndimage.gaussian_filter(large, 4)
    return tight(np.clip((large - 0.4) / 0.2, 0, 1))


def tight(glyph: np.ndarray) -> np.ndarray:
    """Cuts the empty rim off and scales the longer side to SIDE."""
    rows, columns = (np.flatnonzero(glyph.max(axis) > 0.5) for axis in (1, 0))
    cut = glyph[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return scaled(cut, SIDE)


def scaled(glyph: np.ndarray, side: float) -> np.ndarray:
    """Scales the longer side to `side` pixels."""
    height, width = (max(2, round(n * side / max(glyph.shape))) for n in glyph.shape)
    image = Image.fromarray(np.asarray(glyph, np.float32))
    small = image.resize((width, height), Image.Resampling.BICUBIC)
    return np.clip(np.asarray(small), 0, 1)


def row(glyphs: Sequence[np.ndarray], gap: int) -> np.ndarray:
    """Sets glyphs side by side on one line, `gap` pixels apart; 0: they touch."""
    height = max(glyph.shape[0] for glyph in glyphs)
    line = np.zeros((height, 0), np.float32)
    for glyph in glyphs:
        high = np.pad(glyph, ((height - glyph.shape[0], 0), (0, 0)))
        left = line.shape[1] + gap
        if not gap:
            left = _touching(line, high)
        wide = max(line.shape[1], left + high.shape[1])
        both = [np.zeros((height, wide), np.float32) for _ in range(2)]
        both[0][:, : line.shape[1]] = line
        both[1][:, left : left + high.shape[1]] = high
        line = np.maximum(*both)
    return tight(line)


def _touching(line: np.ndarray, glyph: np.ndarray) -> int:
    """Finds the column at which a glyph has to stand to overlap a line by a few pixels."""
    ends = np.where(line > 0.5, np.arange(line.shape[1]), -1000).max(1, initial=-1000)
    starts = np.where(glyph > 0.5, np.arange(glyph.shape[1]), 1000).min(1)
    return max(0, int((ends - starts).max()) - 5)


def hairline(glyph: np.ndarray, width: float) -> np.ndarray:
    """Draws a glyph's middle lines again with a pen `width` pixels wide."""
    middle = np.pad(skeleton(glyph > 0.5), int(width) + 2)
    distance = ndimage.distance_transform_edt(~middle)
    return tight(np.clip(width / 2 + 0.5 - distance, 0, 1).astype(np.float32))


def broken(rng: np.random.Generator, glyph: np.ndarray) -> np.ndarray:
    """Rubs out two to four gaps, each a third to all of the stroke's width wide."""
    middle = np.argwhere(skeleton(glyph > 0.5))
    inside = ndimage.distance_transform_edt(np.pad(glyph > 0.5, 1))[1:-1, 1:-1]
    kept = glyph.copy()
    y, x = np.indices(glyph.shape)
    for _ in range(rng.integers(2, 5)):
        i = int(rng.integers(len(middle)))
        centre = middle[i]
        near = middle[np.hypot(*(middle - centre).T) < 12]
        # The gap lies across the stroke.
        _, axes = np.linalg.eigh(np.cov((near - centre).T) + 1e-6 * np.eye(2))
        along, across = ((y - centre[0]) * v[0] + (x - centre[1]) * v[1] for v in axes.T[::-1])
        half = inside[tuple(centre)]
        gap = np.clip(half * rng.uniform(0.33, 1), 2.5, 9)
        kept[(np.abs(along) < gap) & (np.abs(across) < 2 * half + 3)] = 0
    return kept


def skeleton(mask: np.ndarray) -> np.ndarray:
    """Thins a mask, bool[h,w], to lines one pixel wide (Zhang and Suen, 1984)."""
    mask = np.pad(mask, 1)
    changed = True
    while changed:
        changed = False
        for odd in (False, True):
            # The eight neighbours, clockwise from the one above.
            steps = ((1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1))
            around = np.stack([np.roll(mask, step, (0, 1)) for step in steps])
            up, right, down, left = around[::2]
            count = around.sum(0)
            starts = (~around & np.roll(around, -1, 0)).sum(0)
            corner = (
                (up & right & left | up & down & left)
                if odd
                else (up & right & down | right & down & left)
            )
            gone = mask & (count >= 2) & (count <= 6) & (starts == 1) & ~corner
            mask = mask & ~gone
            changed |= bool(gone.any())
    return mask[1:-1, 1:-1]
