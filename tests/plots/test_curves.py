"""curves.png: that it is drawn for any run; how it looks is for eyes."""

import io
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from mnist_flax.plots.curves import draw_curves


def make_history(epochs: int, **fields: Any) -> list[dict[str, Any]]:
    return [
        {
            "epoch": epoch,
            "learning_rate": 0.001 if epoch <= 15 else 0.0005,
            "train_loss": 0.5 / epoch,
            "train_accuracy": 1 - 0.16 / epoch,
            "test_loss": 0.2 / epoch,
            "test_accuracy": 1 - 0.05 / epoch,
            **fields,
        }
        for epoch in range(1, epochs + 1)
    ]


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


def test_what_the_panels_say(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *args, **kwargs: drawn.append(self))
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
