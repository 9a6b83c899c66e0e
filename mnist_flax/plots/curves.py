"""Draws accuracy, loss and learning rate of a run: in one picture, or one picture each."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from mnist_flax import metrics
from mnist_flax.plots.themes import LIGHT, Theme, isolated, png, style

_LOSS_TICKS = [m * 10.0**e for e in range(-6, 3) for m in (1, 2, 5)]
_ACCURACY_TICKS = [10, 50, 80, 90, 95, 97, 98, 98.5, 99, 99.3, 99.5, 99.7, 99.8, 99.9]
# A log scale has no place for a loss of 0 or an accuracy of 100 %; they are drawn here.
_LEAST_LOSS, _MOST_PERCENT = 1e-6, 99.97
# The label that marks the first epoch at the target, and where it may stand around its point:
# so many points of the page to the right and upwards.
_MOVABLE = "movable"
_PLACES = [(0, 9), (0, -9), (-9, 9), (9, 9), (-9, -9), (9, -9)]
# The share of a panel's height that its legend takes.
_LEGEND = 0.112


@isolated
def draw_curves(
    history: Sequence[Mapping[str, Any]], target_accuracy: float, params: int
) -> bytes:
    """Draws accuracy, loss and learning rate by epoch, side by side.

    Args:
      history: the lines of metrics.jsonl, at least one. A loss may be None.
      target_accuracy: the target, 0 to 1; drawn as a line.
      params: the network's number of parameters, for the title.

    Returns:
      A PNG of 1800 x 720 pixels.
    """
    # Figure, not pyplot: no window system, no global state.
    figure = Figure(figsize=(12, 4.8), dpi=150, layout="constrained")
    panels = figure.subplots(1, 3, width_ratios=[x.width for x in _PANELS.values()])
    for axes, panel in zip(panels, _PANELS.values(), strict=True):
        panel.draw(axes, history, target_accuracy, LIGHT)
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
    return _finished(figure)


@isolated
def draw_panels(
    history: Sequence[Mapping[str, Any]], target_accuracy: float, theme: Theme = LIGHT
) -> dict[str, bytes]:
    """Draws the three panels of `draw_curves` as one picture each.

    Args:
      history: as for `draw_curves`.
      target_accuracy: as for `draw_curves`.
      theme: the colours.

    Returns:
      PNGs under 'accuracy', 'loss' and 'learning_rate', 810 pixels high; the first two are
      1080 pixels wide, the last one 648.
    """
    panels = {}
    for name, panel in _PANELS.items():
        size = (panel.width, 3)
        figure = Figure(size, dpi=270, layout="constrained", facecolor=theme.surface)
        axes = figure.subplots()
        panel.draw(axes, history, target_accuracy, theme)
        lines, labels = axes.get_legend_handles_labels()
        # Below the axes: inside, it would lie on a curve or on the target. A panel without one
        # leaves the space, so that all axes end at the same height.
        if lines:
            figure.legend(
                lines,
                labels,
                loc="outside lower center",
                ncols=2,
                frameon=False,
                labelcolor=theme.text,
            )
        else:
            figure.set_layout_engine("constrained", rect=(0, _LEGEND, 1, 1 - _LEGEND))
        panels[name] = _finished(figure)
    return panels


def _column(history: Sequence[Mapping[str, Any]], name: str) -> np.ndarray:
    """Collects a field of all epochs, float64[epochs]; None becomes NaN."""
    values = [record[name] for record in history]
    return np.array([np.nan if x is None else x for x in values], float)


def _draw_frame(axes: Axes, epochs: Sequence[int], theme: Theme) -> None:
    """Draws the axis of epochs and the frame of a panel."""
    axes.set_xlabel("epoch")
    axes.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    style(axes, theme)


def _draw_lines(
    axes: Axes, epochs: Sequence[int], train: np.ndarray, test: np.ndarray, theme: Theme
) -> None:
    """Draws a curve for training and one for testing."""
    axes.plot(
        epochs, train, "o-", color=theme.train, label="training (augmented)", markersize=3.5
    )
    axes.plot(epochs, test, "o-", color=theme.test, label="test", markersize=3.5, linewidth=1.8)


def _draw_loss(
    axes: Axes, history: Sequence[Mapping[str, Any]], target_accuracy: float, theme: Theme
) -> None:
    """Draws the losses, on a log scale."""
    epochs = [record["epoch"] for record in history]
    train = np.maximum(_column(history, "train_loss"), _LEAST_LOSS)
    test = np.maximum(_column(history, "test_loss"), _LEAST_LOSS)
    _draw_lines(axes, epochs, train, test, theme)
    axes.set_title("Loss (cross-entropy, log scale)")
    axes.set_yscale("log")
    # Wide enough for at least one tick: neighbours differ by a factor of at most 2.5.
    both = np.concatenate([train, test])
    axes.set_ylim(np.nanmin(both) / 1.6, np.nanmax(both) * 1.6)
    axes.yaxis.set_major_locator(FixedLocator(_LOSS_TICKS))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    _draw_frame(axes, epochs, theme)


def _draw_accuracy(
    axes: Axes, history: Sequence[Mapping[str, Any]], target_accuracy: float, theme: Theme
) -> None:
    """Draws the accuracies in percent, and marks the target and the first epoch that met it.

    The scale is logarithmic in the error: it shows the first epoch and still separates 99.3
    from 99.4 %.
    """

    def height(percent: np.ndarray) -> np.ndarray:
        return -np.log(np.maximum(100 - percent, 1e-4))

    def percent(height: np.ndarray) -> np.ndarray:
        return 100 - np.exp(-height)

    epochs = [record["epoch"] for record in history]
    train, test = (100 * _column(history, f"{name}_accuracy") for name in ("train", "test"))
    target = 100 * target_accuracy
    label = f"{target:g} %"
    # A history has no number of images; as shares of 1, accuracies compare in the same way.
    shares = [record["test_accuracy"] for record in history]
    reached = metrics.first_epoch_at_target(shares, 1, target_accuracy)
    train, test = np.minimum(train, _MOST_PERCENT), np.minimum(test, _MOST_PERCENT)
    target = min(target, _MOST_PERCENT)
    _draw_lines(axes, epochs, train, test, theme)
    if reached is not None:
        at = (epochs[reached - 1], test[reached - 1])
        axes.plot(*at, "o", color=theme.target, markersize=9, fillstyle="none")
        axes.annotate(
            f"first at {label}",
            at,
            xytext=_PLACES[0],
            textcoords="offset points",
            gid=_MOVABLE,
            color=theme.target,
        )
    axes.axhline(target, color=theme.target, linewidth=1.2, linestyle="--")
    # On the side where the label of the epoch is not.
    early = reached is not None and reached - 1 < 0.4 * len(epochs)
    axes.annotate(
        # Where the circle has the number, it is not said twice.
        "target" if reached else f"target {label}",
        (0.985 if early else 0.015, target),
        xycoords=("axes fraction", "data"),
        xytext=(0, 4),
        textcoords="offset points",
        ha="right" if early else "left",
        color=theme.target,
    )
    axes.set_title("Accuracy (%, log scale of the error)")
    axes.set_yscale("function", functions=(height, percent))
    shown = height(np.array([*train, *test, target, 97]))
    axes.set_ylim(*percent(np.array([shown.min() - 0.2, shown.max() + 0.55])))
    ends = height(np.array(axes.get_ylim()))
    ticks: list[float] = []
    for tick in reversed(_ACCURACY_TICKS):
        # From the top; a label that would touch the one above is left out.
        if not ticks or np.ptp(height(np.array([tick, ticks[-1]]))) >= 0.075 * np.ptp(ends):
            ticks.append(tick)
    axes.yaxis.set_major_locator(FixedLocator(ticks[::-1]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    _draw_frame(axes, epochs, theme)


def _finished(figure: Figure) -> bytes:
    """Moves the label of the first epoch to where nothing else is; encodes the picture."""
    for text in figure.findobj(lambda artist: artist.get_gid() == _MOVABLE):
        figure.draw_without_rendering()
        _move(cast(Annotation, text))
    return png(figure)


def _move(text: Annotation) -> None:
    """Moves a label to the first of the places around its point where it touches nothing.

    If every place touches something, it is the first one inside the panel.
    """
    axes = text.axes
    assert axes is not None
    others = [other.get_window_extent() for other in axes.texts if other is not text]
    curves = [line.get_transform().transform_path(line.get_path()) for line in axes.lines]
    inside = []
    for place in _PLACES:
        _put(text, place)
        box = text.get_window_extent()
        if axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1 and axes.bbox.y0 <= box.y0:
            inside.append(place)
            on_a_curve = any(path.intersects_bbox(box, filled=False) for path in curves)
            if not on_a_curve and not any(box.overlaps(other) for other in others):
                return
    _put(text, inside[0])


def _put(text: Annotation, place: tuple[int, int]) -> None:
    """Puts a label beside its point, so many points of the page to the right and upwards."""
    right, up = text.xyann = place
    text.set_horizontalalignment("center" if right == 0 else "left" if right > 0 else "right")
    text.set_verticalalignment("bottom" if up > 0 else "top")


def _draw_learning_rate(
    axes: Axes, history: Sequence[Mapping[str, Any]], target_accuracy: float, theme: Theme
) -> None:
    """Draws the learning rate, which is constant through each epoch."""
    epochs, rates = [record["epoch"] for record in history], _column(history, "learning_rate")
    edges = np.array([epochs[0] - 1, *epochs]) + 0.5
    axes.stairs(rates, edges, baseline=None, color=theme.text, linewidth=1.8)
    axes.set_title("Learning rate")
    axes.set_ylim(0, 1.15 * rates.max())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    _draw_frame(axes, epochs, theme)
    # The panel is narrow.
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))


class _Panel(NamedTuple):
    """What draws a panel, and its width in inches."""

    draw: Callable[[Axes, Sequence[Mapping[str, Any]], float, Theme], None]
    width: float


_PANELS = {
    "accuracy": _Panel(_draw_accuracy, 4.0),
    "loss": _Panel(_draw_loss, 4.0),
    "learning_rate": _Panel(_draw_learning_rate, 2.4),
}
