"""curves.png: how a run went, in one picture."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

_TRAIN, _TEST, _TARGET, _TEXT = "#8a97a8", "#1f6feb", "#c2410c", "#24292f"
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

    def column(name: str) -> np.ndarray:
        values = [record[name] for record in history]
        return np.array([np.nan if x is None else x for x in values], float)

    # Figure, not pyplot: no window system, no global state.
    figure = Figure(figsize=(12, 4.8), dpi=150, layout="constrained")
    loss, accuracy, rate = figure.subplots(1, 3)
    epochs = [record["epoch"] for record in history]
    percent = 100 * column("test_accuracy")
    _draw_loss(loss, epochs, column("train_loss"), column("test_loss"))
    _draw_accuracy(
        accuracy, epochs, 100 * column("train_accuracy"), percent, 100 * target_accuracy
    )
    _draw_learning_rate(rate, epochs, column("learning_rate"))
    for axes in (loss, accuracy, rate):
        axes.set_xlabel("epoch")
        axes.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(color="#d8dee4", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(colors=_TEXT)
    figure.suptitle(
        f"MNIST, {params:,} parameters: best test accuracy {percent.max():.2f} %, "
        f"last {percent[-1]:.2f} %",
        color=_TEXT,
        fontsize=13,
        fontweight="bold",
    )
    figure.legend(
        *loss.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False
    )
    png = io.BytesIO()
    figure.savefig(png, format="png")
    return png.getvalue()


def _draw_lines(axes: Axes, epochs: Sequence[int], train: np.ndarray, test: np.ndarray) -> None:
    axes.plot(epochs, train, "o-", color=_TRAIN, label="training (augmented)", markersize=3.5)
    axes.plot(epochs, test, "o-", color=_TEST, label="test", markersize=3.5, linewidth=1.8)


def _draw_loss(axes: Axes, epochs: Sequence[int], train: np.ndarray, test: np.ndarray) -> None:
    """Losses on a log scale."""
    train, test = np.maximum(train, _LEAST_LOSS), np.maximum(test, _LEAST_LOSS)
    _draw_lines(axes, epochs, train, test)
    axes.set_title("Loss (cross-entropy, log scale)")
    axes.set_yscale("log")
    # Wide enough for one tick at least: the ticks lie a factor of up to 2.5 = 1.6 * 1.6 apart.
    both = np.concatenate([train, test])
    axes.set_ylim(np.nanmin(both) / 1.6, np.nanmax(both) * 1.6)
    axes.yaxis.set_major_locator(FixedLocator(_LOSS_TICKS))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))


def _draw_accuracy(
    axes: Axes, epochs: Sequence[int], train: np.ndarray, test: np.ndarray, target: float
) -> None:
    """Accuracies in percent, the target as a line, the first epoch that reached it in a ring.

    Each halving of the error has the same height, so that the first epoch fits and 99.3 and
    99.4 % are still told apart.
    """

    def height(percent: np.ndarray) -> np.ndarray:
        return -np.log(np.maximum(100 - percent, 1e-4))

    def percent(height: np.ndarray) -> np.ndarray:
        return 100 - np.exp(-height)

    label = f"target {target:g} %"
    (reached,) = np.nonzero(test >= target - 1e-6)
    train, test = np.minimum(train, _MOST_PERCENT), np.minimum(test, _MOST_PERCENT)
    target = min(target, _MOST_PERCENT)
    _draw_lines(axes, epochs, train, test)
    if len(reached):
        first = reached[0]
        at = (epochs[first], test[first])
        axes.plot(*at, "o", color=_TARGET, markersize=9, fillstyle="none")
        axes.annotate(
            f"epoch {epochs[first]}",
            at,
            xytext=(0, 9),
            textcoords="offset points",
            ha="center",
            color=_TARGET,
        )
    axes.axhline(target, color=_TARGET, linewidth=1.2, linestyle="--")
    axes.annotate(
        label,
        (0.015, target),
        xycoords=("axes fraction", "data"),
        xytext=(0, 4),
        textcoords="offset points",
        color=_TARGET,
    )
    axes.set_title("Accuracy (%)")
    axes.set_yscale("function", functions=(height, percent))
    shown = height(np.array([*train, *test, target, 97]))
    axes.set_ylim(*percent(np.array([shown.min() - 0.2, shown.max() + 0.4])))
    axes.yaxis.set_major_locator(FixedLocator(_ACCURACY_TICKS))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))


def _draw_learning_rate(axes: Axes, epochs: Sequence[int], rates: np.ndarray) -> None:
    """The learning rate, constant through each epoch."""
    edges = np.array([epochs[0] - 1, *epochs]) + 0.5
    axes.stairs(rates, edges, baseline=None, color=_TEXT, linewidth=1.8)
    axes.set_title("Learning rate")
    axes.set_ylim(0, 1.15 * rates.max())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
