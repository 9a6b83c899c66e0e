"""One picture of what the network was shown, and what it answered."""

import io
import warnings
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox, TransformedBbox

# More than these would make a picture that few programs open.
MOST = 400

_COLUMNS, _SIDE, _GAP, _CAPTION, _TITLE = 8, 112, 16, 46, 68
_DPI = 100
_PAPER, _TEXT, _FAINT, _SURE, _UNSURE = "#ffffff", "#24292f", "#6e7781", "#1f6feb", "#c2410c"
_SURE_FROM = 0.9


def draw_preview(images: np.ndarray, probabilities: np.ndarray, names: Sequence[str]) -> bytes:
    """Draws a sheet of images, each with its likeliest digit and how probable it is.

    Args:
      images: uint8[N,28,28], N from 1; only the first MOST are drawn.
      probabilities: float[N,10].
      names: one an image, of any length.

    Returns:
      A PNG; an image is enlarged to 112 x 112 pixels.
    """
    images = images[:MOST]
    columns = min(_COLUMNS, max(3, len(images)))
    rows = -(-len(images) // columns)
    across, down = _SIDE + _GAP, _SIDE + _GAP + _CAPTION
    width, height = columns * across + _GAP, _TITLE + rows * down + _GAP
    # Figure, not pyplot: no window system, no global state.
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, facecolor=_PAPER)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.axis("off")
    axes.text(
        _GAP, 22, "What the network sees", size=13, weight="bold", color=_TEXT, va="center"
    )
    for left, key, color in (
        (_GAP, f"blue: {100 * _SURE_FROM:.0f} % sure or more", _SURE),
        (_GAP + 150, "orange: less sure", _UNSURE),
    ):
        axes.text(left, 44, key, size=8, color=color, va="center")
    for i, (image, shares) in enumerate(zip(images, probabilities, strict=False)):
        row, column = divmod(i, columns)
        left, top = _GAP + column * across, _TITLE + row * down
        axes.imshow(
            image, cmap="gray", vmin=0, vmax=255, interpolation="nearest",
            extent=(left, left + _SIDE, top + _SIDE, top), aspect="auto",
        )  # fmt: skip
        digit = int(shares.argmax())
        color = _SURE if shares[digit] >= _SURE_FROM else _UNSURE
        line = top + _SIDE + 16
        axes.text(left, line, f"{digit}", size=15, weight="bold", color=color, va="center")
        axes.text(
            left + _SIDE, line, f"{100 * shares[digit]:.1f} %", size=10, color=color,
            ha="right", va="center",
        )  # fmt: skip
        name = axes.text(
            left, line + 18, _short(names[i]), size=7.5, color=_FAINT, va="center",
            parse_math=False, clip_on=True,
        )  # fmt: skip
        # Of wide letters, fewer fit than _short takes.
        below = Bbox.from_extents(left, top + _SIDE, left + _SIDE, top + down)
        name.set_clip_box(TransformedBbox(below, axes.transData))
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    png = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # in somebody's file name
        figure.savefig(png, format="png")
    return png.getvalue()


def _short(name: str) -> str:
    """The name, or its ends, so that it fits below an image."""
    return name if len(name) <= 18 else f"{name[:9]}…{name[-8:]}"
