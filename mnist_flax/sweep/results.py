"""What some seeds say about a setting: figures, a table and a picture."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy import stats

from mnist_flax.plots.themes import LIGHT, png, style

# Colours of up to six settings, told apart by those who see few: Okabe and Ito,
# https://jfly.uni-koeln.de/color/; after that they repeat.
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
_STYLES = ("-", "--", ":", "-.")


class Summary(NamedTuple):
    """The final test accuracies of some seeds, in shares of 1.

    All but `met` is of the seeds that did not diverge; nan where there is none.

    Attributes:
      n: number of seeds that came to their end.
      diverged: number of the others.
      mean: of their final accuracies; never of their best.
      sd: the sample standard deviation; nan for fewer than two.
      low: the lowest.
      high: the highest.
      interval: of the mean, 95 %, by Student's t with n - 1 degrees of freedom; (nan, nan) for
        fewer than two.
      met: share of all seeds that met the target before the last epoch.
      first_epochs: the first epoch at the target, of each seed that met it.
    """

    n: int
    diverged: int
    mean: float
    sd: float
    low: float
    high: float
    interval: tuple[float, float]
    met: float
    first_epochs: list[int]


def summarize(lines: Sequence[Mapping[str, Any]]) -> Summary:
    """Sums up the lines of sweep.jsonl of one setting, at least one."""
    ended = _ended(lines)
    final = np.array([line["final_test_accuracy"] for line in ended])
    n, mean = len(ended), float(final.mean()) if ended else math.nan
    sd, interval = math.nan, (math.nan, math.nan)
    if n > 1:
        sd = float(final.std(ddof=1))
        half = float(stats.t.ppf(0.975, n - 1)) * sd / math.sqrt(n)
        interval = (mean - half, mean + half)
    firsts = [line["first_epoch_at_target"] for line in ended]
    early = [
        first is not None and first < line["epochs"]
        for first, line in zip(firsts, ended, strict=True)
    ]
    reached = sorted(first for first in firsts if first is not None)
    low, high = (float(final.min()), float(final.max())) if ended else (math.nan, math.nan)
    met = sum(early) / len(lines)
    return Summary(n, len(lines) - n, mean, sd, low, high, interval, met, reached)


def _ended(lines: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The lines of the seeds that did not diverge."""
    return [line for line in lines if line["diverged_at"] is None]


def table(groups: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """A line a setting.

    Args:
      groups: the lines of sweep.jsonl by the name of their setting, '' for the config itself.
    """
    head = ["setting", "n", "final, %", "min", "max", "95 % interval", "met early"]
    rows = [[*head, "first epoch at target"]]
    for name, lines in groups.items():
        s = summarize(lines)
        low, high = s.interval
        if not s.n:
            rows.append([name or "the config", f"0 ({s.diverged} diverged)", *["-"] * 6])
            continue
        rows.append(
            [
                name or "the config",
                f"{s.n}" + (f" ({s.diverged} diverged)" if s.diverged else ""),
                f"{100 * s.mean:.3f}" + (f" ± {100 * s.sd:.3f}" if s.n > 1 else ""),
                f"{100 * s.low:.2f}",
                f"{100 * s.high:.2f}",
                f"{100 * low:.3f} to {100 * high:.3f}" if s.n > 1 else "-",
                f"{s.met:.0%}",
                ", ".join(map(str, s.first_epochs)) if s.first_epochs else "never",
            ]
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def draw(groups: Mapping[str, Sequence[Mapping[str, Any]]], target_accuracy: float) -> bytes:
    """Draws the test accuracy of every seed by epoch, with the band of mean ± sd.

    Seeds that diverged are not drawn, but counted.

    Args:
      groups: see `table`.
      target_accuracy: a share, drawn as a line.

    Returns:
      A PNG of 1500 x 900 pixels.
    """
    figure = Figure((10, 6), dpi=150, layout="constrained", facecolor=LIGHT.surface)
    axes = figure.subplots()
    levels = []
    for i, (name, lines) in enumerate(groups.items()):
        color, s = _COLORS[i % len(_COLORS)], summarize(lines)
        dashes = _STYLES[i // len(_COLORS) % len(_STYLES)]
        if not s.n:
            axes.plot([], dashes, color=color, label=f"{name or 'the config'}: all diverged")
            continue
        curves = 100 * np.array([line["test_accuracy"] for line in _ended(lines)])
        epochs = np.arange(1, curves.shape[1] + 1)
        for curve in curves:
            axes.plot(epochs, curve, color=color, linewidth=0.8, alpha=0.45)
        mean = curves.mean(0)
        label = f"{name or 'the config'}: {100 * s.mean:.2f}"
        count = f"n = {s.n}" + (f", {s.diverged} diverged" if s.diverged else "")
        if s.n > 1:
            sd = curves.std(0, ddof=1)
            axes.fill_between(epochs, mean - sd, mean + sd, color=color, alpha=0.15, lw=0)
            label += f" ± {100 * s.sd:.2f}"
        text = f"{label} % ({count})"
        axes.plot(epochs, mean, dashes, color=color, linewidth=2.2, label=text)
        levels.append(np.median(curves[:, curves.shape[1] // 3 :]))
    target = 100 * target_accuracy
    # The first epochs, and the worse half of the settings, would press all else together.
    lowest = min(target, float(np.median(levels or target)))
    axes.axhline(target, color=LIGHT.target, linewidth=1.2, linestyle="--")
    axes.annotate(
        f"target {target:g} %",
        (0.01, target),
        xycoords=("axes fraction", "data"),
        xytext=(0, 4),
        textcoords="offset points",
        color=LIGHT.target,
    )
    ended = _ended([line for lines in groups.values() for line in lines])
    highest = max(target, *(100 * max(line["test_accuracy"]) for line in ended), 0)
    room = 0.15 * (highest - lowest) + 0.05
    axes.set_ylim(max(0, lowest - 2 * room), min(100, highest + room))
    axes.set_title("Test accuracy (%) of every seed; mean ± sd", fontweight="bold")
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    figure.legend(
        loc="outside lower center",
        ncols=1 + (len(groups) > len(_COLORS)),
        frameon=False,
        labelcolor=LIGHT.text,
    )
    style(axes, LIGHT)
    return png(figure)
