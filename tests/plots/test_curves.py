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
    loss, accuracy, rate = drawn[0].axes
    assert [axes.get_title() for axes in drawn[0].axes] == [
        "Loss (cross-entropy, log scale)",
        "Accuracy (%)",
        "Learning rate",
    ]
    # 1 - 0.05 / epoch is at least 0.994 from epoch 9 on.
    assert [text.get_text() for text in accuracy.texts] == ["epoch 9", "target 99.4 %"]
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
    words = [text.get_text() for text in drawn[0].axes[1].texts]
    assert words == ["epoch 1", f"target {100 * target:g} %"]


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


@pytest.mark.parametrize("reached", [1, 2, 5, 8, 20])
def test_the_target_and_the_epoch_are_apart(reached: int, drawn: list[Figure]) -> None:
    history = make_history()
    for record in history:
        record["test_accuracy"] = 0.9941 if record["epoch"] >= reached else 0.98
    draw_panels(history, 0.994, LIGHT)
    assert len(drawn[1].axes[0].texts) == 2
    assert_legible(drawn[1])
