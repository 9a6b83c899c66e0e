"""Draws pictures with a box around each digit that was found in them."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mnist_flax.plots.themes import LIGHT, Theme, isolated, png

# In inches: the width of the sheet; and the most pictures that are drawn.
_WIDTH = 8
MOST = 40

Box = tuple[float, ...]


@isolated
def draw_boxes(
    pictures: Sequence[np.ndarray],
    boxes: Sequence[Sequence[Box]],
    answers: Sequence[Sequence[tuple[int, float]]],
    names: Sequence[str],
    theme: Theme = LIGHT,
) -> bytes:
    """Draws pictures below each other, with boxes and what was read in them.

    Args:
      pictures: float[H,W] each, 0 (black) to 255; only the first MOST are drawn.
      boxes: for each picture the left, top, right and bottom of each box, in its pixels.
      answers: for each box the digit and its probability, 0 to 1.
      names: a name for each picture, to stand above it.
      theme: the colours.

    Returns:
      A PNG.
    """
    pictures = pictures[:MOST]
    heights = [
        min(_WIDTH * picture.shape[0] / picture.shape[1], _WIDTH) for picture in pictures
    ]
    title = 0.4
    figure = Figure((_WIDTH, sum(heights) + title * len(heights)), facecolor=theme.surface)
    top = figure.get_figheight()
    for i, (picture, height) in enumerate(zip(pictures, heights, strict=True)):
        top -= title + height
        place = (0.02, top / figure.get_figheight(), 0.96, height / figure.get_figheight())
        axes = figure.add_axes(place)
        axes.axis("off")
        axes.imshow(picture, cmap="gray", vmin=0, vmax=255)
        axes.set_title(names[i], size=9, color=theme.faint_text, loc="left", parse_math=False)
        for (left, above, right, below), (digit, share) in zip(
            boxes[i], answers[i], strict=True
        ):
            color = theme.test if share >= 0.9 else theme.target
            axes.add_patch(
                Rectangle((left, above), right - left, below - above, fill=False, color=color)
            )
            axes.text(left, above, f"{digit}", color=color, size=13, weight="bold", va="bottom")
    return png(figure)
