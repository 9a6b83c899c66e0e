"""Draws accuracy against parameters: our sweeps, and what others published.

    python benchmarks/frontier.py --output docs/frontier.png

A point of ours is the mean of the final accuracies of a sweep's seeds; its bar is their sample
standard deviation. docs/sweeps has a folder for each sweep. A folder whose name has a '-' is a
second sweep of a config, on another device, and is left out.

A point of others is a single run, or the best of many. Where it is a best epoch, the test set
chose it: that is more than such a network reaches on average after its last epoch.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter
from matplotlib.transforms import Bbox

from mnist_flax import config as config_lib
from mnist_flax import models, steps
from mnist_flax.plots.themes import LIGHT, png, style
from mnist_flax.runs import files
from mnist_flax.sweep import results
from mnist_flax.sweep.records import LINES, SETTINGS

SWEEPS = Path(__file__).parents[1] / "docs" / "sweeps"

# Parameters and accuracy (percent) that were published, by kind. RESULTS.md has the sources,
# and says which pages are gone.
PUBLIC = {
    "others: one run, its best epoch": {
        1_936: 99.1,
        6_750: 99.50,
        8_172: 99.57,
        18_594: 99.60,
        19_114: 99.50,
        19_898: 99.54,
    },
    "others: one run, its last epoch": {18_594: 99.58, 19_114: 99.49},
    "others: the best of about 700 runs": {697: 99.0},
}
_MARKERS = "Ds^"
TARGET, LIMIT = 99.4, 20_000
# Where a point's name may stand, from the end of its bar or from its middle: sideways and
# upwards in points of the page, and the alignment. The first that is free is taken.
_PLACES = [
    *((1, 0, 8, "center", "bottom"), (-1, 0, -8, "center", "top")),
    *((0, -10, 0, "right", "center"), (0, 10, 0, "left", "center")),
    *((1, -4, 8, "right", "bottom"), (-1, -4, -8, "right", "top")),
    *((1, 4, 8, "left", "bottom"), (-1, 4, -8, "left", "top")),
]


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


def kept() -> list[Path]:
    """Finds the folders of the sweeps, that of the largest network first."""
    folders = sorted(folder for folder in SWEEPS.iterdir() if folder.is_dir())
    return sorted(folders, key=lambda folder: -load(folder)[0])


def points() -> list[Point]:
    """Collects our points, the smallest network first."""
    found = [read(folder) for folder in kept() if "-" not in folder.name]
    return sorted(found, key=lambda point: point.params)


def draw(points: Sequence[Point]) -> Figure:
    """Draws the points, 1350 x 900 pixels."""
    figure = Figure((9, 6), dpi=150, layout="constrained", facecolor=LIGHT.surface)
    axes = figure.subplots()
    style(axes, LIGHT)
    for marker, (kind, found) in zip(_MARKERS, PUBLIC.items(), strict=True):
        axes.plot(
            *zip(*found.items(), strict=True),
            marker,
            color=LIGHT.faint_text,
            markerfacecolor="none",
            label=kind,
        )
    axes.errorbar(
        [point.params for point in points],
        [point.mean for point in points],
        [point.sd for point in points],
        fmt="o",
        color=LIGHT.test,
        capsize=3,
        label="ours: last epoch, mean ± sd of n seeds",
    )
    axes.axhline(TARGET, color=LIGHT.target, linewidth=1, linestyle="--", label="target")
    axes.axvline(LIMIT, color=LIGHT.target, linewidth=1, linestyle=":", label="limit")
    axes.set_yscale(
        "function", functions=(lambda y: -np.log(100 - y), lambda y: 100 - np.exp(-y))
    )
    axes.set(
        xscale="log",
        xlim=(500, 60_000),
        xlabel="parameters",
        ylabel="test accuracy, %; its distance from 100 on a log scale",
        title="MNIST: accuracy against parameters",
    )
    axes.set_xticks([500, 1_000, 2_000, 5_000, 10_000, 20_000])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_yticks([97.5, 98, 98.5, 99, 99.2, 99.4, 99.5, 99.6, 99.7])
    axes.margins(y=0.1)
    axes.legend(edgecolor="none", framealpha=1, labelcolor=LIGHT.text, loc="lower right")
    # Where things are is known when they have been laid out.
    figure.draw_without_rendering()
    _name(axes, points)
    return figure


def _name(axes: Axes, points: Sequence[Point]) -> None:
    """Writes its name and n beside each point, where nothing else is."""
    taken = occupied(axes, points)
    for point in points:
        for side, right, up, across, along in _PLACES:
            name = axes.annotate(
                f"{point.name}, n = {point.n}",
                (point.params, point.mean + side * point.sd),
                (right, up),
                textcoords="offset points",
                ha=across,
                va=along,
                color=LIGHT.text,
            )
            box = name.get_window_extent()
            if not any(box.overlaps(other) for other in taken):
                taken.append(box)
                break
            name.remove()
        else:
            raise ValueError(f"there is no room for the name of {point.name}")


def occupied(axes: Axes, points: Sequence[Point]) -> list[Bbox]:
    """Finds where the points, the lines and the legend are, in pixels of a drawn figure."""
    to_pixels, area = axes.transData.transform, axes.get_window_extent()
    legend = axes.get_legend()
    boxes = [legend.get_window_extent()] if legend else []
    for found in PUBLIC.values():
        boxes += [Bbox([at - 10, at + 10]) for at in map(to_pixels, found.items())]
    for each in points:
        ends = [to_pixels((each.params, each.mean + sign * each.sd)) for sign in (-1, 1)]
        boxes.append(Bbox([ends[0] - 10, ends[1] + 10]))
    x, y = to_pixels((LIMIT, TARGET))
    return [
        *boxes,
        Bbox.from_extents(x - 2, area.y0, x + 2, area.y1),
        Bbox.from_extents(area.x0, y - 2, area.x1, y + 2),
    ]


def main() -> None:
    """Prints a line for each point, writes the picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    found = points()
    for point in found:
        print(
            f"{point.name}: {point.params:,} parameters, {point.mean:.3f} ± {point.sd:.3f} %, "
            f"n = {point.n}"
        )
    files.replace(arguments.output, png(draw(found)))


if __name__ == "__main__":
    main()
