"""People's own pictures, by kind: how many are read as `predict` reads them.

benchmarks/own_digits.py measures the same with many more pictures and fonts.
"""

import zlib
from collections.abc import Callable

import numpy as np
import pytest
from helpers.own_digits import glyphs, kinds, sheets

from mnist_flax.predict import answers, images

pytestmark = pytest.mark.slow

EACH, NUMBERS = 20, 40
# Which of them are read: a picture takes 70 to 200 ms. Of four, two are of fonts.
EVERY = pytest.mark.parametrize(
    "every", [6, pytest.param(1, marks=pytest.mark.long)], ids=["few", "all"], scope="module"
)
# The share of the pictures that must be read. Of 240 to 750 more are: these are few, and some
# of the strokes that the generator draws are read wrong on plain paper, too.
LEAST = 0.85
# Of few pictures it may be one more that is not.
LEAST_OF_FEW = 0.7
# Kinds of which fewer are read.
HARDER = {"broken strokes": 0.75}

Network = Callable[[np.ndarray], np.ndarray]


def writer(i: int) -> glyphs.Writer:
    """Writes in a font and with a pen by turns."""
    return glyphs.from_fonts(glyphs.fonts()) if i % 20 < 10 else glyphs.from_strokes


@pytest.fixture(scope="module")
def right(network: Network, every: int) -> dict[str, float]:
    """The share of the pictures of each kind that are read."""
    chosen = range(0, EACH, every)
    readings, labels = [], []
    for kind, make in kinds.KINDS.items():
        for i in chosen:
            rng = np.random.default_rng([zlib.crc32(kind.encode()), 0, i])
            readings.append(images.read_image(make(rng, writer(i)(rng, str(i % 10)))))
            labels.append((kind, i % 10))
    seen = [each for each in readings if each]
    kept = [label for each, label in zip(readings, labels, strict=True) if each]
    counts = dict.fromkeys(kinds.KINDS, 0)
    for found, (kind, digit) in zip(answers.answer(seen, network), kept, strict=True):
        counts[kind] += answers.single(found).best_two[0][0] == digit
    return {kind: count / len(chosen) for kind, count in counts.items()}


@EVERY
@pytest.mark.parametrize("kind", kinds.KINDS)
def test_pictures_of_a_kind_are_read(right, kind, every) -> None:
    assert right[kind] >= (HARDER.get(kind, LEAST) if every == 1 else LEAST_OF_FEW)


@EVERY
def test_all_kinds_together(right) -> None:
    assert sum(right.values()) >= 0.95 * len(kinds.KINDS)


@EVERY
@pytest.mark.parametrize("length", [2, 3, 4])
def test_numbers_are_read_digit_by_digit(network, length, every) -> None:
    rng = np.random.default_rng(length)
    readings, numbers = [], []
    for i in range(NUMBERS // every):
        number = "".join(map(str, rng.integers(10, size=length)))
        font = glyphs.fonts()[i % len(glyphs.fonts())]
        side = 60 * length
        place = sheets.place(rng, glyphs.typeset(number, font), (side, 1.5 * side))
        picture = sheets.inked(place.ink, *sheets.shades(rng))
        sheet = sheets.image(sheets.noisy(rng, picture, 2))
        readings.append(images.read_image(sheet, many=True))
        numbers.append(number)
    assert all(readings)
    found = [answers.in_reading_order(each) for each in answers.answer(readings, network)]
    texts = ["".join(str(each.best_two[0][0]) for each in answered) for answered in found]
    right = sum(
        sum(one == other for one, other in zip(text, number, strict=True))
        for text, number in zip(texts, numbers, strict=True)
        if len(text) == length
    )
    assert right >= 0.95 * len(numbers) * length, list(zip(texts, numbers, strict=True))
