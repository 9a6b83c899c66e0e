"""Each operation against its textbook form, values and gradients."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from mnist_flax import layers


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def assert_close(actual, expected, tolerance=2e-5):
    """Largest difference as a share of the largest value."""
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert a.shape == b.shape
        assert float(jnp.abs(a - b).max()) <= tolerance * float(jnp.abs(b).max())


def textbook_conv(x, kernel):
    dimensions = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=dimensions)


@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize(("channels", "features"), [(1, 8), (8, 16), (5, 3)])
@pytest.mark.parametrize("shape", [(6, 6), (7, 4)])
def test_conv_and_its_gradients(size, channels, features, shape):
    x = normal(0, 3, *shape, channels)
    kernel = normal(1, size, size, channels, features)
    dy = normal(2, 3, *shape, features)
    actual, actual_vjp = jax.vjp(layers.conv, x, kernel)
    expected, expected_vjp = jax.vjp(textbook_conv, x, kernel)
    assert_close(actual, expected)
    assert_close(actual_vjp(dy), expected_vjp(dy))


def textbook_batch_norm(y, scale, bias):
    mean, var = (f((0, 1, 2), keepdims=True) for f in (y.mean, y.var))
    scale, bias = (x.reshape(1, 1, 1, -1) for x in (scale, bias))
    return (y - mean) / jnp.sqrt(var + 1e-5) * scale + bias


def textbook_batch_norm_relu(y, scale, bias, pool):
    z = nn.relu(textbook_batch_norm(y, scale, bias))
    return nn.max_pool(z, (2, 2), (2, 2)) if pool else z


@pytest.mark.parametrize("pool", [False, True])
def test_batch_norm_relu_and_its_gradients(pool):
    # A mean far from zero: a variance from E[y^2] - E[y]^2 would lose most of its digits.
    y = normal(0, 5, 6, 8, 4) * jnp.array([[[[1, 2, 0.1, 1]]]])
    y += jnp.array([[[[0, 30, -2, 0]]]])
    # A negative scale turns the order within a window around.
    scale, bias = jnp.array([1.0, 0.5, -1.5, 0.0]), jnp.array([0.1, -0.2, 0.3, 0.4])
    (out, mean, var), vjp = jax.vjp(
        lambda *args: layers.batch_norm_relu(*args, pool), y, scale, bias
    )
    expected, expected_vjp = jax.vjp(
        lambda *args: textbook_batch_norm_relu(*args, pool), y, scale, bias
    )
    assert_close(out, expected)
    assert_close((mean, var), (y.mean((0, 1, 2)), y.var((0, 1, 2))))
    dout = normal(1, *out.shape)
    # Of the channel with scale 0 every window is a draw: which corner counts is a convention.
    got, want = vjp((dout, mean * 0, var * 0)), expected_vjp(dout)
    assert_close(
        (got[0][..., :3], got[1][:3], got[2]), (want[0][..., :3], want[1][:3], want[2])
    )
    assert all(bool(jnp.isfinite(x).all()) for x in got)


def test_the_first_of_equal_values_takes_the_gradient_of_a_pooling():
    y = jnp.zeros((2, 4, 4, 1)).at[:, 2:, 2:].set(1.0).at[1, 0, 1].set(1.0)
    scale, bias = jnp.ones(1), jnp.full(1, 5.0)
    # Only d(out)/d(bias) times one is asked: through it, which pixel of each window was chosen.
    _, vjp = jax.vjp(lambda y: layers.batch_norm_relu(y, scale, bias, True)[0], y)
    (dy,) = vjp(normal(3, 2, 2, 2, 1))
    _, vjp = jax.vjp(lambda y: nn.relu(textbook_first_of_four(y, scale, bias)), y)
    (expected,) = vjp(normal(3, 2, 2, 2, 1))
    assert_close(dy, expected)


def textbook_first_of_four(y, scale, bias):
    z = textbook_batch_norm(y, scale, bias)
    n, h, w, c = z.shape
    windows = z.reshape(n, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 5, 2, 4)
    windows = windows.reshape(n, h // 2, w // 2, c, 4)
    # argmax takes the first of equals.
    first = jnp.argmax(windows, -1)[..., None]
    return jnp.take_along_axis(windows, first, -1)[..., 0]


def test_max_pool():
    z = normal(0, 2, 6, 4, 3)
    np.testing.assert_array_equal(layers.max_pool(z), nn.max_pool(z, (2, 2), (2, 2)))


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.5, 0.9])
def test_dropout_zeroes_its_share_and_keeps_the_mean(rate):
    n = 2**20
    out = layers.dropout(jax.random.key(0), jnp.ones((n // 16, 16)), rate)
    dropped = float((out == 0).mean())
    # Five standard deviations of a binomial share.
    assert abs(dropped - rate) <= 5 * (rate * (1 - rate) / n) ** 0.5
    kept = np.unique(out[out != 0])
    assert len(kept) == 1
    assert kept[0] == pytest.approx(1 / (1 - rate), rel=1e-4)


def test_entries_that_share_random_bits_drop_all_but_independently():
    rate, n = 0.05, 2**22
    zero = np.asarray(layers.dropout(jax.random.key(1), jnp.ones(n), rate) == 0).reshape(-1, 4)
    for a in range(4):
        for b in range(a):
            both = (zero[:, a] & zero[:, b]).mean()
            expected_sd = rate * (4 / n) ** 0.5
            assert abs(both - rate**2) <= 5 * expected_sd + rate * 2**-8


def test_dropout_depends_on_its_key_alone():
    x = jnp.ones((64, 8))
    first, again, other = (layers.dropout(jax.random.key(k), x, 0.5) for k in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
