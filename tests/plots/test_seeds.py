"""Tests the picture of a sweep: what it shows, and that many settings can be told apart."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from mnist_flax.plots.seeds import SeedCurves, draw_seeds

Draw = Callable[[dict[str, SeedCurves]], Axes]


@pytest.fixture
def draw(monkeypatch: pytest.MonkeyPatch) -> Draw:
    """Draws settings with a target of 99.4 %; returns the axes instead of the PNG."""
    drawn: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *args, **kwargs: drawn.append(self))

    def call(settings: dict[str, SeedCurves]) -> Axes:
        draw_seeds(settings, 0.994)
        return drawn[-1].axes[0]

    return call


def test_a_picture_where_some_or_all_seeds_diverged() -> None:
    curves = np.array([[0.95, 0.98, 0.99]])
    picture = draw_seeds({"a": SeedCurves(curves, 1), "b": SeedCurves(np.array([]), 2)}, 0.994)
    assert Image.open(io.BytesIO(picture)).size == (1500, 900)


def test_the_legend_has_mean_sd_and_n(draw: Draw) -> None:
    curves = np.array([[0.9, 0.991], [0.8, 0.993]])
    settings = {
        "two": SeedCurves(curves, 0),
        "one": SeedCurves(curves[:1], 3),
        "none": SeedCurves(np.array([]), 1),
    }
    axes = draw(settings)
    assert axes.get_legend_handles_labels()[1] == [
        "two: 99.20 ± 0.14 % (n = 2)",
        "one: 99.10 % (n = 1, 3 diverged)",
        "none: all diverged",
    ]
    assert [text.get_text() for text in axes.texts] == ["target 99.4 %"]


def test_many_settings_can_be_told_apart(draw: Draw) -> None:
    curve = np.linspace(0.9, 0.99, 10)
    settings = {
        f"x={i}": SeedCurves(np.array([0.2 * curve if i == 0 else curve + i / 1e4]), 0)
        for i in range(14)
    }
    axes = draw(settings)
    means = [line for line in axes.lines if str(line.get_label()).startswith("x=")]
    assert len({(line.get_color(), line.get_linestyle()) for line in means}) == 14
    # The one that is far below all others does not press them together.
    assert axes.get_ylim()[0] > 90
