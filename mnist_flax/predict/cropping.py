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
# The greatest share of the rim that is ink, and the most parts of a digit.
_RIM, _PARTS = 0.4, 4
# How much the shade of the paper may vary, as a share of its contrast to the ink.
_EVEN = 0.12


def find_tight(gray: np.ndarray) -> tuple[Ink, Mark] | None:
    """Finds the digit in a picture that is cut tight around it.

    Args:
      gray: float32[H,W], 0 (black) to 255.

    Returns:
      Its ink, and its mark; None if the picture is not cut so.
    """
    for each in contrast.on_even_paper(gray):
        mask = each.level > each.most / 2
        parts = strokes.find_parts(mask)
        if not 0 < len(parts) <= _PARTS or sum(part.rim for part in parts) > _RIM:
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
        if (
            all(gap <= most for gap, most in zip(gaps, near, strict=True))
            and paper.size
            and np.ptp(np.percentile(paper, [10, 90])) < _EVEN * each.most
        ):
            return each, mark
    return None
