"""Logits for any number of images, scores of a split, and test-time augmentation."""

from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest
from scipy import special

from mnist_flax import augment, inference, input_pipeline, models, plain
from mnist_flax.trained import loading

WEIGHTS = Path(__file__).parent / "fixtures" / "trained.safetensors"


@pytest.fixture(scope="module")
def trained() -> loading.Trained:
    return loading.from_weights(WEIGHTS)


@pytest.mark.parametrize("count", [0, 1, 7, 500, 501, 1003])
def test_logits_of_any_number_of_images(data_dir, trained, count) -> None:
    images = input_pipeline.load("test[:1003]", data_dir).images[:count]
    model = models.ConvNet()
    found = inference.logits(model, trained.variables, images)
    assert (found.shape, found.dtype) == ((count, 10), np.float32)
    if count:
        apply = jax.jit(partial(model.apply, train=False))
        expected = apply(trained.variables, augment.normalize(images))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (np.zeros((3, 28, 28), np.float32), TypeError, "images have dtype float32; uint8 is"),
        (
            np.zeros((3, 28, 28, 1), np.uint8),
            ValueError,
            r"shape \(3, 28, 28, 1\)",
        ),
        (np.zeros((3, 32, 32), np.uint8), ValueError, r"shape \(3, 32, 32\)"),
    ],
)
def test_other_images_are_refused(trained, images, error, message) -> None:
    with pytest.raises(error, match=message):
        inference.logits(models.ConvNet(), trained.variables, images)


@pytest.mark.parametrize("model", [models.ConvNet(), plain.Net()], ids=["fast", "plain"])
def test_a_split_is_scored(data_dir, trained, model) -> None:
    split = input_pipeline.load("test[:700]", data_dir)
    found = inference.evaluate_split(model, trained.variables, split)
    logits = inference.logits(models.ConvNet(), trained.variables, split.images)
    right = logits.argmax(1) == split.labels
    losses = -special.log_softmax(logits, axis=1)[np.arange(700), split.labels]
    assert (found.size, found.correct) == (700, right.sum())
    assert found.loss == pytest.approx(losses.mean(), abs=1e-6)


def test_shifts() -> None:
    image = np.zeros((28, 28), np.uint8)
    image[5, 7], image[0, 0], image[27, 13] = 200, 100, 50
    views = inference.shifted(image[None])
    assert len(views) == 9
    places = {tuple(np.argwhere(view[0] == 200)[0]) for view in views}
    assert places == {(y, x) for y in (4, 5, 6) for x in (6, 7, 8)}
    # A pixel that leaves the image does not appear on the other side.
    assert sum((view == 100).any() for view in views) == 4
    assert sum((view == 50).any() for view in views) == 6
    np.testing.assert_array_equal(views[4][0], image)


def test_tta_is_the_mean_probability(data_dir, trained) -> None:
    images = input_pipeline.load("test[:50]", data_dir).images.copy()
    # So that np.roll shifts black pixels in.
    images[:, [0, -1]] = images[:, :, [0, -1]] = 0
    apply = jax.jit(partial(models.ConvNet().apply, train=False))
    views = []
    for y in (-1, 0, 1):
        for x in (-1, 0, 1):
            moved = np.roll(images, (y, x), (1, 2))
            pixels = (moved[..., None] / np.float32(255) - 0.1307) / 0.3081
            logits = apply(trained.variables, np.float32(pixels))
            views.append(special.softmax(np.asarray(logits, float), axis=1))
    logits_of = partial(inference.logits, models.ConvNet(), trained.variables)
    found = inference.augmented_log_probabilities(logits_of, images)
    np.testing.assert_allclose(np.exp(found), np.mean(views, axis=0), rtol=0, atol=1e-5)
