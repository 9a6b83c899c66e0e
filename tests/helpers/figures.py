"""What the tests of the plots share: two themes, made-up data, and words that can be read."""

import io
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from mnist_flax.plots.themes import DARK, LIGHT, Theme

THEMES = pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])


def make_history(epochs: int = 20, share: float = 1.0, **fields: Any) -> list[dict[str, Any]]:
    """Lines of metrics.jsonl; the accuracies are `share` of a good run's."""
    return [
        {
            "epoch": epoch,
            "learning_rate": 0.001 if epoch <= 15 else 0.0005,
            "train_loss": 0.5 / epoch,
            "train_accuracy": share * (1 - 0.16 / epoch),
            "test_loss": 0.2 / epoch,
            "test_accuracy": share * (1 - 0.05 / epoch),
            **fields,
        }
        for epoch in range(1, epochs + 1)
    ]


def assert_is_picture(draw: Callable[[Theme], bytes], theme: Theme) -> None:
    """It is a PNG for the report, on the theme's background, and something is on it."""
    with Image.open(io.BytesIO(draw(theme))) as image:
        assert image.format == "PNG"
        assert image.width == 1080
        assert image.height >= 80
        pixels = np.asarray(image.convert("RGB"))
    surface = np.round(np.multiply(to_rgb(theme.surface), 255))
    assert (pixels[0, 0] == surface).all()
    assert 0.005 < (pixels != surface).any(-1).mean() < 0.98


def assert_legible(figure: Figure) -> None:
    """No words lie on others, or beyond the edge."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    width, height = canvas.get_width_height()
    boxes = {text: text.get_window_extent() for text in _shown(figure)}
    assert boxes
    for text, box in boxes.items():
        assert -1 <= box.x0 < box.x1 <= width + 1, text
        assert -1 <= box.y0 < box.y1 <= height + 1, text
    for (one, first), (other, second) in itertools.combinations(boxes.items(), 2):
        # A box has a little air above and below; a pixel is 1/200 of an inch or less.
        across = min(first.x1, second.x1) - max(first.x0, second.x0)
        down = min(first.y1, second.y1) - max(first.y0, second.y0)
        assert min(across, down) <= 2, (one, other)


def _shown(figure: Figure) -> list[Text]:
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
