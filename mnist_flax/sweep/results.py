"""Sums up the seeds of a sweep: mean, spread and interval of each setting, and their table."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from mnist_flax.plots.seeds import SeedCurves


class Summary(NamedTuple):
    """The final test accuracies of the seeds of one setting, 0 to 1.

    All but `diverged` and `met` describe the seeds that did not diverge, and are NaN if there
    is none.

    Attributes:
      n: number of seeds that did not diverge.
      diverged: number of seeds that did.
      mean: of the accuracies after the last epoch, never of the best ones.
      sd: the sample standard deviation; NaN for fewer than two seeds.
      low: the lowest accuracy.
      high: the highest accuracy.
      interval: the 95 % interval of the mean, by Student's t with n - 1 degrees of freedom;
        (NaN, NaN) for fewer than two seeds.
      met: share of all seeds, diverged ones included, that met the target before the last
        epoch.
      first_epochs: the first epoch at the target of each seed that met it, in ascending order.
      tta: mean and sd of the accuracies with test-time augmentation; None if a seed has none.
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
    tta: tuple[float, float] | None


def summarize(lines: Sequence[Mapping[str, Any]]) -> Summary:
    """Computes the statistics of one setting from its lines of sweep.jsonl, at least one."""
    finished = _finished(lines)
    final = np.array(finals(lines))
    n, mean = len(finished), float(final.mean()) if finished else math.nan
    sd, interval = math.nan, (math.nan, math.nan)
    if n > 1:
        sd = float(final.std(ddof=1))
        half = float(stats.t.ppf(0.975, n - 1)) * sd / math.sqrt(n)
        interval = (mean - half, mean + half)
    first_epochs = [line["first_epoch_at_target"] for line in finished]
    early = [
        first is not None and first < line["epochs"]
        for first, line in zip(first_epochs, finished, strict=True)
    ]
    low, high = (float(final.min()), float(final.max())) if finished else (math.nan, math.nan)
    return Summary(
        n,
        len(lines) - n,
        mean,
        sd,
        low,
        high,
        interval,
        sum(early) / len(lines),
        sorted(first for first in first_epochs if first is not None),
        _tta(finished),
    )


def _tta(lines: Sequence[Mapping[str, Any]]) -> tuple[float, float] | None:
    found = [line.get("tta_test_accuracy") for line in lines]
    accuracies = np.array([accuracy for accuracy in found if accuracy is not None])
    if not lines or len(accuracies) < len(lines):
        return None
    sd = float(accuracies.std(ddof=1)) if len(lines) > 1 else math.nan
    return float(accuracies.mean()), sd


def curves(lines: Sequence[Mapping[str, Any]]) -> SeedCurves:
    """Collects the curves to draw of one setting from its lines of sweep.jsonl."""
    accuracies = [line["test_accuracy"] for line in _finished(lines)]
    return SeedCurves(np.array(accuracies), len(lines) - len(accuracies))


def table(settings: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Makes a table with a row for each setting.

    Args:
      settings: the lines of sweep.jsonl by the name of their setting.
    """
    summaries = {name: summarize(lines) for name, lines in settings.items()}
    with_tta = any(s.tta for s in summaries.values())
    head = ["setting", "n", "final, %", "min", "max", "95 % interval"]
    head += ["with TTA, %"] * with_tta + ["met early", "first epoch at target"]
    rows = [head]
    for name, s in summaries.items():
        low, high = s.interval
        if not s.n:
            rows.append([name, f"0 ({s.diverged} diverged)", *["-"] * (len(head) - 2)])
            continue
        rows.append(
            [
                name,
                f"{s.n}" + (f" ({s.diverged} diverged)" if s.diverged else ""),
                _mean_and_sd(s.mean, s.sd),
                f"{100 * s.low:.2f}",
                f"{100 * s.high:.2f}",
                f"{100 * low:.3f} to {100 * high:.3f}" if s.n > 1 else "-",
                *([_mean_and_sd(*s.tta) if s.tta else "-"] * with_tta),
                f"{s.met:.0%}",
                ", ".join(map(str, s.first_epochs)) if s.first_epochs else "never",
            ]
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _mean_and_sd(mean: float, sd: float) -> str:
    """Formats the statistics of accuracies in percent; the sd of a single one is left out."""
    return f"{100 * mean:.3f}" + ("" if math.isnan(sd) else f" ± {100 * sd:.3f}")


def finals(lines: Sequence[Mapping[str, Any]]) -> list[float]:
    """Lists the final test accuracies of the seeds that did not diverge."""
    return [line["final_test_accuracy"] for line in _finished(lines)]


def _finished(lines: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Selects the lines of the seeds that did not diverge."""
    return [line for line in lines if line["diverged_at"] is None]
