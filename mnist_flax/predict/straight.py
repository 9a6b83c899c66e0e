"""Finds thin, straight lines that are nearly level or upright."""

from typing import NamedTuple

import numpy as np

# Slopes that are tried, in pixels down for each pixel across: 12 degrees either way.
_SLOPES = np.linspace(-0.21, 0.21, 43)
# As shares of the picture's longer side: the least length and the greatest thickness.
_LENGTH, _THICKNESS = 0.2, 1 / 25
_MOST_LINES = 60


class Line(NamedTuple):
    """A straight, thin, nearly level line; in a transposed picture a nearly upright one.

    Attributes:
      upright: whether it is one.
      pixels: int[N,2], row and column of each pixel in the picture as it is.
      ends: float[2,2], row and column of both ends.
      thickness: its median, in pixels.
      level: how dark its ink is, the median of its middle.
    """

    upright: bool
    pixels: np.ndarray
    ends: np.ndarray
    thickness: int
    level: float


def find(level: np.ndarray, mask: np.ndarray, upright: bool) -> list[Line]:
    """Finds nearly level, thin, straight lines in a mask, bool[H,W], the longest first."""
    longer = max(mask.shape)
    thickest, least = max(3, int(_THICKNESS * longer)), max(12, _LENGTH * longer)
    changes = np.diff(np.pad(mask, ((1, 1), (0, 0))).astype(np.int8), axis=0).T
    columns, starts = np.nonzero(changes == 1)
    stops = np.nonzero(changes == -1)[1]
    thin = stops - starts <= thickest
    columns, starts, stops = columns[thin], starts[thin], stops[thin]
    lines: list[Line] = []
    while len(columns) >= least and len(lines) < _MOST_LINES:
        heights = (starts + stops - 1) / 2 - _SLOPES[:, None] * columns
        offsets = np.round(heights).astype(int)
        offsets -= offsets.min()
        counts = np.stack([np.bincount(row, minlength=offsets.max() + 2) for row in offsets])
        slope, offset = np.unravel_index(counts.argmax(), counts.shape)
        if counts[slope, offset] < least / 2:
            break
        middle = np.median(heights[slope][offsets[slope] == offset])
        on = np.flatnonzero(np.abs(heights[slope] - middle) <= 1.5)
        # The longest stretch without a gap that is wider than a digit in the way.
        pieces = np.split(on, np.flatnonzero(np.diff(columns[on]) > 0.5 * longer) + 1)
        on = max(pieces, key=len)
        thickness = int(np.median(stops[on] - starts[on]))
        # Specks in its way do not make a stroke a line.
        on = on[stops[on] - starts[on] >= thickness / 2]
        length = columns[on[-1]] - columns[on[0]] + 1
        if length >= least and len(on) >= 0.5 * length:
            ends = np.array(
                [
                    [middle + _SLOPES[slope] * x, x]
                    for x in (float(columns[on[0]]), float(columns[on[-1]]))
                ]
            )
            pixels = np.concatenate(
                [
                    np.stack([np.arange(starts[i], stops[i]), np.full(n, columns[i])], 1)
                    for i, n in zip(on, stops[on] - starts[on], strict=True)
                ]
            )
            middles = (starts[on] + stops[on] - 1) // 2
            shade = float(np.median(level[middles, columns[on]]))
            if upright:
                pixels, ends = pixels[:, ::-1], ends[:, ::-1]
            lines.append(Line(upright, pixels, ends, thickness, shade))
        columns, starts, stops = (np.delete(each, on) for each in (columns, starts, stops))
    return lines
