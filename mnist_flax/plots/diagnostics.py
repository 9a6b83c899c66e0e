"""Draws what a network answers and looks for: confusion, calibration, filters.

Each picture is a PNG, 1080 pixels wide: twice its width on the page of a report.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MultipleLocator

from mnist_flax.metrics import BINS, Bin, wilson_interval
from mnist_flax.plots.sheet import DPI, canvas, finish, put_outline, put_text
from mnist_flax.plots.themes import LIGHT, Theme, isolated, png, readable, style


@isolated
def draw_confusion(confusion: np.ndarray, theme: Theme = LIGHT) -> bytes:
    """Draws how often each digit was taken for each.

    Args:
      confusion: int[10,10]; rows are labels, columns predictions.
      theme: the colours.

    Returns:
      A PNG of 1080 x 1080 pixels.
    """
    figure = Figure((5.4, 5.4), dpi=DPI, layout="constrained", facecolor=theme.surface)
    axes = figure.subplots()
    wrong = confusion - np.diag(np.diag(confusion))
    most = max(1, wrong.max())
    # Colour is for the mistakes only: right answers are a hundred times as many.
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
            fontsize=11,
            fontweight="normal" if right else "bold",
            color=theme.faint_text if right else readable(behind, theme),
        )
    axes.set_xticks(range(10))
    axes.set_yticks(range(10))
    axes.set_xlabel("the network's answer", fontsize=11)
    axes.set_ylabel("the true digit", fontsize=11)
    style(axes, theme)
    axes.grid(False)
    axes.tick_params(length=0, labelsize=12)
    axes.spines[:].set_visible(False)
    return png(figure)


@isolated
def draw_reliability(bins: Sequence[Bin], theme: Theme = LIGHT) -> bytes:
    """Draws a reliability diagram, and below it the number of images in each bin.

    Args:
      bins: BINS of them, of equal width, as in `metrics.Scores`.
      theme: the colours.

    Returns:
      A PNG of 1080 x 1104 pixels.
    """
    figure = Figure((4.5, 4.6), dpi=240, layout="constrained", facecolor=theme.surface)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    upper.plot([0, 1], [0, 1], "--", color=theme.faint_text, linewidth=1.2)
    # Above the plot, as points may lie anywhere inside it.
    words = "dashed: confidence equals accuracy"
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
    upper.set_ylabel("share of right answers")
    upper.set_ylim(-0.03, 1.03)
    upper.set_xlim(-0.02, 1.02)
    edges = np.linspace(0, 1, BINS + 1)
    # On the log scale, bars start at half an image so that one image is visible.
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
    lower.set_xlabel("probability of the network's answer")
    for axes in (upper, lower):
        style(axes, theme)
    for axis in (upper.yaxis, lower.xaxis):
        axis.set_major_locator(MultipleLocator(0.2))
        axis.set_major_formatter(FuncFormatter(lambda x, _: f"{100 * x:.0f} %"))
    lower.yaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    lower.minorticks_off()
    return png(figure)


@isolated
def draw_filters(kernel: np.ndarray, responses: np.ndarray, theme: Theme = LIGHT) -> bytes:
    """Draws the filters of the first layer, each above its response to a digit.

    Args:
      kernel: float[height,width,C].
      responses: float[28,28,C].
      theme: the colours.

    Returns:
      A PNG, 1080 pixels wide.
    """
    columns, side, gap, caption = 4, 112, 18, 24
    step = 2 * side + 2 * gap + caption
    rows = -(-kernel.shape[-1] // columns)
    figure, axes = canvas(rows * step, theme)
    for i in range(kernel.shape[-1]):
        row, column = divmod(i, columns)
        left, top = gap + column * (side + gap), row * step + caption
        put_text(axes, left, top - 10, f"filter {i + 1}", theme.faint_text, 10)
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
            put_outline(axes, extent, theme)
    return finish(figure, axes, rows * step)
