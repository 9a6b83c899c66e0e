"""The forms of each operation return the same bits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import backend_forms

from mnist_flax import augment
from mnist_flax import config as config_lib
from mnist_flax.ops import pixels


def random_images(n):
    return jnp.asarray(np.random.default_rng(0).integers(0, 256, (n, 28, 28)), jnp.uint8)


def textbook_nearest(images, x, y):
    """Pixel by pixel."""
    out = np.zeros_like(images)
    for (n, row, column), _ in np.ndenumerate(out):
        old_x = x[n, row % x.shape[1], column]
        old_y = y[n, row, column % y.shape[2]]
        if 0 <= old_x < 28 and 0 <= old_y < 28:
            out[n, row, column] = images[n, old_y, old_x]
    return out


@pytest.mark.parametrize("platform", backend_forms.PLATFORMS)
@pytest.mark.parametrize(
    ("x_shape", "y_shape"), [((3, 28, 28), (3, 28, 28)), ((3, 1, 28), (3, 28, 1))]
)
def test_nearest(x_shape, y_shape, platform):
    images = random_images(3)
    rng = np.random.default_rng(1)
    x, y = (rng.integers(-5, 33, shape).astype(np.int32) for shape in (x_shape, y_shape))
    with backend_forms.of(platform):
        actual = pixels.nearest(images, jnp.asarray(x), jnp.asarray(y))
    assert actual.dtype == jnp.uint8
    np.testing.assert_array_equal(actual, textbook_nearest(np.asarray(images), x, y))


@pytest.mark.parametrize("jit", [False, True])
def test_quotients_are_rounded_once(jit):
    divide = jax.jit(pixels.divide, static_argnums=1) if jit else pixels.divide
    # All that augment.normalize divides: a compiler may fuse products and sums, or not.
    pixel = np.arange(256, dtype=np.float32)
    unit = pixel / np.float32(255)
    np.testing.assert_array_equal(divide(pixel, 255), unit)
    centred = unit - np.float32(augment.MEAN)
    expected = centred / np.float32(augment.STD)
    np.testing.assert_array_equal(divide(centred, augment.STD), expected)


@pytest.mark.parametrize("platform", backend_forms.PLATFORMS)
def test_an_augmented_batch_has_the_same_bits(platform):
    config = config_lib.load(config_lib.default_path()).augment
    images = random_images(64)
    params = augment.sample_params(jax.random.key(0), len(images), config)

    def batch(images, params):
        return augment.normalize(augment.apply(images, params, crop_size=config.crop_size))

    with backend_forms.of(platform):
        actual = jax.jit(lambda *args: batch(*args))(images, params)
    np.testing.assert_array_equal(actual, jax.jit(batch)(images, params))


@pytest.mark.parametrize("platform", backend_forms.PLATFORMS)
def test_settled_images_are_the_same(platform):
    images = random_images(2)
    with backend_forms.of(platform):
        np.testing.assert_array_equal(pixels.settle(images), images)
