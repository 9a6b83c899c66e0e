"""Takes ruled lines, squares and printed boxes out of the ink.

A line is thin, nearly level or upright, and goes on at both ends: to the rim, to another line,
or well beyond what else stands there. A digit's own straight strokes do not.
"""

import numpy as np
from scipy import ndimage

from mnist_flax.predict.contrast import Ink, strongest
from mnist_flax.predict.straight import Line, find

# How far a line goes on beyond the rest, as a share of its length.
_BEYOND = 0.12
# A line beside which what else stands there is smaller than this is a digit's stroke itself.
_CORE = 0.5
# In smaller pictures, in pixels, lines and strokes are equally thin.
_SMALL = 64
# The least size of what is left of a digit without lines, and the greatest of what is left of a
# box, as shares of their own.
_LEFT, _SCRAP = 0.75, 0.15
# How far apart the ends of alike lines may be, as a share of their length, and how many of them
# no digit has.
_ALIKE, _MANY = 0.25, 4
# How many times as high as wide the tooth of a comb is at least.
_TOOTH = 4
# What is this many times as dark as a line is no part of it.
_DARKER = 1.3


def without_lines(ink: Ink) -> Ink:
    """Removes lines; where a stroke crosses one, the stroke stays."""
    if max(ink.level.shape) < _SMALL:
        return ink
    mask = ink.level > ink.floor
    lines = find(ink.level, mask, upright=False) + find(ink.level.T, mask.T, upright=True)
    lines = _going_on(lines, mask)
    if not lines:
        return ink
    rest = _without(lines, mask)
    for line in lines:
        # A pen's stroke along a line is darker than the line.
        at = tuple(line.pixels.T)
        rest[at] = ink.level[at] > _DARKER * line.level
    rest = _without_teeth(lines, _with_free_marks(ink, mask, rest))
    crossed = np.zeros_like(rest)
    for upright in (False, True):
        same = [line for line in lines if line.upright == upright]
        if same:
            # Strokes go on across a line that has ink on both sides.
            across = max(line.thickness for line in same) + 4
            bridge = np.ones((1, across) if upright else (across, 1), bool)
            crossed |= ndimage.binary_closing(np.pad(rest, across), bridge)[
                across:-across, across:-across
            ]
    if not rest.any():
        return ink
    level = np.where(mask & ~rest & ~crossed, np.float32(0), ink.level)
    most = strongest(level)
    return ink._replace(level=level, most=most) if most > 1.3 * ink.floor else ink


def _without(lines: list[Line], mask: np.ndarray) -> np.ndarray:
    """Removes the pixels of lines from a mask."""
    rest = mask.copy()
    for line in lines:
        rest[tuple(line.pixels.T)] = False
    return rest


