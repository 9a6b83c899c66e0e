"""How a run went: curves.png, in one picture, and its panels one by one, for the report."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from mnist_flax.plots.themes import LIGHT, Theme, png, style

_LOSS_TICKS = [m * 10.0**e for e in range(-6, 3) for m in (1, 2, 5)]
_ACCURACY_TICKS = [10, 50, 80, 90, 95, 97, 98, 98.5, 99, 99.3, 99.5, 99.7, 99.8, 99.9]
# What a logarithm cannot show is drawn at the edge of what it can: no loss at all, no error.
_LEAST_LOSS, _MOST_PERCENT = 1e-6, 99.97


def draw_curves(
    history: Sequence[Mapping[str, Any]], target_accuracy: float, params: int
) -> bytes:
    """Draws loss, accuracy and learning rate by epoch.

    Args:
        history: The lines of metrics.jsonl, at least one. A loss may be None.
        target_accuracy: A share, 0 to 1; drawn as a line.
        params: Number of parameters of the network, for the title.

    Returns:
        A PNG of 1800 x 720 pixels.
    """

    # Figure, not pyplot: no window system, no global state.
    figure = Figure(figsize=(12, 4.8), dpi=150, layout="constrained")
    panels = figure.subplots(1, 3)
    for axes, draw in zip(panels, _PANELS.values(), strict=True):
        draw(axes, history, target_accuracy, LIGHT)
    percent = 100 * _column(history, "test_accuracy")
    figure.suptitle(
        f"MNIST, {params:,} parameters: best test accuracy {percent.max():.2f} %, "
        f"last {percent[-1]:.2f} %",
        color=LIGHT.text,
        fontsize=13,
        fontweight="bold",
    )
    figure.legend(
        *panels[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=2,
        frameon=False,
    )
    return png(figure)


def draw_panels(
    history: Sequence[Mapping[str, Any]], target_accuracy: float, theme: Theme
) -> dict[str, bytes]:
    """Draws the same three panels, each as a picture of its own.

    Args:
        history: See `draw_curves`.
        target_accuracy: See `draw_curves`.
        theme: The colours.

    Returns:
        PNGs of 1080 x 810 pixels under 'loss', 'accuracy' and 'learning_rate'.
    """
    panels = {}
    for name, draw in _PANELS.items():
        figure = Figure((4, 3), dpi=270, layout="constrained", facecolor=theme.surface)
        axes = figure.subplots()
        draw(axes, history, target_accuracy, theme)
        lines, labels = axes.get_legend_handles_labels()
        if lines:
            # Where there is none of either curve.
            axes.legend(
                lines,
                labels,
                loc="best",
                frameon=False,
                labelcolor=theme.text,
            )
        panels[name] = png(figure)
    return panels


def _column(history: Sequence[Mapping[str, Any]], name: str) -> np.ndarray:
    values = [record[name] for record in history]
    return np.array([np.nan if x is None else x for x in values], float)


def _draw_frame(axes: Axes, epochs: Sequence[int], theme: Theme) -> None:
    """What the panels have in common."""
    axes.set_xlabel("epoch")
    axes.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    style(axes, theme)


def _draw_lines(
    axes: Axes, epochs: Sequence[int], train: np.ndarray, test: np.ndarray, theme: Theme
) -> None:
    axes.plot(
        epochs, train, "o-", color=theme.train, label="training (augmented)", markersize=3.5
    )
    axes.plot(epochs, test, "o-", color=theme.test, label="test", markersize=3.5, linewidth=1.8)


def _draw_loss(
    axes: Axes, history: Sequence[Mapping[str, Any]], target_accuracy: float, theme: Theme
) -> None:
    """Losses on a log scale."""
    epochs = [record["epoch"] for record in history]
    train = np.maximum(_column(history, "train_loss"), _LEAST_LOSS)
    test = np.maximum(_column(history, "test_loss"), _LEAST_LOSS)
    _draw_lines(axes, epochs, train, test, theme)
    axes.set_title("Loss (cross-entropy, log scale)")
    axes.set_yscale("log")
    # Wide enough for one tick at least: the ticks lie a factor of up to 2.5 = 1.6 * 1.6 apart.
    both = np.concatenate([train, test])
    axes.set_ylim(np.nanmin(both) / 1.6, np.nanmax(both) * 1.6)
    axes.yaxis.set_major_locator(FixedLocator(_LOSS_TICKS))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    _draw_frame(axes, epochs, theme)


def _draw_accuracy(
    axes: Axes, history: Sequence[Mapping[str, Any]], target_accuracy: float, theme: Theme
) -> None:
    """Accuracies in percent, the target as a line, the first epoch that reached it in a ring.

    Each halving of the error has the same height, so that the first epoch fits and 99.3 and
    99.4 % are still told apart.
    """

    def height(percent: np.ndarray) -> np.ndarray:
        return -np.log(np.maximum(100 - percent, 1e-4))

    def percent(height: np.ndarray) -> np.ndarray:
        return 100 - np.exp(-height)

    epochs = [record["epoch"] for record in history]
    train, test = (100 * _column(history, f"{name}_accuracy") for name in ("train", "test"))
    target = 100 * target_accuracy
    label = f"target {target:g} %"
    (reached,) = np.nonzero(test >= target - 1e-6)
    train, test = np.minimum(train, _MOST_PERCENT), np.minimum(test, _MOST_PERCENT)
    target = min(target, _MOST_PERCENT)
    _draw_lines(axes, epochs, train, test, theme)
    if len(reached):
        first = reached[0]
        at = (epochs[first], test[first])
        axes.plot(*at, "o", color=theme.target, markersize=9, fillstyle="none")
        axes.annotate(
            f"epoch {epochs[first]}",
            at,
            xytext=(0, 9),
            textcoords="offset points",
            # Away from the numbers of the axis.
            ha="center" if first else "left",
            color=theme.target,
        )
    axes.axhline(target, color=theme.target, linewidth=1.2, linestyle="--")
    # On the right where an early epoch has its words on the left.
    early = len(reached) and reached[0] < 0.4 * len(epochs)
    axes.annotate(
        label,
        (0.985 if early else 0.015, target),
        xycoords=("axes fraction", "data"),
        xytext=(0, 4),
        textcoords="offset points",
        ha="right" if early else "left",
        color=theme.target,
    )
    axes.set_title("Accuracy (%)")
    axes.set_yscale("function", functions=(height, percent))
    shown = height(np.array([*train, *test, target, 97]))
    axes.set_ylim(*percent(np.array([shown.min() - 0.2, shown.max() + 0.55])))
    ends = height(np.array(axes.get_ylim()))
    ticks: list[float] = []
    for tick in reversed(_ACCURACY_TICKS):
        # From the top, and none that would touch the one above it.
        if not ticks or np.ptp(height(np.array([tick, ticks[-1]]))) >= 0.06 * np.ptp(ends):
            ticks.append(tick)
    axes.yaxis.set_major_locator(FixedLocator(ticks[::-1]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    _draw_frame(axes, epochs, theme)


def _draw_learning_rate(
    axes: Axes, history: Sequence[Mapping[str, Any]], target_accuracy: float, theme: Theme
) -> None:
    """The learning rate, constant through each epoch."""
    epochs, rates = [record["epoch"] for record in history], _column(history, "learning_rate")
    edges = np.array([epochs[0] - 1, *epochs]) + 0.5
    axes.stairs(rates, edges, baseline=None, color=theme.text, linewidth=1.8)
    axes.set_title("Learning rate")
    axes.set_ylim(0, 1.15 * rates.max())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    _draw_frame(axes, epochs, theme)


_PANELS = {
    "loss": _draw_loss,
    "accuracy": _draw_accuracy,
    "learning_rate": _draw_learning_rate,
}
