"""Finds the marks in a picture's ink: connected strokes that stand by themselves.

A threshold that is too low joins a digit with the lines of its paper, one that is too high
breaks it. The right one is the lowest at which the largest mark stands by itself, touching no
rim: it is searched.
"""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from mnist_flax.predict.contrast import Ink
from mnist_flax.predict.placing import stroke_width

_LEVELS = 12
_EIGHT = np.ones((3, 3), bool)
Box = tuple[slice, slice]


class Mark(NamedTuple):
    """Strokes that belong together: a digit, or something else that was drawn.

    Attributes:
      mask: bool[H,W], its pixels in the picture.
      box: the rows and the columns that it covers.
      width: the mean width of its strokes, in pixels.
      at_rim: whether it touches the rim of the picture.
    """

    mask: np.ndarray
    box: Box
    width: float
    at_rim: bool

    @property
    def size(self) -> int:
        """The longer side of its box, in pixels."""
        return max(_sides(self.box))


class _Parts(NamedTuple):
    """The connected parts of the ink above a level; arrays have one item for each."""

    labels: np.ndarray
    boxes: list[Box]
    areas: np.ndarray
    sizes: np.ndarray
    at_rim: np.ndarray


def find_marks(ink: Ink) -> list[Mark]:
    """Finds what was drawn.

    Returns:
      The marks that are at least a third as large as the largest one; that one first.
    """
    levels = np.linspace(ink.floor, ink.floor + 0.8 * (ink.most - ink.floor), _LEVELS)
    best, size = None, 0.0
    for level in levels:
        parts = _parts(ink.level > level)
        inner = parts.sizes[~parts.at_rim]
        if len(inner) and inner.max() > 1.02 * size:
            best, size = parts, inner.max()
    # A digit that is cut tight touches the rim, and what does not is a speck.
    middle = _parts(ink.level > ink.floor + 0.4 * (ink.most - ink.floor))
    if best is None or size < 0.35 * max(middle.sizes[middle.at_rim], default=0):
        best = middle
        chosen = np.ones(len(middle.sizes), bool)
    else:
        chosen = ~best.at_rim
    if not chosen.any():
        return []
    marks = _group(best, np.flatnonzero(chosen))
    marks.sort(key=lambda mark: -mark.size)
    return [mark for mark in marks if 3 * mark.size >= marks[0].size]


def _parts(mask: np.ndarray) -> _Parts:
    """Finds the connected parts of a mask, without specks and frames."""
    labels, count = ndimage.label(mask, _EIGHT)
    boxes = ndimage.find_objects(labels)
    areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    at_rim = np.zeros(count + 1, bool)
    at_rim[np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])] = True
    at_rim = at_rim[1:]
    least = max(3, areas.max(initial=0) / 200)
    kept = [
        i for i in np.flatnonzero(areas >= least) if not _is_frame(labels[boxes[i]] == i + 1)
    ]
    renumber = np.zeros(count + 1, int)
    renumber[np.array(kept, int) + 1] = np.arange(1, len(kept) + 1)
    sizes = np.array([max(_sides(boxes[i])) for i in kept], float)
    return _Parts(renumber[labels], [boxes[i] for i in kept], areas[kept], sizes, at_rim[kept])


def _is_frame(part: np.ndarray) -> bool:
    """Tells whether a part lines all four sides of its box and leaves the middle empty."""
    if min(part.shape) < 8:
        return False
    depth = max(2, min(part.shape) // 10)
    sides = (part[:depth], part[-depth:], part[:, :depth].T, part[:, -depth:].T)
    lined = min(side.any(0).mean() for side in sides)
    return bool(lined > 0.8 and part.mean() < 0.5)


def _group(parts: _Parts, chosen: np.ndarray) -> list[Mark]:
    """Joins the parts of broken strokes to marks."""
    widths = {i: stroke_width(parts.labels[parts.boxes[i]] == i + 1) for i in chosen}
    groups: list[list[int]] = []
    for i in sorted(chosen, key=lambda i: -parts.areas[i]):
        near = [g for g in groups if any(_belongs(parts, widths, i, j) for j in g)]
        merged = [int(i), *(k for g in near for k in g)]
        groups = [g for g in groups if g not in near] + [merged]
    marks = []
    for group in groups:
        mask = np.isin(parts.labels, np.array(group) + 1)
        rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
        box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        marks.append(Mark(mask, box, stroke_width(mask), bool(parts.at_rim[group].any())))
    return marks


def _belongs(parts: _Parts, widths: dict[int, float], small: int, large: int) -> bool:
    """Tells whether a part belongs to the same digit as a larger one."""
    size = parts.sizes[large]
    if parts.areas[small] < parts.areas[large] / 25:
        return False
    if widths[small] > 1.7 * widths[large] and parts.sizes[small] < 2 * widths[small]:
        return False  # A blot, wider than any stroke.
    (rows, columns), (rows2, columns2) = parts.boxes[large], parts.boxes[small]
    down = max(rows.start, rows2.start) - min(rows.stop, rows2.stop)
    across = max(columns.start, columns2.start) - min(columns.stop, columns2.stop)
    if max(down, across) > 0.2 * size:
        return False
    narrow = min(columns.stop - columns.start, columns2.stop - columns2.start)
    low = rows2.stop - rows2.start < 0.5 * (rows.stop - rows.start)
    # Digits stand beside each other, the parts of one digit above each other.
    return bool(-across >= 0.5 * narrow or (low and across < widths[large]))


def _sides(box: Box) -> tuple[int, int]:
    """Computes the height and the width of a box."""
    return box[0].stop - box[0].start, box[1].stop - box[1].start