def _with_free_marks(ink: Ink, mask: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Puts marks back that touch no rim and of which a part would be left.

    They are digits of a fine pen, with strokes as straight, thin and dark as lines.
    """
    labels = ndimage.label(mask, np.ones((3, 3)))[0]
    at_rim = {*labels[0], *labels[-1], *labels[:, 0], *labels[:, -1]}
    boxes = ndimage.find_objects(labels)
    touched = np.unique(labels[mask & ~rest])
    rest = rest.copy()
    for label in touched:
        if label in at_rim:
            continue
        box = boxes[label - 1]
        whole = labels[box] == label
        kept = rest[box] & whole
        pieces = ndimage.find_objects(ndimage.label(kept, np.ones((3, 3)))[0])
        left = max(map(_longer, pieces), default=0) / _longer(box)
        if not _SCRAP < left < _LEFT:
            continue
        removed, stays = (ink.level[box][each] for each in (whole & ~kept, kept))
        if np.median(stays) <= _DARKER * np.median(removed):
            rest[box] |= whole
    return rest


def _without_teeth(lines: list[Line], rest: np.ndarray) -> np.ndarray:
    """Removes the teeth of a comb: alike bars as thin as the level line that they stand on."""
    labels = ndimage.label(rest, np.ones((3, 3)))[0]
    boxes = ndimage.find_objects(labels)
    kept = rest.copy()
    for line in lines:
        if line.upright:
            continue
        bars = []
        for label, (rows, columns) in enumerate(boxes, 1):
            height, width = rows.stop - rows.start, columns.stop - columns.start
            foot = np.array([rows.stop, (columns.start + columns.stop - 1) / 2])
            is_thin = width <= line.thickness + 1 and height >= _TOOTH * width
            if is_thin and _meets(foot, line, line.thickness + 3):
                bars.append((label, height))
        for label, height in bars:
            if sum(abs(height - other) <= 2 for _, other in bars) > 1:
                kept[labels == label] = False
    return kept


def _longer(box: tuple[slice, slice]) -> int:
    """Returns the longer side of a box."""
    return max(side.stop - side.start for side in box)


def _going_on(lines: list[Line], mask: np.ndarray) -> list[Line]:
    """Keeps the lines that go on at both ends."""
    if not lines:
        return []
    core = _core(lines, mask)
    if core is None:
        # Lines along the rim may be bars of a digit that is cut tight.
        lines = [line for line in lines if not _along_rim(line, mask.shape)]
        # A 1 may be as straight and thin as the lines that it is written on.
        core = _core(lines, mask) or _core(
            [line for line in lines if _count_alike(line, lines) > 1], mask
        )
    while True:
        kept = [
            line
            for line in lines
            if _passes(line, core)
            and all(_goes_on(line, end, lines, core, mask) for end in (0, 1))
        ]
        if len(kept) == len(lines):
            return kept
        lines = kept


def _core(lines: list[Line], mask: np.ndarray) -> tuple[slice, slice] | None:
    """Finds the box of the largest thing that is no line; None if it is next to nothing."""
    rest = _without(lines, mask)
    labels, count = ndimage.label(rest, np.ones((3, 3)))
    if not count:
        return None
    largest = int(np.bincount(labels.ravel())[1:].argmax())
    core: tuple[slice, slice] = ndimage.find_objects(labels)[largest]
    return core if _longer(core) >= 0.08 * max(mask.shape) else None


def _along_rim(line: Line, shape: tuple[int, ...]) -> bool:
    """Tells whether a line lies along the rim of the picture."""
    across = 1 if line.upright else 0
    middle = float(line.ends[:, across].mean())
    return min(middle, shape[across] - 1 - middle) < 2 * line.thickness


def _passes(line: Line, core: tuple[slice, slice] | None) -> bool:
    """Tells whether a line passes the middle of what else stands there, as no loop of an 8."""
    if core is None:
        return True
    along = 0 if line.upright else 1
    low, high = sorted(line.ends[:, along])
    return bool(low <= (core[along].start + core[along].stop) / 2 <= high)


def _goes_on(
    line: Line,
    end: int,
    lines: list[Line],
    core: tuple[slice, slice] | None,
    mask: np.ndarray,
) -> bool:
    """Tells whether a line goes on at an end (0: the first, 1: the last)."""
    along = 0 if line.upright else 1
    place = line.ends[end]
    rim = 2 + max(mask.shape) / 100
    if min(place[along], mask.shape[along] - 1 - place[along]) < rim and _alone(
        line, end, lines, mask
    ):
        return True
    if _ends_at(line, end, lines) or (core is not None and _is_side(line, end, lines)):
        return True
    alike = _count_alike(line, lines)
    if alike >= _MANY:
        return True
    length = abs(line.ends[1, along] - line.ends[0, along])
    if core is None or (_longer(core) < _CORE * length and alike == 1):
        return False
    side = core[along]
    beyond = side.start - place[along] if end == 0 else place[along] - side.stop
    return bool(beyond > _BEYOND * length)


def _ends_at(line: Line, end: int, lines: list[Line]) -> bool:
    """Tells whether a line ends at another one, drawn by a pen as strong as its own."""
    return any(
        other.upright != line.upright
        and line.level < _DARKER * other.level
        and line.thickness < 1.5 * other.thickness + 2
        and _meets(line.ends[end], other, line.thickness + 3)
        for other in lines
    )


def _count_alike(line: Line, lines: list[Line]) -> int:
    """Counts the lines that are like one, itself included: on ruled paper several are."""
    along = 0 if line.upright else 1
    apart = _ALIKE * abs(line.ends[1, along] - line.ends[0, along])
    return sum(
        other.upright == line.upright
        and abs(other.thickness - line.thickness) <= 1
        and max(other.level, line.level) < _DARKER * min(other.level, line.level)
        and bool(np.abs(other.ends - line.ends)[:, along].max() <= apart)
        for other in lines
    )


def _is_side(line: Line, end: int, lines: list[Line]) -> bool:
    """Tells whether a line is a side of a box whose next side a digit covers."""
    return any(
        other is not line
        and other.upright == line.upright
        and abs(other.thickness - line.thickness) <= 1
        and np.abs(other.ends - line.ends)[:, 0 if line.upright else 1].max() <= 3
        and all(_ends_at(each, 1 - end, lines) for each in (line, other))
        for other in lines
    )


def _alone(line: Line, end: int, lines: list[Line], mask: np.ndarray) -> bool:
    """Tells whether no stroke, only other lines, is near an end of a line."""
    reach = 3 * line.thickness + 3
    low = np.maximum(line.ends[end].astype(int) - reach, 0)
    rows, columns = (slice(start, start + 2 * reach + 1) for start in low)
    near = mask[rows, columns].copy()
    for other in lines:
        inside = other.pixels - low
        inside = inside[((inside >= 0) & (inside < near.shape)).all(1)]
        near[tuple(inside.T)] = False
    # Where lines cross each other, some pixels are none's.
    return bool(near.sum() <= 4 * line.thickness**2)


def _meets(place: np.ndarray, line: Line, near: float) -> bool:
    """Tells whether a place, row and column, is on a line or `near` to it."""
    along = 0 if line.upright else 1
    first, last = line.ends
    share = (place[along] - first[along]) / max(last[along] - first[along], 1)
    share = np.clip(share, 0, 1)
    return bool(np.abs(first + share * (last - first) - place).max() <= near)
