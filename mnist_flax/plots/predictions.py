"""Draws the images that a network was given, and its answers."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox, TransformedBbox

from mnist_flax.plots.sheet import put_image, put_text
from mnist_flax.plots.themes import LIGHT, Theme, isolated, png

# More would make a picture too large for most programs.
MOST = 400

# In pixels of the PNG.
_COLUMNS, _SIDE, _GAP, _CAPTION, _TITLE = 8, 112, 16, 46, 68
_DPI = 100
_SURE_FROM = 0.9


@isolated
def draw_preview(
    images: np.ndarray, probabilities: np.ndarray, names: Sequence[str], theme: Theme = LIGHT
) -> bytes:
    """Draws a sheet of images, each with its most likely digit and the probability of it.

    Args:
      images: uint8[N,28,28], 0 (background) to 255, N from 1; only the first MOST are drawn.
      probabilities: float[N,10], 0 to 1.
      names: N names of any length, to go below the images.
      theme: the colours.

    Returns:
      A PNG; each image takes 112 x 112 pixels of it.
    """
    images = images[:MOST]
    columns = min(_COLUMNS, max(3, len(images)))
    rows = -(-len(images) // columns)
    across, down = _SIDE + _GAP, _SIDE + _GAP + _CAPTION
    width, height = columns * across + _GAP, _TITLE + rows * down + _GAP
    # Figure, not pyplot: no window system, no global state.
    figure = Figure((width / _DPI, height / _DPI), dpi=_DPI, facecolor=theme.surface)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    put_text(axes, _GAP, 22, "What the network sees", theme.text, 13, weight="bold")
    sure = f"blue: {100 * _SURE_FROM:.0f} % sure or more"
    put_text(axes, _GAP, 44, sure, theme.test, 8)
    put_text(axes, _GAP + 150, 44, "orange: less sure", theme.target, 8)
    for i, (image, shares) in enumerate(zip(images, probabilities, strict=False)):
        row, column = divmod(i, columns)
        left, top = _GAP + column * across, _TITLE + row * down
        put_image(axes, image, left, top, _SIDE)
        digit = int(shares.argmax())
        color = theme.test if shares[digit] >= _SURE_FROM else theme.target
        line = top + _SIDE + 16
        put_text(axes, left, line, f"{digit}", color, 15, weight="bold")
        put_text(axes, left + _SIDE, line, f"{100 * shares[digit]:.1f} %", color, 10, "right")
        name = axes.text(
            left, line + 18, _short(names[i]), size=7.5, color=theme.faint_text, va="center",
            parse_math=False, clip_on=True,
        )  # fmt: skip
        # Wide letters may still be too many for the width: cut them off.
        below = Bbox.from_extents(left, top + _SIDE, left + _SIDE, top + down)
        name.set_clip_box(TransformedBbox(below, axes.transData))
    # imshow changes the limits.
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    return png(figure)


def _short(name: str) -> str:
    """Shortens a name to 18 characters, keeping both its ends."""
    return name if len(name) <= 18 else f"{name[:9]}…{name[-8:]}"
