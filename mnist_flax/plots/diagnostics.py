"""The figures of a report but for the curves, each a PNG for one theme.

They are 1080 pixels wide, or twice what they measure on a page.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MultipleLocator

from mnist_flax.metrics import BINS, Bin, wilson_interval
from mnist_flax.plots.augmentations import Row
from mnist_flax.plots.themes import Theme, png, readable, style

# More would make a picture that few programs open.
MOST_MISTAKES = 400

_WIDTH = 540
_DPI = 200


class Mistake(NamedTuple):
    """A test image that was taken for another digit.

    Attributes:
      place: in the test split, from 0.
      image: uint8[28,28].
      label: the digit that it is.
      prediction: the digit that it was taken for.
      probability: of the prediction, 0 to 1.
      label_probability: of the label, 0 to 1.
    """

    place: int
    image: np.ndarray
    label: int
    prediction: int
    probability: float
    label_probability: float


def draw_confusion(confusion: np.ndarray, theme: Theme) -> bytes:
    """Draws how often each digit was taken for each.

    Args:
      confusion: int[10,10]; rows are labels, columns predictions.
      theme: the colours.
    """
    figure = Figure((5.4, 5.4), dpi=_DPI, layout="constrained", facecolor=theme.surface)
    axes = figure.subplots()
    wrong = confusion - np.diag(np.diag(confusion))
    most = max(1, wrong.max())
    # Right answers are a hundred times as many: colour is for the mistakes.
    drawn = axes.imshow(-wrong, cmap=theme.around_zero, vmin=-most, vmax=most)
    for row, column in np.ndindex(10, 10):
        count = confusion[row, column]
        right = row == column
        behind = tuple(drawn.to_rgba(-wrong[row, column])[:3])
        axes.text(
            column,
            row,
            f"{count}" if count else "·",
            ha="center",
            va="center",
            fontsize=8 if right else 11,
            fontweight="normal" if right else "bold",
            color=theme.faint_text if right else readable(behind, theme),
        )
    axes.set_xticks(range(10))
    axes.set_yticks(range(10))
    axes.set_xlabel("the network's answer", fontsize=11)
    axes.set_ylabel("the digit that it is", fontsize=11)
    style(axes, theme)
    axes.grid(False)
    axes.tick_params(length=0, labelsize=12)
    axes.spines[:].set_visible(False)
    return png(figure)


def draw_reliability(bins: Sequence[Bin], theme: Theme) -> bytes:
    """Draws how often the network is right against how sure it is, and how often it is so sure.

    Args:
      bins: BINS of them, of equal width.
      theme: the colours.
    """
    figure = Figure((4.5, 4.6), dpi=240, layout="constrained", facecolor=theme.surface)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    upper.plot([0, 1], [0, 1], "--", color=theme.faint_text, linewidth=1.2)
    # Above the plot: inside, a point may be anywhere.
    words = "dashed: as sure as it is right"
    upper.set_title(words, loc="left", fontsize=10, color=theme.faint_text)
    full = [bin for bin in bins if bin.size]
    confidence, accuracy = (np.array([bin[i] for bin in full]) for i in (1, 2))
    ends = [wilson_interval(round(bin.accuracy * bin.size), bin.size) for bin in full]
    low, high = np.transpose(ends)
    upper.errorbar(
        confidence,
        accuracy,
        [np.maximum(0, accuracy - low), np.maximum(0, high - accuracy)],
        fmt="o",
        color=theme.test,
        ecolor=theme.train,
        markersize=6,
        capsize=3,
    )
    upper.set_ylabel("share that is right")
    upper.set_ylim(-0.03, 1.03)
    upper.set_xlim(-0.02, 1.02)
    edges = np.linspace(0, 1, BINS + 1)
    # On a log scale a bar begins at half an image, so that a single one can be seen.
    lower.stairs(
        np.maximum(0.5, [bin.size for bin in bins]),
        edges,
        baseline=0.5,
        fill=True,
        color=theme.test,
    )
    lower.set_yscale("log")
    lower.set_ylim(0.5, 2 * max(bin.size for bin in bins))
    lower.set_ylabel("images")
    lower.set_xlabel("probability that the network gives for its answer")
    for axes in (upper, lower):
        style(axes, theme)
    for axis in (upper.yaxis, lower.xaxis):
        axis.set_major_locator(MultipleLocator(0.2))
        axis.set_major_formatter(FuncFormatter(lambda x, _: f"{100 * x:.0f} %"))
    lower.yaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    lower.minorticks_off()
    return png(figure)


def draw_filters(kernel: np.ndarray, responses: np.ndarray, theme: Theme) -> bytes:
    """Draws the filters of the first layer, each above what it makes of a digit.

    Args:
      kernel: float[height,width,C].
      responses: float[28,28,C].
      theme: the colours.
    """
    columns, side, gap, caption = 4, 112, 18, 24
    step = 2 * side + 2 * gap + caption
    rows = -(-kernel.shape[-1] // columns)
    figure, axes = _canvas(rows * step, theme)
    for i in range(kernel.shape[-1]):
        row, column = divmod(i, columns)
        left, top = gap + column * (side + gap), row * step + caption
        _text(axes, left, top - 10, f"filter {i + 1}", theme.faint_text, 10)
        for below, values in ((0, kernel[..., i]), (side + 6, responses[..., i])):
            most = np.abs(values).max() or 1
            extent = (left, left + side, top + below + side, top + below)
            axes.imshow(
                values,
                cmap=theme.around_zero,
                vmin=-most,
                vmax=most,
                interpolation="nearest",
                extent=extent,
                aspect="auto",
            )
            _outline(axes, extent, theme)
    return _finish(figure, axes, rows * step)


def draw_augmentations(rows: Sequence[Row], theme: Theme) -> bytes:
    """Draws one digit under each augmentation.

    Args:
      rows: of augment_sheet.augment_sheet.
      theme: the colours.
    """
    side, gap, title, caption = 96, 10, 30, 22
    step = title + side + caption + 6
    figure, axes = _canvas(len(rows) * step, theme)
    for number, row in enumerate(rows):
        top = number * step + title
        _text(axes, gap, top - 12, row.name, theme.text, 11, weight="bold")
        for i, (image, words) in enumerate(zip(row.images, row.captions, strict=True)):
            left = gap + i * (side + gap)
            _image(axes, image, left, top, side)
            _text(axes, left, top + side + 11, words, theme.faint_text, 9.5)
    return _finish(figure, axes, len(rows) * step)


def draw_mistakes(mistakes: Sequence[Mistake], theme: Theme) -> bytes:
    """Draws the test images that were taken for another digit, the first MOST_MISTAKES.

    Args:
      mistakes: in the order to show them.
      theme: the colours.
    """
    columns, side, gap, caption, title = 6, 76, 12, 34, 40
    shown = mistakes[:MOST_MISTAKES]
    height = title + -(-len(shown) // columns) * (side + caption) + gap
    figure, axes = _canvas(height, theme)
    words = f"{len(mistakes):,} mistakes: the digit → the answer, and its probability"
    if len(shown) < len(mistakes):
        words = f"The first {len(shown)} of {words}"
    _text(axes, gap, title / 2, words, theme.text, 9, weight="bold")
    for i, mistake in enumerate(shown):
        row, column = divmod(i, columns)
        left, top = gap + column * (side + gap), title + row * (side + caption)
        _image(axes, mistake.image, left, top, side)
        answer = f"{mistake.label} → {mistake.prediction}"
        line = top + side + 11
        _text(axes, left, line, answer, theme.text, 8.5, weight="bold")
        # Down to a tenth of a percent: none is certain.
        probability = f"{min(mistake.probability, 0.999):.1%}"
        _text(axes, left + side, line, probability, theme.faint_text, 7.5, "right")
    return _finish(figure, axes, height)


def _canvas(height: float, theme: Theme) -> tuple[Figure, Axes]:
    """A figure that is measured in the pixels of a page, from its upper left corner."""
    size = (2 * _WIDTH / _DPI, 2 * height / _DPI)
    figure = Figure(size, dpi=_DPI, facecolor=theme.surface)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    return figure, axes


def _finish(figure: Figure, axes: Axes, height: float) -> bytes:
    # imshow moves the limits.
    axes.set_xlim(0, _WIDTH)
    axes.set_ylim(height, 0)
    return png(figure)


def _image(axes: Axes, image: np.ndarray, left: float, top: float, side: float) -> None:
    axes.imshow(
        image,
        cmap="gray",
        vmin=0,
        vmax=255,
        interpolation="nearest",
        extent=(left, left + side, top + side, top),
        aspect="auto",
    )


def _outline(axes: Axes, extent: tuple[float, float, float, float], theme: Theme) -> None:
    left, right, bottom, top = extent
    axes.plot(
        [left, right, right, left, left],
        [top, top, bottom, bottom, top],
        color=theme.train,
        linewidth=0.7,
    )


def _text(
    axes: Axes,
    x: float,
    y: float,
    words: str,
    color: str,
    size: float,
    ha: str = "left",
    weight: str = "normal",
) -> None:
    axes.text(x, y, words, color=color, size=size, ha=ha, va="center", weight=weight)
