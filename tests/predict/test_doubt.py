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
def test_what_is_no_digit_is_doubted(kind) -> None:
    own_digits = script("own_digits")
    write = glyphs.from_fonts(glyphs.fonts())
    images = []
    for seed in range(50):
        picture = others.OTHERS[kind](np.random.default_rng(seed), write)
        images.append(own_digits.read_plainly(picture).image)
    stack = np.array(images)
    # Named the digit that it is most like.
    assert warned(stack, doubt.unlikeness(stack).argmin(1)) >= 0.85


def test_the_unlikeness_is_that_of_the_layers() -> None:
    image = np.zeros((1, 28, 28), np.uint8)
    image[0, 4:24, 12:16] = 255
    kernel = np.zeros((128, 2), np.float32)
    kernel[:, 0], kernel[:, 1] = 1, -1
    output = np.zeros((2, 11), np.float32)
    output[0, 10], output[0, 1] = 3, 1
    output[1] = 100  # Of a unit below zero nothing comes.
    bias = np.zeros(11, np.float32)
    bias[7] = 5
    table = doubt.Table(kernel, np.array([2, 0], np.float32), output, bias)
    total = doubt.directions(image).sum() + 2
    expected = np.full((1, 10), 3 * total)
    expected[0, 1], expected[0, 7] = 2 * total, 3 * total - 5
    np.testing.assert_allclose(doubt.unlikeness(image, table), expected, rtol=1e-5)


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
    arrays = make_table.make(split, share=0.01)
    assert {name: x.shape for name, x in arrays.items()} == {
        "hidden_kernel": (128, 192),
        "hidden_bias": (192,),
        "output_kernel": (192, 11),
        "output_bias": (11,),
    }
    table = doubt.Table(**arrays)
    far = doubt.unlikeness(split.images[:500], table)
    assert (far.argmin(1) == split.labels[:500]).mean() > 0.85
    # Mirrored and turned digits were among what is no digit.
    other = split.images[np.isin(split.labels, (3, 6, 9))][:200]
    assert (doubt.unlikeness(np.rot90(other, axes=(1, 2)), table).min(1) > 0).mean() > 0.6
    assert (far.min(1) > 0).mean() < 0.2


def test_samples_are_weighed_by_their_group(make_table, data_dir) -> None:
    split = input_pipeline.load("train[:1000]", data_dir)
    write = glyphs.from_fonts(glyphs.fonts())
    samples = make_table.doubt_samples.draw(split, write, share=0.005)
    assert samples.images.shape == (len(samples.labels), 28, 28)
    assert samples.images.dtype == np.uint8
    assert samples.weights.sum() == pytest.approx(1)
    rest = samples.labels == make_table.OTHER
    assert samples.weights[rest].sum() == pytest.approx(0.32)
    assert set(samples.labels[~rest]) == set(range(10))
