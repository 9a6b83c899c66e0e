"""Joins the parts of a digit whose strokes are broken or do not touch."""

import numpy as np
from scipy import ndimage

from mnist_flax.predict.marks import Box, Mark

# A gap in a stroke is narrower than this share of a mark's size, and than the stroke's width.
_GAP = 0.1


def group(parts: list[Mark], many: bool) -> list[Mark]:
    """Joins the parts of broken strokes."""
    marks = sorted(parts, key=lambda mark: -mark.area)
    i = 0
    while i < len(marks):
        mates = [mark for mark in marks[i + 1 :] if _belongs(mark, marks[i], many)]
        for mate in mates:
            marks[i] = join(marks[i], mate, bridged=not many)
        marks = [mark for mark in marks if not any(mark is mate for mate in mates)]
        i = 0 if mates else i + 1
    return marks


def _belongs(small: Mark, large: Mark, many: bool) -> bool:
    """Tells whether a mark is a part of the same digit as a larger one."""
    if small.area < large.area / 25:
        return False
    # A blot is solid and wider than the strokes; a punch hole is a circle.
    shorter, solid = min(small.mask.shape), float(small.mask.mean())
    is_wide = shorter > 1.4 * large.width and small.size < 1.4 * shorter and solid > 0.65
    is_circle = (
        shorter > 0.8 * large.width and small.size < 1.15 * shorter and 0.7 < solid < 0.83
    )
    is_blot = is_wide or is_circle
    if not many:
        _, first, second = _together(large, small)
        gap = float(_distance(first)[second].min())
        if gap <= min(_GAP * max(first.shape), large.width + 1):
            return not is_blot or gap <= _GAP / 2 * max(first.shape)
    if is_blot:
        return False
    down, across = (
        max(a.start, b.start) - min(a.stop, b.stop)
        for a, b in zip(large.box, small.box, strict=True)
    )
    if max(down, across) > 0.2 * large.size:
        return False
    # Digits stand beside each other and are about as high; the parts of one digit stand above
    # each other, or one is much lower, or hardly any gap is between them.
    height, width = (
        max(a.stop, b.stop) - min(a.start, b.start)
        for a, b in zip(large.box, small.box, strict=True)
    )
    narrow = min(small.mask.shape[1], large.mask.shape[1])
    beside = many and -down > 0.5 * small.height
    if -across >= (0.8 if beside else 0.5) * narrow:
        return True
    if small.height < 0.5 * large.height:
        return width < 1.4 * height
    return not many and width < 0.9 * height and across < 0.6 * large.width


def _together(one: Mark, other: Mark) -> tuple[Box, np.ndarray, np.ndarray]:
    """Returns the box of both marks, and the mask of each in it."""
    rows, columns = (
        slice(min(a.start, b.start), max(a.stop, b.stop))
        for a, b in zip(one.box, other.box, strict=True)
    )
    masks = np.zeros((2, rows.stop - rows.start, columns.stop - columns.start), bool)
    for mark, mask in zip((one, other), masks, strict=True):
        top, left = mark.box[0].start - rows.start, mark.box[1].start - columns.start
        mask[top : top + mark.mask.shape[0], left : left + mark.mask.shape[1]] = mark.mask
    return (rows, columns), masks[0], masks[1]


def _distance(mask: np.ndarray) -> np.ndarray:
    """Measures the distance of each pixel from a mask."""
    far: np.ndarray = ndimage.distance_transform_edt(~mask)
    return far


def join(one: Mark, other: Mark, bridged: bool) -> Mark:
    """Makes one mark of two; if `bridged`, with what lies between them if they are close."""
    box, first, second = _together(one, other)
    mask = first | second
    if bridged:
        both = _distance(first) + _distance(second)
        gap = float(both[mask].min())
        if gap <= _GAP * max(mask.shape):
            mask |= both <= 1.5 * gap
    width = (one.area * one.width + other.area * other.width) / (one.area + other.area)
    return Mark(box, mask, width, one.rim + other.rim)
