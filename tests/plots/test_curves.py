"""curves.png and the panels of a report: that they are drawn for any run, and what they say.

How they look is for eyes.
"""

import io
from typing import Any

import numpy as np
import pytest
from helpers.figures import THEMES, assert_is_picture, assert_legible, make_history
from matplotlib.figure import Figure
from matplotlib.image import imread

from mnist_flax.plots.curves import draw_curves, draw_panels
from mnist_flax.plots.themes import LIGHT, Theme

# Of a run that learns, and of one that guesses.
SHARES = pytest.mark.parametrize("share", [1.0, 0.1], ids=["curves", "guesses"])


@pytest.mark.parametrize(
    "history",
    [
        make_history(20),
        make_history(1),
        make_history(40, train_loss=0.0, train_accuracy=1.0, test_accuracy=1.0),
        make_history(2, test_loss=None, test_accuracy=0.098, train_accuracy=0.0),
    ],
    ids=["assignment", "one-epoch", "perfect", "broken"],
)
@pytest.mark.filterwarnings("error")
def test_draws_a_picture(history: list[dict[str, Any]]) -> None:
    picture = imread(io.BytesIO(draw_curves(history, 0.994, 19_114)))
    assert picture.shape == (720, 1800, 4)
    # Both curves and the target are there, in their colours.
    for colour in ("#8a97a8", "#1f6feb", "#c2410c"):
        rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        assert (np.abs(picture[..., :3] - rgb).max(-1) < 0.01).sum() > 20


def test_what_the_panels_say(drawn: list[Figure]) -> None:
    draw_curves(make_history(20), 0.994, 19_114)
    accuracy, loss, rate = drawn[0].axes
    assert [axes.get_title() for axes in drawn[0].axes] == [
        "Accuracy (%, log scale of the error)",
        "Loss (cross-entropy, log scale)",
        "Learning rate",
    ]
    # 1 - 0.05 / epoch is at least 0.994 from epoch 9 on.
    first, target = accuracy.texts
    assert (first.get_text(), target.get_text()) == ("first at 99.4 %", "target")
    circle = accuracy.lines[2]
    assert first.xy == (circle.get_xdata()[0], circle.get_ydata()[0])
    assert first.xy == pytest.approx((9, 100 - 5 / 9))
    assert 99.4 in [line.get_ydata()[0] for line in accuracy.lines]
    low, high = accuracy.get_ylim()
    assert low < 84
    assert 99.75 < high < 100
    np.testing.assert_allclose(loss.lines[1].get_ydata(), 0.2 / np.arange(1, 21))
    np.testing.assert_allclose(rate.patches[0].get_data().values, [1e-3] * 15 + [5e-4] * 5)


@pytest.mark.parametrize("target", [0.96, 0.97, 0.994])
def test_an_accuracy_equal_to_the_target_meets_it(target: float, drawn: list[Figure]) -> None:
    """As in summary.json; metrics.jsonl has it rounded to float32, where 0.96 is 0.95999998."""
    draw_curves(make_history(2, test_accuracy=float(np.float32(target))), target, 19_114)
    words = [text.get_text() for text in drawn[0].axes[0].texts]
    assert words == [f"first at {100 * target:g} %", "target"]


def test_a_target_that_was_never_met_has_its_number(drawn: list[Figure]) -> None:
    draw_curves(make_history(2), 0.994, 19_114)
    assert [text.get_text() for text in drawn[0].axes[0].texts] == ["target 99.4 %"]


@THEMES
@SHARES
@pytest.mark.filterwarnings("error")
def test_a_panel(share: float, theme: Theme) -> None:
    history = make_history(share=share)
    assert_is_picture(lambda theme: draw_panels(history, 0.994, theme)["accuracy"], theme)


@SHARES
def test_no_words_on_others_or_beyond_the_edge(share: float, drawn: list[Figure]) -> None:
    draw_panels(make_history(share=share), 0.994)
    assert len(drawn) == 3
    for figure in drawn:
        assert_legible(figure)


@pytest.mark.parametrize("epochs", [1, 3, 20])
@pytest.mark.parametrize("share", [0.1, 0.7, 0.95, 1.0])
def test_the_panels_fit_beside_each_other(
    epochs: int, share: float, drawn: list[Figure]
) -> None:
    """In one order everywhere; equally high; and no legend on a curve or on the target."""
    panels = draw_panels(make_history(epochs, share), 0.994)
    assert list(panels) == ["accuracy", "loss", "learning_rate"]
    for figure in drawn:
        assert_legible(figure)
        (axes,) = figure.axes
        assert axes.get_legend() is None
        for legend in figure.legends:
            assert legend.get_window_extent().y1 < axes.get_window_extent().y0
    assert [len(figure.legends) for figure in drawn] == [1, 1, 0]
    assert len({figure.get_figheight() for figure in drawn}) == 1
    ends = [figure.axes[0].get_position().y0 for figure in drawn]
    assert ends == pytest.approx([ends[0]] * 3, abs=0.01)


def test_the_learning_rate_takes_less_than_a_third(drawn: list[Figure]) -> None:
    draw_curves(make_history(20), 0.994, 19_114)
    draw_panels(make_history(20), 0.994)
    together, *apart = drawn
    together.draw_without_rendering()
    widths = [axes.get_window_extent().width for axes in together.axes]
    assert widths[2] < 0.8 * widths[0] == pytest.approx(0.8 * widths[1])
    widths = [figure.get_figwidth() for figure in apart]
    assert widths[2] < 0.8 * widths[0] == 0.8 * widths[1]


@pytest.mark.parametrize("reached", [1, 2, 5, 8, 20])
def test_the_target_and_the_epoch_are_apart(reached: int, drawn: list[Figure]) -> None:
    history = make_history()
    for record in history:
        record["test_accuracy"] = 0.9941 if record["epoch"] >= reached else 0.98
    draw_panels(history, 0.994, LIGHT)
    assert len(drawn[0].axes[0].texts) == 2
    assert_legible(drawn[0])


@pytest.mark.parametrize("after", [0.9938, 0.9941, 0.9955, 0.998])
def test_no_curve_goes_through_the_label_of_the_epoch(
    after: float, drawn: list[Figure]
) -> None:
    """Whether the accuracy then falls, stays, or rises to where the label would be above."""
    history = make_history(20)
    for record in history:
        epoch = record["epoch"]
        record["train_accuracy"] = 0.99 - 0.1 / epoch
        record["test_accuracy"] = 0.993 - 0.02 / epoch if epoch < 16 else 0.9943
        if epoch > 16:
            record["test_accuracy"] = after
    draw_curves(history, 0.994, 19_114)
    draw_panels(history, 0.994)
    for figure in drawn[:2]:
        figure.draw_without_rendering()
        axes = figure.axes[0]
        label = next(text for text in axes.texts if text.get_text().startswith("first"))
        for line in axes.lines:
            curve = line.get_transform().transform_path(line.get_path())
            assert not curve.intersects_bbox(label.get_window_extent(), filled=False)
