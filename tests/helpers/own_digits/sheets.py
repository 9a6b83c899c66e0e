"""Paper: places a glyph on a sheet, lights it, soils it, and photographs it.

Pictures on their way are float32[H,W] or [H,W,3], 0 (black) to 255.
"""

from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage

from helpers.own_digits import glyphs

Rng = np.random.Generator


class Sheet(NamedTuple):
    """A glyph on a sheet.

    Attributes:
      ink: float32[H,W], 0 (paper) to 1 (ink).
      top: first row of the glyph's box.
      left: its first column.
      height: its rows.
      width: its columns.
    """

    ink: np.ndarray
    top: int
    left: int
    height: int
    width: int


def place(
    rng: Rng,
    glyph: np.ndarray,
    side: tuple[float, float] = (80, 180),
    margin: tuple[float, float] = (0.25, 0.8),
) -> Sheet:
    """Places a glyph on a sheet.

    Args:
      rng: chooses.
      glyph: float32[h,w].
      side: least and most pixels of the glyph's longer side.
      margin: least and most margin at each side, as a share of it.
    """
    longer = rng.uniform(*side)
    small = glyphs.scaled(glyph, longer)
    above, below, before, after = (rng.uniform(*margin, 4) * longer).astype(int)
    ink = np.pad(small, ((above, below), (before, after)))
    return Sheet(ink, int(above), int(before), *small.shape)


def shades(rng: Rng) -> tuple[float, float]:
    """Chooses the shades of paper and ink."""
    return rng.uniform(225, 255), rng.uniform(5, 90)


def inked(ink: np.ndarray, paper: np.ndarray | float, pen: np.ndarray | float) -> np.ndarray:
    """Draws ink, float32[H,W], on paper; in colour where the pen's shade is one, float[3]."""
    if np.ndim(pen) == 1 or np.ndim(paper) in (1, 3):
        ink = ink[..., None]
    drawn: np.ndarray = (paper * (1 - ink) + pen * ink).astype(np.float32)
    return drawn


def noisy(rng: Rng, picture: np.ndarray, sd: float) -> np.ndarray:
    """Adds normal noise."""
    return picture + rng.normal(0, sd, picture.shape).astype(np.float32)


def image(picture: np.ndarray) -> Image.Image:
    """A mode 'L' or 'RGB' image."""
    return Image.fromarray(np.clip(np.round(picture), 0, 255).astype(np.uint8))


def grid(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of every pixel, float, -1 to 1."""
    y, x = (np.linspace(-1, 1, n, dtype=np.float32) for n in shape)
    return np.broadcast_to(y[:, None], shape), np.broadcast_to(x, shape)


def lines(rng: Rng, shape: tuple[int, int], spacing: float, width: int) -> np.ndarray:
    """Horizontal lines, float32[H,W], 1 on a line."""
    rows = (np.arange(shape[0]) + rng.uniform(0, spacing)) % spacing < width
    return np.repeat(rows[:, None], shape[1], 1).astype(np.float32)


def warped(
    picture: np.ndarray, to: np.ndarray, shape: tuple[int, int], fill: float
) -> np.ndarray:
    """Maps the corners of a picture, clockwise from top left, to `to`, float[4,2], (x, y)."""
    height, width = picture.shape
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)])
    rows = []
    for (x, y), (u, v) in zip(to, corners, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    factors = np.linalg.solve(np.array(rows), corners.ravel())
    large = Image.fromarray(picture.astype(np.float32))
    moved = large.transform(
        shape[::-1],
        Image.Transform.PERSPECTIVE,
        tuple(factors),
        Image.Resampling.BICUBIC,
        fillcolor=fill,
    )
    return np.asarray(moved)


def turned(picture: np.ndarray, degrees: float, fill: float, expand: bool) -> np.ndarray:
    """Turns a picture; what comes in from outside is `fill`."""
    moved = Image.fromarray(picture.astype(np.float32)).rotate(
        degrees, Image.Resampling.BICUBIC, expand=expand, fillcolor=fill
    )
    return np.asarray(moved)


def smooth(rng: Rng, shape: tuple[int, int], size: float) -> np.ndarray:
    """A random surface, float32[H,W], of mean 0 and sd 1; `size` pixels is its detail's."""
    # Coarse surfaces are made small and enlarged: a wide filter is slow.
    step = max(1, int(size / 3))
    coarse = tuple(n // step + 4 for n in shape)
    field = ndimage.gaussian_filter(rng.normal(size=coarse), size / step, mode="wrap")
    large = Image.fromarray(((field - field.mean()) / field.std()).astype(np.float32))
    return np.asarray(large.resize(shape[::-1], Image.Resampling.BICUBIC))
