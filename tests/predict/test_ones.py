"""1s with a long flag, which the network reads as 7s, are told from 7s."""

import numpy as np
import pytest
from helpers.drawings import one
from PIL import Image, ImageDraw

from mnist_flax import input_pipeline
from mnist_flax.predict import answers, images, ones


def picture(strokes: list[list[tuple[float, float]]]) -> Image.Image:
    """Strokes of a pen, black on white."""
    sheet = Image.new("L", (300, 300), 255)
    pen = ImageDraw.Draw(sheet)
    for stroke in strokes:
        pen.line([(50 + 2 * x, 50 + 2 * y) for x, y in stroke], fill=0, width=12, joint="curve")
    return sheet


@pytest.mark.parametrize(("flag", "drop"), [(0.4, 0.3), (0.5, 0.2), (0.5, 0.3)])
@pytest.mark.parametrize("lean", [0, 0.1])
def test_flagged_ones(network, flag, drop, lean) -> None:
    read = images.read_image(picture(one(flag, drop, lean)))
    (found,) = answers.answer([read], network)
    first = answers.single(found)
    assert first.best_two[0][0] in (1, 7)
    assert first.best_two[0][0] == 1 or first.warning == ones.WARNING


def test_few_sevens_are_doubted(network, data_dir) -> None:
    split = input_pipeline.load("test", data_dir)
    sevens = split.images[split.labels == 7]
    doubted = [ones.may_be_one(*each) for each in zip(sevens, network(sevens), strict=True)]
    print(f"doubted {sum(doubted)} of {len(doubted)} sevens")
    assert 0 < np.mean(doubted) < 0.02


@pytest.mark.parametrize("order", [(1, 7), (7, 2), (4, 1)])
def test_only_sevens_that_could_be_ones(order) -> None:
    image = images.read_image(picture(one(0.5, 0.2)))[0][0].image
    logits = np.zeros(10)
    logits[[7, 1]] = 2, 1
    assert ones.may_be_one(image, logits)
    assert not ones.may_be_one(np.zeros_like(image), logits)
    logits = np.zeros(10)
    logits[list(order)] = 2, 1
    assert not ones.may_be_one(image, logits)


def test_a_level_bar_and_a_leaning_stem_are_a_7s() -> None:
    logits = np.zeros(10)
    logits[[7, 1]] = 2, 1
    for strokes in (one(0.5, 0.02), one(0.5, 0.2, lean=0.5)):
        image = images.read_image(picture(strokes))[0][0].image
        assert not ones.may_be_one(image, logits)
