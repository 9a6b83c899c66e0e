"""The figures of a report: what is in them, and that nothing lies on or beside anything else.

How they look is for eyes.
"""

import io
import itertools
from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from mnist_flax import metrics
from mnist_flax.metrics import Bin
from mnist_flax.plots import augmentations, curves, diagnostics, themes
from mnist_flax.plots import mistakes as mistakes_lib
from mnist_flax.plots.augmentations import Row
from mnist_flax.plots.mistakes import Mistake
from mnist_flax.plots.themes import DARK, LIGHT, Theme

THEMES = pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
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
    return metrics.evaluate(np.log(probabilities.clip(1e-9)), labels).bins


def make_mistakes(count: int) -> list[Mistake]:
    images = RANDOM.integers(0, 256, (count, 28, 28), np.uint8)
    return [Mistake(i, image, 5, 6, 0.99999, 0.00001) for i, image in enumerate(images)]


def make_rows() -> list[Row]:
    images = RANDOM.integers(0, 256, (5, 28, 28), np.uint8)
    captions = ["\N{MINUS SIGN}10.5°"] * 5
    return [Row("Rotate", captions, images), Row("Crop to 22", captions[:2], images[:2])]


def make_history(share: float = 1.0) -> list[dict]:
    """Of a run whose accuracies are `share` of a good run's."""
    return [
        {
            "epoch": epoch,
            "learning_rate": 0.001,
            "train_loss": 0.5 / epoch,
            "train_accuracy": share * (1 - 0.16 / epoch),
            "test_loss": 0.2 / epoch,
            "test_accuracy": share * (1 - 0.05 / epoch),
        }
        for epoch in range(1, 21)
    ]


FIGURES: dict[str, Callable[[Theme], bytes]] = {
    "confusion": lambda theme: diagnostics.draw_confusion(make_confusion(), theme),
    "no-mistake": lambda theme: diagnostics.draw_confusion(np.diag([1135] * 10), theme),
    "reliability": lambda theme: diagnostics.draw_reliability(make_bins(), theme),
    "filters": lambda theme: diagnostics.draw_filters(
        RANDOM.normal(size=(3, 3, 10)), RANDOM.normal(size=(28, 28, 10)), theme
    ),
    "augmentations": lambda theme: augmentations.draw_augmentations(make_rows(), theme),
    "mistakes": lambda theme: mistakes_lib.draw_mistakes(make_mistakes(13), theme),
    "none": lambda theme: mistakes_lib.draw_mistakes([], theme),
    "curves": lambda theme: curves.draw_panels(make_history(), 0.994, theme)["accuracy"],
    "guesses": lambda theme: curves.draw_panels(make_history(0.1), 0.994, theme)["accuracy"],
}


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are drawn in a test; what is given back as a PNG is empty."""
    diagnostics: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *_, **__: diagnostics.append(self))
    return diagnostics


def shown(figure: Figure) -> list[Text]:
    """All words in a figure that are drawn."""
    beyond = set()
    for axis in itertools.chain(*([axes.xaxis, axes.yaxis] for axes in figure.axes)):
        low, high = sorted(axis.get_view_interval())
        for tick in axis.get_major_ticks():
            if not low <= tick.get_loc() <= high:
                beyond.add(tick.label1)
    return [
        text
        for text in figure.findobj(Text)
        if text.get_text().strip() and text.get_visible() and text not in beyond
    ]


@THEMES
@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.filterwarnings("error")
def test_a_picture(name: str, theme: Theme) -> None:
    with Image.open(io.BytesIO(FIGURES[name](theme))) as image:
        assert image.width == 1080
        assert image.height >= 80
        pixels = np.asarray(image.convert("RGB"))
    surface = np.round(np.multiply(to_rgb(theme.surface), 255))
    assert (pixels[0, 0] == surface).all()
    assert 0.005 < (pixels != surface).any(-1).mean() < 0.98


@pytest.mark.parametrize("name", FIGURES)
def test_no_words_on_others_or_beyond_the_edge(name: str, drawn: list[Figure]) -> None:
    FIGURES[name](LIGHT)
    assert drawn
    for figure in drawn:
        assert_legible(figure)


@pytest.mark.parametrize("reached", [1, 2, 5, 8, 20])
def test_the_target_and_the_epoch_are_apart(reached: int, drawn: list[Figure]) -> None:
    history = make_history()
    for record in history:
        record["test_accuracy"] = 0.9941 if record["epoch"] >= reached else 0.98
    curves.draw_panels(history, 0.994, LIGHT)
    assert len(drawn[1].axes[0].texts) == 2
    assert_legible(drawn[1])


def assert_legible(figure: Figure) -> None:
    """No words lie on others, or beyond the edge."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    width, height = canvas.get_width_height()
    boxes = {text: text.get_window_extent() for text in shown(figure)}
    for text, box in boxes.items():
        assert -1 <= box.x0 < box.x1 <= width + 1, text
        assert -1 <= box.y0 < box.y1 <= height + 1, text
    for (one, first), (other, second) in itertools.combinations(boxes.items(), 2):
        # A box has a little air above and below; a pixel is 1/200 of an inch or less.
        across = min(first.x1, second.x1) - max(first.x0, second.x0)
        down = min(first.y1, second.y1) - max(first.y0, second.y0)
        assert min(across, down) <= 2, (one, other)


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
    # Colour is for mistakes.
    assert (np.diag(image.get_array()) == 0).all()
    assert image.get_array()[9, 4] == image.norm.vmin == -12


@THEMES
def test_counts_stand_out(theme: Theme) -> None:
    """By 4.5 to 1, WCAG 2.2's ratio, from every colour but a few where neither text does."""
    black, white = (themes.readable(to_rgb(color), LIGHT) for color in ("#ffffff", "#000000"))
    assert (black, white) == (LIGHT.text, LIGHT.surface)
    for share in np.linspace(0, 0.5, 100):
        behind = theme.around_zero(share)[:3]
        ratios = {}
        for color in (theme.text, theme.surface):
            low, high = sorted(themes._luminance(rgb) for rgb in (behind, to_rgb(color)))
            ratios[color] = (high + 0.05) / (low + 0.05)
        assert ratios[themes.readable(behind, theme)] == max(ratios.values()) > 3


def test_luminance_as_published() -> None:
    """https://www.w3.org/TR/WCAG22/#dfn-relative-luminance, of the primaries and a grey."""
    found = [themes._luminance(to_rgb(c)) for c in ("#f00", "#0f0", "#00f", "#fff", "#777777")]
    assert found == pytest.approx([0.2126, 0.7152, 0.0722, 1.0, 0.1845], abs=1e-4)


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


def test_mistakes(drawn: list[Figure]) -> None:
    mistakes = make_mistakes(mistakes_lib.MOST_MISTAKES + 1)
    mistakes_lib.draw_mistakes(mistakes[:3], LIGHT)
    mistakes_lib.draw_mistakes(mistakes, LIGHT)
    few, many = (figure.axes[0] for figure in drawn)
    words = [text.get_text() for text in few.texts]
    assert words[0] == "3 mistakes: the digit → the answer, and its probability"
    # 0.99999 is not 100 %.
    assert words[1:3] == ["5 → 6", "99.9%"]
    for image, mistake in zip(few.images, mistakes, strict=False):
        np.testing.assert_array_equal(image.get_array(), mistake.image)
    assert many.texts[0].get_text().startswith("The first 400 of 401 mistakes")
    assert len(many.images) == 400
