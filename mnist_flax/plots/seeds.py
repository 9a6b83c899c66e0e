"""Draws sweep.png: the test accuracy of many seeds of one or more settings, by epoch."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mnist_flax.plots.themes import LIGHT, Theme, isolated, png, style

# Six colours that people with any colour vision tell apart, by Okabe and Ito
# (https://jfly.uni-koeln.de/color/). From the seventh setting on they repeat, in another style.
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
_STYLES = ("-", "--", ":", "-.")


class SeedCurves(NamedTuple):
    """The curves of the seeds of one setting.

    Attributes:
      test_accuracy: float[n,epochs], 0 to 1, of the seeds that did not diverge.
      diverged: number of the seeds that did, which are not drawn.
    """

    test_accuracy: np.ndarray
    diverged: int


@isolated
def draw_seeds(
    settings: Mapping[str, SeedCurves], target_accuracy: float, theme: Theme = LIGHT
) -> bytes:
    """Draws the curve of every seed, and of every setting the mean with the band of mean ± sd.

    Args:
      settings: the curves by the name of their setting; at least one setting.
      target_accuracy: 0 to 1, drawn as a line.
      theme: the colours of all but the curves.

    Returns:
      A PNG of 1500 x 900 pixels.
    """
    figure = Figure((10, 6), dpi=150, layout="constrained", facecolor=theme.surface)
    axes = figure.subplots()
    for i, (name, seeds) in enumerate(settings.items()):
        color, dashes = _COLORS[i % len(_COLORS)], _STYLES[i // len(_COLORS) % len(_STYLES)]
        _draw_setting(axes, name, seeds, color, dashes)
    _draw_target(axes, 100 * target_accuracy, theme)
    drawn = [seeds.test_accuracy for seeds in settings.values() if len(seeds.test_accuracy)]
    axes.set_ylim(_limits(drawn, target_accuracy))
    axes.set_title("Test accuracy (%) of every seed; mean ± sd", fontweight="bold")
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    figure.legend(
        loc="outside lower center",
        ncols=1 + (len(settings) > len(_COLORS)),
        frameon=False,
        labelcolor=theme.text,
    )
    style(axes, theme)
    return png(figure)


def _draw_setting(axes: Axes, name: str, seeds: SeedCurves, color: str, dashes: str) -> None:
    """Draws the seeds of one setting, and names them with the mean of their last epoch."""
    curves = 100 * seeds.test_accuracy
    n = len(curves)
    if not n:
        axes.plot([], dashes, color=color, label=f"{name}: all diverged")
        return
    epochs = np.arange(1, curves.shape[1] + 1)
    for curve in curves:
        axes.plot(epochs, curve, color=color, linewidth=0.8, alpha=0.45)
    mean = curves.mean(0)
    label = f"{name}: {mean[-1]:.2f}"
    if n > 1:
        sd = curves.std(0, ddof=1)
        axes.fill_between(epochs, mean - sd, mean + sd, color=color, alpha=0.15, lw=0)
        label += f" ± {sd[-1]:.2f}"
    diverged = f", {seeds.diverged} diverged" if seeds.diverged else ""
    label += f" % (n = {n}{diverged})"
    axes.plot(epochs, mean, dashes, color=color, linewidth=2.2, label=label)


def _draw_target(axes: Axes, percent: float, theme: Theme) -> None:
    axes.axhline(percent, color=theme.target, linewidth=1.2, linestyle="--")
    axes.annotate(
        f"target {percent:g} %",
        (0.01, percent),
        xycoords=("axes fraction", "data"),
        xytext=(0, 4),
        textcoords="offset points",
        color=theme.target,
    )


def _limits(curves: list[np.ndarray], target_accuracy: float) -> tuple[float, float]:
    """Chooses the lowest and the highest percentage to show.

    Points of the first third of the epochs, or of the worse half of the settings, may fall
    below the picture. Showing them would squeeze everything else into a few pixels.

    Args:
      curves: float[n,epochs] of each setting of which a seed did not diverge, 0 to 1.
      target_accuracy: 0 to 1; it is always shown.
    """
    levels = [np.median(x[:, x.shape[1] // 3 :]) for x in curves]
    low = 100 * min(target_accuracy, float(np.median(levels or target_accuracy)))
    high = 100 * max(target_accuracy, *(float(x.max()) for x in curves), 0)
    margin = 0.15 * (high - low) + 0.05
    return max(0, low - 2 * margin), min(100, high + margin)
