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

EACH = 20
# Of EACH pictures, those that must be read. Of 240 to 750 more are: these are few, and some of
# the strokes that the generator draws are read wrong on plain paper, too.
LEAST = 17
# Kinds of which fewer are read.
HARDER = {"broken strokes": 15}

Network = Callable[[np.ndarray], np.ndarray]


def writer(i: int) -> glyphs.Writer:
    """Writes in a font and with a pen by turns."""
    return glyphs.from_fonts(glyphs.fonts()) if i % 20 < 10 else glyphs.from_strokes


@pytest.fixture(scope="module")
def right(network: Network) -> dict[str, int]:
    """How many pictures of each kind are read, of EACH."""
    readings, labels = [], []
    for kind, make in kinds.KINDS.items():
        for i in range(EACH):
            rng = np.random.default_rng([zlib.crc32(kind.encode()), 0, i])
            readings.append(images.read_image(make(rng, writer(i)(rng, str(i % 10)))))
            labels.append((kind, i % 10))
    seen = [each for each in readings if each]
    kept = [label for each, label in zip(readings, labels, strict=True) if each]
    counts = dict.fromkeys(kinds.KINDS, 0)
    for found, (kind, digit) in zip(answers.answer(seen, network), kept, strict=True):
        counts[kind] += answers.single(found).best_two[0][0] == digit
    return counts


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_pictures_of_a_kind_are_read(right, kind) -> None:
    assert right[kind] >= HARDER.get(kind, LEAST)


def test_all_kinds_together(right) -> None:
    assert sum(right.values()) >= 0.95 * EACH * len(kinds.KINDS)


@pytest.mark.parametrize("length", [2, 3, 4])
def test_numbers_are_read_digit_by_digit(network, length) -> None:
    rng = np.random.default_rng(length)
    readings, numbers = [], []
    for i in range(40):
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
    assert right >= 0.95 * 40 * length, list(zip(texts, numbers, strict=True))
