"""Finds the marks in a picture's ink: connected strokes that stand by themselves.

A threshold that is too low joins a digit with the lines of its paper, one that is too high
breaks it. The right one is the lowest at which the largest mark stands by itself, touching no
rim: it is searched.
"""

import numpy as np
from scipy import ndimage

from mnist_flax.predict import grouping
from mnist_flax.predict.contrast import Ink
from mnist_flax.predict.marks import Mark, stroke_width

_LEVELS = 12
# A sheet of paper is thicker than this share of its size, whatever is written on it.
_THICK = 0.15
# In a smaller mark, in pixels, a 0 is as square as a sheet.
_SHEET = 40
# Parts with less area than this share of the largest one are specks.
_SPECK = 1 / 200
# What is lighter than this share of a mark's strongest ink may be a shadow.
_DARKEST = 0.65
# Only so many parts are looked at, the largest: the others are noise.
_MOST_PARTS = 60
# What covers more of the rim than this is a frame, or the edge of a table or a scanner.
_ALONG = 0.25
# What is larger than this share of a frame may be the digit inside it.
_INSIDE = 0.3


def find_marks(ink: Ink, many: bool = False) -> list[Mark]:
    """Finds what was drawn.

    Args:
      ink: the ink of the picture, without lines.
      many: whether several digits are expected, which may stand close to each other. If not,
        what stands close together is taken for the broken strokes of one.

    Returns:
      The marks that are at least a third as large as the largest one; that one first.
    """
    best: list[Mark] = []
    # Below a share of the ink are the traces of a JPEG's compression.
    levels = np.linspace(max(ink.floor, 0.12 * ink.most), 0.8 * ink.most, _LEVELS)
    for level in levels:
        inner = [part for part in find_parts(ink.level > level) if not part.rim]
        if inner and _largest(inner) > 1.02 * _largest(best):
            best = inner
    # A digit that is cut tight touches the rim; what does not touch it is a speck.
    middle = find_parts(ink.level > ink.floor + 0.4 * (ink.most - ink.floor))
    cut = [part for part in middle if part.rim <= _ALONG]
    if _largest(best) < 0.35 * _largest(cut):
        best = cut
    best = best or middle
    marks = sorted(grouping.group(best, many), key=lambda mark: -mark.extent)
    return [mark for mark in marks if 3 * mark.extent >= marks[0].extent]


def darkest_width(ink: Ink, mark: Mark) -> float:
    """Measures the width of a mark's darkest strokes, without a shadow that joins them."""
    level = np.where(mark.mask, ink.level[mark.box], 0)
    return stroke_width(level > _DARKEST * float(np.percentile(level[mark.mask], 95)))


def is_sheet(mark: Mark) -> bool:
    """Tells whether a mark is a sheet of paper, upright or turned, with something on it."""
    if mark.size < _SHEET or mark.width < _THICK * mark.size:
        return False
    filled = ndimage.binary_fill_holes(mark.mask)
    points = np.argwhere(filled)
    turns = [
        np.array([[np.cos(x), np.sin(x)], [-np.sin(x), np.cos(x)]])
        for x in np.radians(np.arange(-20, 21, 2))
    ]
    least = min(float(np.prod(np.ptp(points @ turn, axis=0) + 1)) for turn in turns)
    return bool(filled.sum() > 0.9 * least and filled.sum() > 1.02 * mark.area)


def _largest(marks: list[Mark]) -> float:
    """Returns the extent of the largest mark; 0 without marks."""
    return max((mark.extent for mark in marks), default=0.0)


def find_parts(mask: np.ndarray) -> list[Mark]:
    """Finds the connected parts of a mask, without specks and frames."""
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    rim = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    shares = np.bincount(rim, minlength=count + 1)[1:] / len(rim)
    boxes = ndimage.find_objects(labels)
    parts: list[Mark] = []
    frames: list[Mark] = []
    largest = np.sort(np.argsort(-areas, kind="stable")[:_MOST_PARTS])
    for i in largest[areas[largest] >= max(3, _SPECK * areas.max(initial=0))]:
        part = labels[boxes[i]] == i + 1
        mark = Mark(boxes[i], part, stroke_width(part), float(shares[i]))
        if _is_frame(part):
            # A printed box, and what touches it from within; or else a square 0.
            corner = boxes[i][0].start, boxes[i][1].start
            inner = [_moved(each, corner) for each in find_parts(_without_frame(part))]
            inner = [each for each in inner if each.size > _INSIDE * mark.size]
            frames.append(mark)
            parts += inner or [mark]
        else:
            parts.append(mark)
    return [
        part
        for part in parts
        if not any(part is frame and _has_inside(frame, parts) for frame in frames)
    ]


def _has_inside(frame: Mark, parts: list[Mark]) -> bool:
    """Tells whether a large part lies within a frame."""
    return any(
        part is not frame
        and part.size > _INSIDE * frame.size
        and all(
            a.start <= b.start and b.stop <= a.stop
            for a, b in zip(frame.box, part.box, strict=True)
        )
        for part in parts
    )


def _moved(mark: Mark, corner: tuple[int, int]) -> Mark:
    """Moves a mark that was found in a part of the picture to its place in the whole."""
    rows, columns = (
        slice(side.start + start, side.stop + start)
        for side, start in zip(mark.box, corner, strict=True)
    )
    return Mark((rows, columns), mark.mask, mark.width, rim=0.0)


def _without_frame(part: np.ndarray) -> np.ndarray:
    """Removes the rows and columns at the sides of a frame that it lines."""
    part = part.copy()
    for turns in range(4):
        side = np.rot90(part, turns)
        lined = side.mean(1) > 0.6
        side[: int(np.argmin(lined)) + 1] = False
    return part


def _is_frame(part: np.ndarray) -> bool:
    """Tells whether a part lines all four sides of its box and leaves the middle empty."""
    if min(part.shape) < 8:
        return False
    depth = max(1, min(part.shape) // 12)
    sides = (part[:depth], part[-depth:], part[:, :depth].T, part[:, -depth:].T)
    lined = min(side.any(0).mean() for side in sides)
    return bool(lined > 0.9 and part.mean() < 0.5)
