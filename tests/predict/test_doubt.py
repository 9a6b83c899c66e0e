"""Images of a digit are told from images of anything else."""

import numpy as np
import pytest
from helpers.benchmark_scripts import script
from helpers.own_digits import glyphs, others

from mnist_flax import input_pipeline
from mnist_flax.predict import doubt


@pytest.fixture(scope="module")
def make_table():
    return script("doubt_table")


def warned(images: np.ndarray, answers: np.ndarray) -> float:
    return float(np.mean([x is not None for x in doubt.warnings_for(images, answers)]))


def test_the_test_images_are_seldom_doubted(data_dir) -> None:
    split = input_pipeline.load("test[:2000]", data_dir)
    assert warned(split.images, split.labels) <= 0.03
    # Under another digit's name nearly all of them are.
    assert warned(split.images, (split.labels + 1) % 10) >= 0.9
    nearest = doubt.unlikeness(split.images).argmin(1)
    assert (nearest == split.labels).mean() >= 0.95


@pytest.mark.parametrize("kind", ["letter", "word", "two digits", "scribble", "dash", "dot"])
def test_what_is_no_digit_is_doubted(make_table, kind) -> None:
    write = glyphs.from_fonts(glyphs.fonts())
    images = []
    for seed in range(50):
        picture = others.OTHERS[kind](np.random.default_rng(seed), write)
        images.append(make_table.own_digits.read_plainly(picture).image)
    stack = np.array(images)
    # Named the digit that it is most like.
    assert warned(stack, doubt.unlikeness(stack).argmin(1)) >= 0.85


def test_the_warning_names_the_digit() -> None:
    blank = np.zeros((2, 28, 28), np.uint8)
    assert doubt.warnings_for(blank, np.array([3, 8])) == [
        "it does not look like a 3",
        "it does not look like an 8",
    ]
    assert doubt.warnings_for(blank[:0], np.zeros(0, int)) == []


@pytest.mark.parametrize(("turns", "direction"), [(0, 2), (1, 0), (2, 6), (3, 4)])
def test_an_edge_has_its_direction(turns, direction) -> None:
    # Ink below a level edge: the gradient points down, a quarter turn from the first direction.
    image = np.zeros((28, 28), np.uint8)
    image[14:] = 255
    inner = doubt.directions(np.rot90(image, turns)[None])[0].reshape(8, 4, 4)[:, 1:3, 1:3]
    assert inner.sum((1, 2)).argmax() == direction
    assert inner[direction].sum() > 0.9 * inner.sum()


def test_a_table_of_few_images_tells_digits_apart(make_table, data_dir) -> None:
    split = input_pipeline.load("train[:4000]", data_dir)
    arrays = make_table.make(split, share=0.02)
    assert {name: x.shape for name, x in arrays.items()} == {
        "mean": (128,),
        "components": (128, 90),
        "centres": (11, 90),
        "whiten": (11, 90, 90),
        "offsets": (11,),
    }
    table = doubt.Table(**arrays, limit=np.array(0.0))
    nearest = doubt.unlikeness(split.images[:500], table).argmin(1)
    assert (nearest == split.labels[:500]).mean() > 0.85
    limit = make_table.limit(table, split, None, 4, 0.1)
    scores = make_table.limit(table, split, None, 4, 0.5)
    assert limit > scores


def test_the_fit_is_a_gaussian_of_each_group(make_table) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(2000) % 10
    digits = rng.normal(size=(2000, 6)) * 0.1 + np.eye(10, 6)[labels] * 3
    arrays = make_table.fit(digits, labels, rng.normal(size=(300, 6)), components=4)
    for digit in range(10):
        places = (digits[labels == digit] - arrays["mean"]) @ arrays["components"]
        white = (places - arrays["centres"][digit]) @ arrays["whiten"][digit]
        # The ridge takes a twentieth of the variance.
        assert np.abs(np.cov(white.T) - np.eye(4)).max() < 0.2
        sign, log = np.linalg.slogdet(arrays["whiten"][digit])
        assert -2 * sign * log == pytest.approx(arrays["offsets"][digit])
