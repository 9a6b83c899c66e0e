"""Tells images of a digit from images of anything else, by the directions of their strokes.

A network that has seen nothing but digits answers a letter as surely as a digit. This module
knows digits by itself, whatever the network: two layers that were trained once to tell the ten
digits and everything else apart (benchmarks/doubt_table.py makes the table beside this file).
Everything else is letters, words, several digits, scribbles, blots, digits turned or mirrored.
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


class Table(NamedTuple):
    """Two layers of D inputs and H hidden units; the last of 11 outputs is everything else's.

    Attributes:
      hidden_kernel: float32[D,H].
      hidden_bias: float32[H].
      output_kernel: float32[H,11].
      output_bias: float32[11].
    """

    hidden_kernel: np.ndarray
    hidden_bias: np.ndarray
    output_kernel: np.ndarray
    output_bias: np.ndarray


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
    """Tells how much likelier it is that an image is no digit than that it is each digit.

    Args:
      images: uint8[N,28,28], 0 (background) to 255.
      table: None: the one beside this file.

    Returns:
      float32[N,10]: log p(anything else | image) - log p(digit | image). Above 0 the image is
      doubted under the name of this digit.
    """
    table = table or load()
    hidden = np.maximum(0, directions(images) @ table.hidden_kernel + table.hidden_bias)
    logits: np.ndarray = hidden @ table.output_kernel + table.output_bias
    return logits[:, 10:] - logits[:, :10]


def warnings_for(images: np.ndarray, answers: np.ndarray) -> list[str | None]:
    """Warns of each answer whose image is unlike the digit that it names.

    Args:
      images: uint8[N,28,28], 0 (background) to 255.
      answers: int[N], the digits that the network names.

    Returns:
      For each image a warning, or None.
    """
    far = np.take_along_axis(unlikeness(images), answers[:, None], 1)[:, 0]
    return [
        f"it does not look like {'an' if digit == 8 else 'a'} {digit}" if doubtful else None
        for digit, doubtful in zip(answers, far > 0, strict=True)
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
