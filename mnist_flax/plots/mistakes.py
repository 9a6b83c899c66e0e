"""Draws the test images that a network takes for another digit."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mnist_flax.plots.sheet import canvas, finish, put_image, put_text
from mnist_flax.plots.themes import Theme

# More would make a picture that few programs open.
MOST_MISTAKES = 400


class Mistake(NamedTuple):
    """A test image that was taken for another digit.

    Attributes:
      place: in the test split, from 0.
      image: uint8[28,28].
      label: the digit that it is.
      prediction: the digit that it was taken for.
      probability: of the prediction, 0 to 1.
      label_probability: of the label, 0 to 1.
    """

    place: int
    image: np.ndarray
    label: int
    prediction: int
    probability: float
    label_probability: float


def draw_mistakes(mistakes: Sequence[Mistake], theme: Theme) -> bytes:
    """Draws the test images that were taken for another digit, the first MOST_MISTAKES.

    Args:
      mistakes: in the order to show them.
      theme: the colours.
    """
    columns, side, gap, caption, title = 6, 76, 12, 34, 40
    shown = mistakes[:MOST_MISTAKES]
    height = title + -(-len(shown) // columns) * (side + caption) + gap
    figure, axes = canvas(height, theme)
    words = f"{len(mistakes):,} mistakes: the digit → the answer, and its probability"
    if len(shown) < len(mistakes):
        words = f"The first {len(shown)} of {words}"
    put_text(axes, gap, title / 2, words, theme.text, 9, weight="bold")
    for i, mistake in enumerate(shown):
        row, column = divmod(i, columns)
        left, top = gap + column * (side + gap), title + row * (side + caption)
        put_image(axes, mistake.image, left, top, side)
        answer = f"{mistake.label} → {mistake.prediction}"
        line = top + side + 11
        put_text(axes, left, line, answer, theme.text, 8.5, weight="bold")
        # Down to a tenth of a percent: none is certain.
        probability = f"{min(mistake.probability, 0.999):.1%}"
        put_text(axes, left + side, line, probability, theme.faint_text, 7.5, "right")
    return finish(figure, axes, height)
