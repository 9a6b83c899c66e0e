"""Draws accuracy against parameters: our finished sweeps, and what others published.

    python benchmarks/frontier.py runs/sweep-default runs/sweep-best ... --output frontier.png

A point of ours is the mean of the final accuracies of a sweep's seeds; its bar is their sample
standard deviation. A point of others is the best epoch of a single run, chosen by the test set:
that is more than such a network reaches on average after its last epoch.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MultipleLocator, NullFormatter

from mnist_flax import config as config_lib
from mnist_flax import models, steps
from mnist_flax.plots.themes import LIGHT, png, style
from mnist_flax.runs import files
from mnist_flax.sweep import results
from mnist_flax.sweep.records import LINES, SETTINGS

# Parameters and best accuracy (percent) of single runs that were published. RESULTS.md has the
# sources, and says which pages are gone.
PUBLIC = {
    697: 99.0,
    1_936: 99.1,
    6_750: 99.50,
    8_172: 99.57,
    18_594: 99.60,
    19_114: 99.50,
    19_898: 99.54,
}


class Point(NamedTuple):
    """A sweep, as a point of the picture.

    Attributes:
      name: the name of its folder.
      params: number of the network's parameters.
      mean: of the final accuracies, in percent.
      sd: their sample standard deviation, in percent.
      n: number of seeds.
    """

    name: str
    params: int
    mean: float
    sd: float
    n: int


def load(folder: Path) -> tuple[int, list[dict[str, Any]]]:
    """Reads a sweep that has one setting; returns its parameters and the lines of its seeds."""
    (fields,) = json.loads((folder / SETTINGS).read_text()).values()
    config = config_lib.load(config_lib.default_path())
    config.update_from_flattened_dict(fields)
    state = jax.eval_shape(lambda key: steps.create_train_state(key, config), jax.random.key(0))
    lines = [json.loads(line) for line in (folder / LINES).read_text().splitlines()]
    return models.count_params(state.params), lines


def read(folder: Path) -> Point:
    """Reads the workdir of a sweep that has one setting, and at least two seeds done."""
    params, lines = load(folder)
    summary = results.summarize(lines)
    return Point(folder.name, params, 100 * summary.mean, 100 * summary.sd, summary.n)


def draw(points: Sequence[Point]) -> bytes:
    """Draws the points; returns a PNG of 1200 x 720 pixels."""
    figure = Figure((8, 4.8), dpi=150, layout="constrained", facecolor=LIGHT.surface)
    axes = figure.subplots()
    style(axes, LIGHT)
    axes.plot(
        *zip(*PUBLIC.items(), strict=True),
        "D",
        color=LIGHT.faint_text,
        markerfacecolor="none",
        label="others: the best epoch",
    )
    n = sorted({point.n for point in points})
    axes.errorbar(
        [point.params for point in points],
        [point.mean for point in points],
        [point.sd for point in points],
        fmt="o",
        color=LIGHT.test,
        capsize=3,
        label=f"ours: last epoch, mean ± sd, n = {', '.join(map(str, n))}",
    )
    for point in points:
        axes.annotate(
            point.name,
            (point.params, point.mean + point.sd),
            (6, 6),
            textcoords="offset points",
            ha="right",
            color=LIGHT.text,
        )
    axes.axhline(99.4, color=LIGHT.target, linewidth=1, linestyle="--", label="target")
    axes.axvline(20_000, color=LIGHT.target, linewidth=1, linestyle=":", label="limit")
    axes.set(
        xscale="log",
        xlim=(500, 30_000),
        xlabel="parameters",
        ylabel="test accuracy, %",
        title="MNIST: accuracy against parameters",
    )
    axes.set_xticks([500, 1_000, 2_000, 5_000, 10_000, 20_000])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_locator(MultipleLocator(0.1))
    axes.margins(y=0.1)
    axes.legend(frameon=False, labelcolor=LIGHT.text, loc="upper left")
    return png(figure)


def main() -> None:
    """Reads the sweeps, prints a line for each, writes the picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("sweeps", type=Path, nargs="+", metavar="WORKDIR")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    points = [read(folder) for folder in arguments.sweeps]
    for point in points:
        print(
            f"{point.name}: {point.params:,} parameters, {point.mean:.3f} ± {point.sd:.3f} %, "
            f"n = {point.n}"
        )
    files.replace(arguments.output, draw(points))


if __name__ == "__main__":
    main()
