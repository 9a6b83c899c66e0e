"""Knows a picture that is cut tight around its digit, where little paper is left.

There the ink touches the rim, and wide strokes may cover most of the picture, so its paper
cannot be estimated from what lies around. But then the paper is of one shade.
"""

import numpy as np

from mnist_flax.predict import contrast, grouping, strokes
from mnist_flax.predict.contrast import Ink
from mnist_flax.predict.marks import Mark

# How near to each side of the picture its ink reaches: pixels, and a share of the side.
_NEAR, _SHARE = 3, 0.02
# The greatest share of the rim that is ink, but in a picture as narrow as a 1; the most parts.
_RIM, _NARROW, _PARTS = 0.4, 0.35, 4
# How often the rim enters ink at most: lines of squared paper cross it more often.
_CROSSINGS = 6
# How much the shade of the paper may vary, as a share of its contrast to the ink.
_EVEN = 0.12


def find_tight(gray: np.ndarray) -> tuple[Ink, Mark] | None:
    """Finds the digit in a picture that is cut tight around it.

    Args:
      gray: float32[H,W], 0 (black) to 255.

    Returns:
      Its ink, and its mark; None if the picture is not cut so.
    """
    is_narrow = min(gray.shape) < _NARROW * max(gray.shape)
    for each in contrast.on_even_paper(gray):
        mask = each.level > each.most / 2
        parts = strokes.find_parts(mask)
        if not 0 < len(parts) <= _PARTS:
            continue
        if sum(part.rim for part in parts) > _RIM and not is_narrow:
            continue
        if _crossings(mask) > _CROSSINGS:
            continue
        mark = parts[0]
        for part in parts[1:]:
            mark = grouping.join(mark, part, bridged=False)
        near = [max(_NEAR, _SHARE * length) for length in mask.shape]
        gaps = [
            max(side.start, length - side.stop)
            for side, length in zip(mark.box, mask.shape, strict=True)
        ]
        paper = each.level[each.level < each.most / 4]
        # Paper within a dark frame is as light ink on dark paper, but a sheet.
        if (
            not strokes.is_sheet(mark)
            and all(gap <= most for gap, most in zip(gaps, near, strict=True))
            and paper.size
            and np.ptp(np.percentile(paper, [10, 90])) < _EVEN * each.most
        ):
            return each, mark
    return None


def _crossings(mask: np.ndarray) -> int:
    """Counts how often one enters ink on the way around the rim of bool[H,W]."""
    rim = np.concatenate([mask[0], mask[1:, -1], mask[-1, -2::-1], mask[-2:0:-1, 0]])
    return int((rim & ~np.roll(rim, 1)).sum())
