"""The images that were taken for another digit: which they are, and their picture."""

import numpy as np
import pytest
from helpers.figures import THEMES, assert_is_picture, assert_legible
from matplotlib.figure import Figure

from mnist_flax.plots.mistakes import MOST_MISTAKES, Mistake, draw_mistakes, find_mistakes
from mnist_flax.plots.themes import LIGHT, Theme

IMAGES = np.random.default_rng(0).integers(0, 256, (MOST_MISTAKES + 1, 28, 28), np.uint8)
COUNTS = pytest.mark.parametrize("count", [0, 13])


def make_mistakes(count: int) -> list[Mistake]:
    return [Mistake(i, IMAGES[i], 5, 6, 0.99999, 0.00001) for i in range(count)]


def test_they_are_found_the_surest_first() -> None:
    probabilities = np.full((4, 10), 0.02)
    probabilities[[0, 1, 2, 3], [7, 1, 2, 3]] = [0.5, 0.82, 0.9, 0.5]
    labels = np.array([4, 1, 9, 8])
    found = find_mistakes(IMAGES[:4], labels, probabilities)
    assert [mistake._replace(image=None) for mistake in found] == [
        Mistake(2, None, 9, 2, 0.9, 0.02),
        # Of equal ones, the first image comes first.
        Mistake(0, None, 4, 7, 0.5, 0.02),
        Mistake(3, None, 8, 3, 0.5, 0.02),
    ]
    for mistake in found:
        np.testing.assert_array_equal(mistake.image, IMAGES[mistake.place])


def test_no_mistake_is_found() -> None:
    probabilities = np.eye(10)
    assert find_mistakes(IMAGES[:10], np.arange(10), probabilities) == []


@THEMES
@COUNTS
@pytest.mark.filterwarnings("error")
def test_a_picture(count: int, theme: Theme) -> None:
    assert_is_picture(lambda theme: draw_mistakes(make_mistakes(count), theme), theme)


@COUNTS
def test_no_words_on_others_or_beyond_the_edge(count: int, drawn: list[Figure]) -> None:
    draw_mistakes(make_mistakes(count))
    assert_legible(drawn[0])


def test_mistakes(drawn: list[Figure]) -> None:
    mistakes = make_mistakes(MOST_MISTAKES + 1)
    draw_mistakes(mistakes[:3], LIGHT)
    draw_mistakes(mistakes, LIGHT)
    few, many = (figure.axes[0] for figure in drawn)
    words = [text.get_text() for text in few.texts]
    assert words[0] == "3 mistakes: the digit → the answer, and its probability"
    # 0.99999 is not 100 %.
    assert words[1:3] == ["5 → 6", "99.9%"]
    for image, mistake in zip(few.images, mistakes, strict=False):
        np.testing.assert_array_equal(image.get_array(), mistake.image)
    assert many.texts[0].get_text().startswith("The first 400 of 401 mistakes")
    assert len(many.images) == 400
