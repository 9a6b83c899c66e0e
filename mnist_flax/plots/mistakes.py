"""Finds and draws the images that a network takes for another digit."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mnist_flax.plots.sheet import canvas, finish, put_image, put_text
from mnist_flax.plots.themes import LIGHT, Theme, isolated

# More would make a picture too large for most programs.
MOST_MISTAKES = 400


class Mistake(NamedTuple):
    """An image that was taken for another digit.

    Attributes:
      place: its place among the images, from 0.
      image: uint8[28,28], 0 (background) to 255.
      label: the digit that it is.
      prediction: the digit that it was taken for.
      probability: the probability of the prediction, 0 to 1.
      label_probability: the probability of the label, 0 to 1.
    """

    place: int
    image: np.ndarray
    label: int
    prediction: int
    probability: float
    label_probability: float


def find_mistakes(
    images: np.ndarray, labels: np.ndarray, probabilities: np.ndarray
) -> list[Mistake]:
    """Finds the images that a network takes for another digit, the surest first.

    Args:
      images: uint8[N,28,28], 0 (background) to 255.
      labels: int[N], 0 to 9.
      probabilities: float[N,10], 0 to 1. Of equal ones, the smaller digit counts.
    """
    predictions = probabilities.argmax(1)
    mistakes = [
        Mistake(
            place=int(i),
            image=images[i],
            label=int(labels[i]),
            prediction=int(predictions[i]),
            probability=float(probabilities[i, predictions[i]]),
            label_probability=float(probabilities[i, labels[i]]),
        )
        for i in np.flatnonzero(predictions != labels)
    ]
    return sorted(mistakes, key=lambda mistake: -mistake.probability)


@isolated
def draw_mistakes(
    mistakes: Sequence[Mistake], theme: Theme = LIGHT, most: int = MOST_MISTAKES
) -> bytes:
    """Draws mistakes in the order given.

    Args:
      mistakes: from `find_mistakes`.
      theme: the colours.
      most: how many of them to draw at most.

    Returns:
      A PNG, 1080 pixels wide.
    """
    columns, side, gap, caption, title = 5, 93, 12, 38, 40
    shown = mistakes[:most]
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
        line = top + side + 13
        put_text(axes, left, line, answer, theme.text, 10, weight="bold")
        # Never 100.0 %: no answer is certain.
        probability = f"{min(mistake.probability, 0.999):.1%}"
        put_text(axes, left + side, line, probability, theme.faint_text, 9, "right")
    return finish(figure, axes, height)
