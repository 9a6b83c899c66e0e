"""Tells images of a digit from images of anything else, by the directions of their strokes.

A network that has seen nothing but digits answers a letter as surely as a digit. This module
knows digits by itself, whatever the network: a Gaussian for each digit over the directions of
its strokes, and one for letters, words and scribbles, measured once (benchmarks/doubt_table.py
makes the table beside this file). The recognition of handwriting knows it as the quadratic
discriminant function (Kimura et al., 1987, https://doi.org/10.1109/TPAMI.1987.4767881).
"""

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

TABLE = Path(__file__).with_name("doubt.npz")

# The directions that gradients are sorted into, and the cells along each side of the image.
_DIRECTIONS, _CELLS = 8, 4
# The image with its margin, in pixels.
_SIDE = 32
# The weight of the Gaussian of everything else.
_OTHER = 0.7


class Table(NamedTuple):
    """Gaussians in K principal components of D measures: ten digits', then everything else's.

    Attributes:
      mean: float32[D], the mean of all digits.
      components: float32[D,K].
      centres: float32[11,K], the mean of each.
      whiten: float32[11,K,K]; its product with a distance from the centre has unit covariance.
      offsets: float32[11], the logarithm of the covariance's determinant.
      limit: float32[], the unlikeness above which an answer is doubted.
    """

    mean: np.ndarray
    components: np.ndarray
    centres: np.ndarray
    whiten: np.ndarray
    offsets: np.ndarray
    limit: np.ndarray


def directions(images: np.ndarray) -> np.ndarray:
    """Measures how much ink begins or ends in each direction, in each part of an image.

    Args:
      images: uint8[N,28,28], 0 (background) to 255.

    Returns:
      float32[N,128], the square roots of the gradients' sums.
    """
    margin = (_SIDE - 28) // 2
    x = np.pad(images.astype(np.float32) / 255, ((0, 0), (margin,) * 2, (margin,) * 2))
    x = _smooth(_smooth(x).swapaxes(1, 2)).swapaxes(1, 2)
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    across = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    down = padded[:, :, :-2] + 2 * padded[:, :, 1:-1] + padded[:, :, 2:]
    across, down = across[:, :, 2:] - across[:, :, :-2], down[:, 2:] - down[:, :-2]
    size = np.hypot(across, down)
    turn = np.arctan2(down, across) / (2 * np.pi / _DIRECTIONS) % _DIRECTIONS
    cells = _pooling()
    parts = []
    for direction in range(_DIRECTIONS):
        # A direction between two is shared by both.
        apart = np.abs(turn - direction)
        share = np.maximum(0, 1 - np.minimum(apart, _DIRECTIONS - apart))
        parts.append((cells @ (size * share) @ cells.T).reshape(-1, _CELLS**2))
    return np.sqrt(np.concatenate(parts, 1)).astype(np.float32)


def unlikeness(images: np.ndarray, table: Table | None = None) -> np.ndarray:
    """Measures how unlike each digit an image is, and how like something else.

    Args:
      images: uint8[N,28,28], 0 (background) to 255.
      table: None: the one beside this file.

    Returns:
      float32[N,10]: -2 log p(image | digit) + 1.4 log p(image | anything else), but for a
      constant.
    """
    table = table or load()
    places = (directions(images) - table.mean) @ table.components
    far = [
        np.square((places - centre) @ whiten).sum(1) + offset
        for centre, whiten, offset in zip(
            table.centres, table.whiten, table.offsets, strict=True
        )
    ]
    *digits, other = far
    # Not all of it: what is like nothing at all is to be doubted, too.
    unlike: np.ndarray = np.stack(digits, 1) - _OTHER * other[:, None]
    return unlike


def warnings_for(images: np.ndarray, answers: np.ndarray) -> list[str | None]:
    """Warns of each answer whose image is unlike the digit that it names.

    Args:
      images: uint8[N,28,28], 0 (background) to 255.
      answers: int[N], the digits that the network names.

    Returns:
      For each image a warning, or None.
    """
    table = load()
    far = np.take_along_axis(unlikeness(images, table), answers[:, None], 1)[:, 0]
    return [
        f"it does not look like {'an' if digit == 8 else 'a'} {digit}" if doubtful else None
        for digit, doubtful in zip(answers, far > table.limit, strict=True)
    ]


@cache
def load() -> Table:
    """Reads the table beside this file."""
    with np.load(TABLE) as arrays:
        return Table(**{name: arrays[name].astype(np.float32) for name in Table._fields})


def _smooth(x: np.ndarray) -> np.ndarray:
    """Smooths float32[N,H,W] along H a little, by the weights 1, 3, 1."""
    smoothed = x.copy() * 0.6
    smoothed[:, 1:] += 0.2 * x[:, :-1]
    smoothed[:, :-1] += 0.2 * x[:, 1:]
    return smoothed


@cache
def _pooling() -> np.ndarray:
    """Makes the weights, float32[_CELLS,_SIDE], of each row or column in each cell."""
    size = _SIDE / _CELLS
    centres = (np.arange(_CELLS) + 0.5) * size - 0.5
    apart = np.abs(np.arange(_SIDE) - centres[:, None]) / size
    weights = np.maximum(0, 1 - apart)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)
