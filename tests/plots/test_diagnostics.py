"""Confusion, calibration and filters: what is in their pictures, and that it can be read.

How they look is for eyes.
"""

from collections.abc import Callable

import numpy as np
import pytest
from helpers.figures import THEMES, assert_is_picture, assert_legible
from matplotlib.figure import Figure

from mnist_flax import metrics
from mnist_flax.metrics import Bin
from mnist_flax.plots import diagnostics
from mnist_flax.plots.themes import LIGHT, Theme

RANDOM = np.random.default_rng(0)


def make_confusion() -> np.ndarray:
    confusion = np.diag(RANDOM.integers(900, 1200, 10))
    confusion[9, 4], confusion[5, 3], confusion[0, 6], confusion[7, 1] = 12, 8, 1, 4
    return confusion


def make_bins() -> list[Bin]:
    probabilities = np.full((400, 10), 0.0)
    probabilities[:, 0] = RANDOM.uniform(0.4, 1, 400)
    probabilities[:, 1] = 1 - probabilities[:, 0]
    labels = (RANDOM.uniform(size=400) > probabilities[:, 0]).astype(int)
    return metrics.score(np.log(probabilities.clip(1e-9)), labels).bins


FIGURES: dict[str, Callable[[Theme], bytes]] = {
    "confusion": lambda theme: diagnostics.draw_confusion(make_confusion(), theme),
    "no-mistake": lambda theme: diagnostics.draw_confusion(np.diag([1135] * 10), theme),
    "reliability": lambda theme: diagnostics.draw_reliability(make_bins(), theme),
    "filters": lambda theme: diagnostics.draw_filters(
        RANDOM.normal(size=(3, 3, 10)), RANDOM.normal(size=(28, 28, 10)), theme
    ),
}


@THEMES
@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.filterwarnings("error")
def test_a_picture(name: str, theme: Theme) -> None:
    assert_is_picture(FIGURES[name], theme)


@pytest.mark.parametrize("name", FIGURES)
def test_no_words_on_others_or_beyond_the_edge(name: str, drawn: list[Figure]) -> None:
    FIGURES[name](LIGHT)
    assert_legible(drawn[0])


def test_confusion(drawn: list[Figure]) -> None:
    confusion = make_confusion()
    diagnostics.draw_confusion(confusion, LIGHT)
    (axes,) = drawn[0].axes
    counts = {text.get_position(): text.get_text() for text in axes.texts}
    assert counts == {
        (column, row): str(count) if count else "·"
        for (row, column), count in np.ndenumerate(confusion)
    }
    (image,) = axes.images
    assert len({text.get_size() for text in axes.texts}) == 1
    # Colour is for mistakes.
    assert (np.diag(image.get_array()) == 0).all()
    assert image.get_array()[9, 4] == image.norm.vmin == -12


def test_reliability(drawn: list[Figure]) -> None:
    bins = make_bins()
    diagnostics.draw_reliability(bins, LIGHT)
    upper, lower = drawn[0].axes
    full = [bin for bin in bins if bin.size]
    points = upper.lines[1]
    np.testing.assert_array_equal(points.get_xdata(), [bin.confidence for bin in full])
    np.testing.assert_array_equal(points.get_ydata(), [bin.accuracy for bin in full])
    ends = upper.collections[0].get_segments()
    for bin, segment in zip(full, ends, strict=True):
        interval = metrics.wilson_interval(round(bin.accuracy * bin.size), bin.size)
        assert segment[:, 1] == pytest.approx(interval, abs=1e-9)
    (bars,) = lower.patches
    np.testing.assert_array_equal(
        bars.get_data().values, np.maximum(0.5, [b.size for b in bins])
    )


def test_filters(drawn: list[Figure]) -> None:
    kernel, responses = RANDOM.normal(size=(3, 3, 5)), RANDOM.normal(size=(28, 28, 5))
    kernel[..., 4] = 0
    diagnostics.draw_filters(kernel, responses, LIGHT)
    (axes,) = drawn[0].axes
    assert [text.get_text() for text in axes.texts] == [f"filter {i}" for i in range(1, 6)]
    for i, (above, below) in enumerate(zip(axes.images[::2], axes.images[1::2], strict=True)):
        np.testing.assert_array_equal(above.get_array(), kernel[..., i])
        np.testing.assert_array_equal(below.get_array(), responses[..., i])
        for image in (above, below):
            # 0 is in the middle, the largest number at an end.
            assert image.norm.vmin == -image.norm.vmax
            assert image.norm.vmax == (np.abs(image.get_array()).max() or 1)
