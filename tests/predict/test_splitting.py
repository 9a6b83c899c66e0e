"""Digits that touch are cut apart where both pieces look like digits; single ones are not."""

import itertools

import numpy as np
import pytest
from helpers.own_digits import glyphs, sheets
from PIL import Image

from mnist_flax.predict import answers, images

TOUCHES = "it touches another digit"
FONT = next(path for path in glyphs.fonts() if path.stem == "DejaVuSans")


def number(text: str, overlap: int, lean: float = 0.0) -> Image.Image:
    """A number in print, its digits 100 pixels high; neighbours overlap by some pixels."""
    rng, write = np.random.default_rng(0), glyphs.from_fonts([FONT])
    digits = [glyphs.scaled(write(rng, each), 100) for each in text]
    widths = [each.shape[1] for each in digits]
    row = np.zeros((100, sum(widths) - overlap * (len(text) - 1)), np.float32)
    left = 0
    for each in digits:
        part = row[:, left : left + each.shape[1]]
        np.maximum(part, each[:, : part.shape[1]], out=part)
        left += each.shape[1] - overlap
    ink = np.pad(row, 60)
    for y, line in enumerate(ink):
        ink[y] = np.roll(line, round(lean * (110 - y)))
    return sheets.image(sheets.inked(ink, 230, 40))


def read(picture: Image.Image, network) -> list[answers.Answer]:
    (found,) = answers.answer([images.read_image(picture, many=True)], network)
    return answers.in_reading_order(found)


def text_of(found: list[answers.Answer]) -> str:
    return "".join(str(each.best_two[0][0]) for each in found)


@pytest.mark.parametrize(
    ("text", "lean"),
    [("53", 0.0), ("53", 0.25), ("68", 0.0), ("235", 0.0), ("235", 0.25), ("905", 0.0)],
)
def test_touching_digits_are_cut_and_named(network, text, lean) -> None:
    found = read(number(text, 3, lean), network)
    assert text_of(found) == text
    assert TOUCHES in {each.warning for each in found}
    boxes = [each.digit.box for each in found]
    assert all(a[2] <= b[2] and a[0] < b[0] for a, b in itertools.pairwise(boxes))


@pytest.mark.parametrize(("text", "lean"), [("68", 0.25), ("80", 0.0), ("506", 0.25)])
def test_digits_that_cannot_be_cut_have_a_warning(network, text, lean) -> None:
    found = read(number(text, 3, lean), network)
    assert len(found) < len(text)
    assert any(each.warning for each in found)


@pytest.mark.parametrize("text", ["53", "905"])
def test_digits_that_stand_apart_are_not_named_as_touching(network, text) -> None:
    found = read(number(text, -12), network)
    assert text_of(found) == text
    assert all(each.warning != TOUCHES for each in found)


def test_without_many_the_mark_stays_whole() -> None:
    (first, *_) = images.read_image(number("53", 3))
    assert len(first) == 1


@pytest.mark.parametrize("digit", range(10))
def test_a_single_digit_is_not_cut(digit) -> None:
    (first, *_) = images.read_image(number(str(digit), 0), many=True)
    assert len(first) == 1


def test_a_scribble_that_has_no_digits_stays_whole() -> None:
    level = np.zeros((200, 300), np.float32)
    for x in range(40, 260, 4):
        level[60 + x % 7 : 140 - x % 11, x : x + 3] = 1
    picture = Image.fromarray(np.round(230 - 190 * level).astype(np.uint8))
    (first, *_) = images.read_image(picture, many=True)
    assert all(each.warning != TOUCHES for each in first)
