"""Says what difference a number of seeds can show, and whether two settings differ."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from mnist_flax.errors import UserError
from mnist_flax.sweep import records

# What the usual test asks for: 5 % false alarms on both sides together, 80 % of what is there.
_LEVEL, _POWER = 0.05, 0.8

# Accuracies on other images, or after another choice of them, cannot be subtracted.
_SAME = ("dataset", "test_split")


class Other(NamedTuple):
    """The finished seeds of another sweep.

    Attributes:
      name: what the user called it.
      lines: of sweep.jsonl, at least two that did not diverge.
    """

    name: str
    lines: list[dict[str, Any]]


class Difference(NamedTuple):
    """The difference of two means, ours less the other, and its 95 % interval."""

    mean: float
    low: float
    high: float

    @property
    def seen(self) -> bool:
        """Whether the interval leaves 0 out."""
        return not self.low <= 0 <= self.high


def read(path: Path, settings: Sequence[tuple[str, ConfigDict]]) -> Other:
    """Reads the sweep to compare with.

    Args:
      path: its folder or its sweep.jsonl; sweep.json must lie beside that.
      settings: ours, which must be tested on the same images.

    Raises:
      UserError: it is no sweep, has several settings, fewer than two finished seeds, or was
        tested on other images.
    """
    folder = path if path.is_dir() else path.parent
    lines_path = folder / records.LINES if path.is_dir() else path
    try:
        content = json.loads((folder / records.SETTINGS).read_text())
        lines = [records.read_line(line) for line in lines_path.read_text().splitlines()]
        if not isinstance(content, dict):
            raise ValueError(f"{records.SETTINGS} is not an object")
        for line in lines:
            if line["diverged_at"] is None and type(line["final_test_accuracy"]) is not float:
                raise ValueError("a final_test_accuracy is not a number")
        configs = [dict(fields) for fields in content.values()]
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise UserError(f"--against {path} is not a sweep that can be read ({error})") from None
    if len(configs) != 1:
        raise UserError(f"--against {path} has {len(configs)} settings; it must have one")
    for key in _SAME:
        for _, config in settings:
            if configs[0].get(key) != config[key]:
                raise UserError(
                    f"--against {path} has {key}={configs[0].get(key)!r}, this sweep "
                    f"{config[key]!r}: their accuracies cannot be compared"
                )
    n = sum(line["diverged_at"] is None for line in lines)
    if n < 2:
        raise UserError(f"--against {path} has n = {n} finished seeds; it needs at least 2")
    return Other(str(path), lines)


def resolved(n: int, sd: float) -> float:
    """Computes the smallest difference of two means that n seeds each show in 80 % of cases.

    Welch's test, two-sided at 5 %, of two groups of n and of the same sd. Its statistic then
    has 2 (n - 1) degrees of freedom and, at a difference d, Student's t distribution with
    noncentrality d / (sd sqrt(2 / n)): J. Cohen, Statistical Power Analysis for the Behavioral
    Sciences, 2nd edition 1988, chapter 2. The degrees of freedom are B. L. Welch's, Biometrika
    34 (1947), at equal variances.

    Args:
      n: seeds of each group, at least 2.
      sd: the standard deviation of both.
    """
    from scipy import optimize, stats

    freedom = 2 * (n - 1)
    critical = stats.t.ppf(1 - _LEVEL / 2, freedom)

    def excess(shift: float) -> float:
        # What lies beyond the other critical value is less than 3e-5 of the power.
        return float(stats.nct.sf(critical, freedom, shift)) - _POWER

    return float(optimize.brentq(excess, 0.01, 20)) * sd * math.sqrt(2 / n)


def subtract(ours: Sequence[float], theirs: Sequence[float]) -> Difference:
    """Subtracts the means of two groups of at least two; the interval is Welch's."""
    import numpy as np
    from scipy import stats

    mean = float(np.mean(ours) - np.mean(theirs))
    parts = [float(np.var(group, ddof=1)) / len(group) for group in (ours, theirs)]
    if not sum(parts):
        return Difference(mean, mean, mean)
    freedom = sum(parts) ** 2 / sum(
        part**2 / (len(group) - 1) for part, group in zip(parts, (ours, theirs), strict=True)
    )
    half = float(stats.t.ppf(1 - _LEVEL / 2, freedom)) * math.sqrt(sum(parts))
    return Difference(mean, mean - half, mean + half)


def describe(groups: Mapping[str, Sequence[Mapping[str, Any]]], other: Other | None) -> str:
    """Makes the lines below the table, in percentage points.

    Args:
      groups: the lines of sweep.jsonl by the name of their setting.
      other: what each setting is compared with.
    """
    from mnist_flax.sweep import results

    said = []
    for name, lines in groups.items():
        s = results.summarize(lines)
        if s.n < 2:
            if other is not None:
                said.append(f"{name}: n = {s.n} finished seeds cannot be compared")
            continue
        said.append(
            f"{name}: n = {s.n} can show a difference of {100 * resolved(s.n, s.sd):.3f} "
            "between two such settings (two-sided 5 %, power 80 %)"
        )
        if other is None:
            continue
        d = subtract(results.finals(lines), results.finals(other.lines))
        said.append(
            f"{name} less {other.name}: {100 * d.mean:+.3f}, 95 % interval "
            f"{100 * d.low:+.3f} to {100 * d.high:+.3f}"
            + ("" if d.seen else ": no difference seen")
        )
    return "\n".join(said)
