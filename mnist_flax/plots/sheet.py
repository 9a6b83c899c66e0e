"""Places small images and texts on a figure, measured in the pixels of a page."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mnist_flax.plots.themes import Theme, png

# Width of a sheet in pixels of the page; the PNG has twice as many.
WIDTH = 540
DPI = 200


def canvas(height: float, theme: Theme) -> tuple[Figure, Axes]:
    """Makes a figure WIDTH pixels wide; its origin is the upper left corner."""
    size = (2 * WIDTH / DPI, 2 * height / DPI)
    figure = Figure(size, dpi=DPI, facecolor=theme.surface)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    return figure, axes


def finish(figure: Figure, axes: Axes, height: float) -> bytes:
    """Saves a figure made by `canvas` as a PNG."""
    # imshow changes the limits.
    axes.set_xlim(0, WIDTH)
    axes.set_ylim(height, 0)
    return png(figure)


def put_image(axes: Axes, image: np.ndarray, left: float, top: float, side: float) -> None:
    """Draws an image, uint8[H,W], `side` pixels wide and high."""
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
    """Draws a frame; `extent` is its left, right, bottom and top."""
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
    """Puts a text on a canvas, vertically centred at y."""
    axes.text(x, y, words, color=color, size=size, ha=ha, va="center", weight=weight)
