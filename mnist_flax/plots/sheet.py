"""A sheet of small images with words, measured in the pixels of a page."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mnist_flax.plots.themes import Theme, png

# Of a page; a picture has twice as many pixels.
WIDTH = 540
DPI = 200


def canvas(height: float, theme: Theme) -> tuple[Figure, Axes]:
    """Makes a figure that is measured in the pixels of a page, from its upper left corner."""
    size = (2 * WIDTH / DPI, 2 * height / DPI)
    figure = Figure(size, dpi=DPI, facecolor=theme.surface)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    return figure, axes


def finish(figure: Figure, axes: Axes, height: float) -> bytes:
    """Turns a figure of `canvas` into a PNG."""
    # imshow moves the limits.
    axes.set_xlim(0, WIDTH)
    axes.set_ylim(height, 0)
    return png(figure)


def put_image(axes: Axes, image: np.ndarray, left: float, top: float, side: float) -> None:
    """Puts an image uint8[H,W] on a canvas, `side` pixels wide and high."""
    axes.imshow(
        image,
        cmap="gray",
        vmin=0,
        vmax=255,
        interpolation="nearest",
        extent=(left, left + side, top + side, top),
        aspect="auto",
    )


def put_outline(axes: Axes, extent: tuple[float, float, float, float], theme: Theme) -> None:
    """Puts a frame on a canvas: left, right, bottom, top."""
    left, right, bottom, top = extent
    axes.plot(
        [left, right, right, left, left],
        [top, top, bottom, bottom, top],
        color=theme.train,
        linewidth=0.7,
    )


def put_text(
    axes: Axes,
    x: float,
    y: float,
    words: str,
    color: str,
    size: float,
    ha: str = "left",
    weight: str = "normal",
) -> None:
    """Puts words on a canvas, their middle at the height y."""
    axes.text(x, y, words, color=color, size=size, ha=ha, va="center", weight=weight)
