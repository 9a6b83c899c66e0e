"""Each operation against its textbook form, values and gradients."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import backend_forms
from jax import lax

from mnist_flax.ops import convolution, layers

pytestmark = pytest.mark.usefixtures("exact_products")


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def assert_close(actual, expected, tolerance=2e-5):
    """Largest difference as a share of the largest value."""
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert a.shape == b.shape
        assert float(jnp.abs(a - b).max()) <= tolerance * float(jnp.abs(b).max())


# As in the loops of a run. conftest.py turns it off where XLA knows it, and sums are less exact
# then.
EXACT_SUMS = {"xla_cpu_use_fusion_emitters": True} if jax.__version_info__ < (0, 11) else {}


def with_gradients(f, arguments, cotangent, options=None):
    """The value of f and its gradients, by one program: single operations compile longer."""

    @partial(jax.jit, compiler_options=options)
    def both(arguments, cotangent):
        value, vjp = jax.vjp(f, *arguments)
        return value, vjp(cotangent)

    return both(arguments, cotangent)


def textbook_conv(x, kernel):
    dimensions = ("CHWN", "HWIO", "CHWN")
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=dimensions)


@pytest.mark.parametrize("platform", backend_forms.PLATFORMS)
@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize(("channels", "features"), [(1, 8), (8, 16), (5, 3)])
@pytest.mark.parametrize("shape", [(6, 6), (7, 4)])
def test_conv_and_its_gradients(size, channels, features, shape, platform):
    x = normal(0, channels, *shape, 3)
    kernel = normal(1, size, size, channels, features)
    dy = normal(2, features, *shape, 3)
    with backend_forms.of(platform):
        actual = with_gradients(convolution.conv, (x, kernel), dy)
    assert_close(actual, with_gradients(textbook_conv, (x, kernel), dy))


@pytest.mark.parametrize("platform", backend_forms.PLATFORMS)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(jnp.bfloat16, 2**-8), (jnp.float32, 2e-5), (jnp.float64, 1e-13)]
)
@pytest.mark.parametrize("channels", [1, 8])
def test_conv_of_each_type(channels, dtype, tolerance, platform):
    """The kernel is float32 also where the activations are bfloat16."""
    wide = jnp.promote_types(dtype, jnp.float32)
    with jax.enable_x64(dtype == jnp.float64):
        rng = np.random.default_rng(0)
        x, dy, kernel = (
            # Exact in bfloat16, so that the textbook starts from the same numbers.
            jnp.asarray(rng.normal(size=shape), jnp.bfloat16).astype(wide)
            for shape in ((channels, 6, 8, 5), (4, 6, 8, 5), (3, 3, channels, 4))
        )
        with backend_forms.of(platform):
            given = (x.astype(dtype), kernel)
            actual = with_gradients(convolution.conv, given, dy.astype(dtype))
        assert [each.dtype for each in jax.tree.leaves(actual)] == [dtype, dtype, wide]
        expected = with_gradients(textbook_conv, (x, kernel), dy)
        assert_close(jax.tree.map(lambda each: each.astype(wide), actual), expected, tolerance)


@pytest.mark.parametrize("platform", backend_forms.PLATFORMS)
def test_conv_in_a_loop_of_many_seeds(platform):
    """As `bench` and `sweep` run it: vmap around a loop around the gradients."""
    x, kernels = normal(0, 2, 3, 6, 6, 5), normal(1, 2, 3, 3, 3, 3)

    def train(conv, x, kernel):
        def body(_, kernel):
            return kernel - 0.01 * jax.grad(lambda k: jnp.square(conv(x, k)).mean())(kernel)

        return lax.fori_loop(0, 3, body, kernel)

    expected = jnp.stack([train(textbook_conv, *each) for each in zip(x, kernels, strict=True)])
    with backend_forms.of(platform):
        actual = jax.jit(jax.vmap(lambda *each: train(convolution.conv, *each)))(x, kernels)
    assert_close(actual, expected)


@pytest.mark.parametrize(
    ("platform", "seeds", "own", "other"),
    [
        ("cpu", None, "dot_general", "convolution"),
        ("tpu", None, "convolution", "dot_general"),
        ("cuda", None, "convolution", "dot_general"),
        # Several networks on a GPU, each with its own kernel.
        ("cuda", 2, "dot_general", "convolution"),
        ("tpu", 2, "convolution", "dot_general"),
    ],
)
def test_a_program_holds_the_form_of_its_platform_alone(platform, seeds, own, other):
    def gradients(x, kernel):
        y, vjp = jax.vjp(convolution.conv, x, kernel)
        return vjp(y)

    several = (seeds,) if seeds else ()
    function = jax.jit(jax.vmap(gradients) if seeds else gradients)
    traced = function.trace(normal(0, *several, 3, 6, 6, 5), normal(1, *several, 3, 3, 3, 4))
    program = traced.lower(lowering_platforms=(platform,)).as_text()
    assert f"stablehlo.{own}" in program
    assert f"stablehlo.{other}" not in program


def per_channel(*values):
    return jnp.array(values, jnp.float32).reshape(-1, 1, 1, 1)


def textbook_batch_norm(y, scale, bias):
    mean, var = (f((1, 2, 3), keepdims=True) for f in (y.mean, y.var))
    scale, bias = (x.reshape(-1, 1, 1, 1) for x in (scale, bias))
    return (y - mean) / jnp.sqrt(var + 1e-5) * scale + bias


def textbook_max_pool(z):
    pooled = nn.max_pool(z.transpose(3, 1, 2, 0), (2, 2), (2, 2))
    return pooled.transpose(3, 1, 2, 0)


def textbook_batch_norm_relu(y, scale, bias, pool):
    z = nn.relu(textbook_batch_norm(y, scale, bias))
    return textbook_max_pool(z) if pool else z


@pytest.mark.parametrize("platform", backend_forms.PLATFORMS)
@pytest.mark.parametrize("pool", [False, True])
def test_batch_norm_relu_and_its_gradients(pool, platform):
    # Means as far from zero as ten standard deviations: the variance loses digits then.
    y = normal(0, 4, 6, 8, 5) * per_channel(1, 2, 0.1, 1) + per_channel(0, 20, -1, 0)
    # A negative scale turns the order within a window around.
    scale, bias = jnp.array([1.0, 0.5, -1.5, 0.0]), jnp.array([0.1, -0.2, 0.3, 0.4])
    with backend_forms.of(platform):
        shape = (4, 3, 4, 5) if pool else y.shape
        dout, zero = normal(1, *shape), jnp.zeros(4)
        (out, mean, var), got = with_gradients(
            lambda *args: layers.batch_norm_relu(*args, pool),
            (y, scale, bias),
            (dout, zero, zero),
            EXACT_SUMS,
        )
    expected, want = with_gradients(
        lambda *args: textbook_batch_norm_relu(*args, pool), (y, scale, bias), dout, EXACT_SUMS
    )
    # XLA on CPU adds pairs one after the other, which is less exact than its other sums.
    tolerance = 2e-4 if platform == "gpu" else 2e-5
    assert_close(out, expected, tolerance)
    assert_close((mean, var), (y.mean((1, 2, 3)), y.var((1, 2, 3))), tolerance)
    # Of the channel with scale 0 every window is a draw: which corner counts is a convention.
    got_3, want_3 = ((x[0][:3], x[1][:3], x[2]) for x in (got, want))
    assert_close(got_3, want_3, tolerance)
    assert all(bool(jnp.isfinite(x).all()) for x in got)


@pytest.mark.parametrize("platform", backend_forms.PLATFORMS)
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float64])
def test_batch_norm_relu_of_each_type(dtype, platform):
    """Statistics and parameters are float32 also where the activations are bfloat16."""
    wide = jnp.promote_types(dtype, jnp.float32)
    with jax.enable_x64(dtype == jnp.float64):
        rng = np.random.default_rng(0)
        y, dout = (
            jnp.asarray(rng.normal(size=shape), jnp.bfloat16).astype(wide)
            for shape in ((4, 6, 8, 5), (4, 3, 4, 5))
        )
        scale, bias = jnp.asarray(rng.normal(size=(2, 4)), wide)
        with backend_forms.of(platform):
            zero = jnp.zeros(4, wide)
            (out, mean, var), got = with_gradients(
                lambda *args: layers.batch_norm_relu(*args, True),
                (y.astype(dtype), scale, bias),
                (dout.astype(dtype), zero, zero),
            )
        types = [x.dtype for x in (out, got[0], mean, var, *got[1:])]
        assert types == [dtype] * 2 + [wide] * 4
        expected, want = with_gradients(
            lambda *args: textbook_batch_norm_relu(*args, True), (y, scale, bias), dout
        )
        # Values that bfloat16 holds twice are a draw in a window; of these there is none.
        tolerance = 1e-12 if dtype == jnp.float64 else 2**-7
        assert_close(out.astype(wide), expected, tolerance)
        got = [x.astype(wide) for x in got]
        assert_close(got, want, tolerance)


def test_a_constant_channel_has_no_negative_variance():
    # Squares of 1000 and their mean differ by rounding, which is more than epsilon.
    out, _, var = layers.batch_norm_relu(
        jnp.full((1, 6, 6, 7), 1000.1), jnp.ones(1), jnp.full(1, 0.5), False
    )
    assert float(var[0]) >= 0
    assert bool(jnp.isfinite(out).all())


def test_the_first_of_equal_values_takes_the_gradient_of_a_pooling():
    y = jnp.zeros((1, 4, 4, 2)).at[:, 2:, 2:].set(1.0).at[0, 0, 1, 1].set(1.0)
    scale, bias = jnp.ones(1), jnp.full(1, 5.0)
    dout = normal(3, 1, 2, 2, 2)
    _, (dy,) = with_gradients(
        lambda y: layers.batch_norm_relu(y, scale, bias, True)[0], (y,), dout
    )
    _, (expected,) = with_gradients(
        lambda y: nn.relu(textbook_first_of_four(y, scale, bias)), (y,), dout
    )
    assert_close(dy, expected)


def textbook_first_of_four(y, scale, bias):
    z = textbook_batch_norm(y, scale, bias)
    c, h, w, n = z.shape
    windows = z.reshape(c, h // 2, 2, w // 2, 2, n).transpose(0, 1, 3, 5, 2, 4)
    windows = windows.reshape(c, h // 2, w // 2, n, 4)
    # argmax takes the first of equals.
    first = jnp.argmax(windows, -1)[..., None]
    return jnp.take_along_axis(windows, first, -1)[..., 0]


def test_max_pool():
    z = normal(0, 3, 6, 4, 2)
    np.testing.assert_array_equal(layers.max_pool(z), textbook_max_pool(z))


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.5, 0.9])
def test_dropout_zeroes_its_share_and_keeps_the_mean(rate):
    n = 2**20
    out = layers.dropout(jax.random.key(0), jnp.ones((n // 16, 16)), rate)
    dropped = float((out == 0).mean())
    # Five standard deviations of a binomial share.
    assert abs(dropped - rate) <= 5 * (rate * (1 - rate) / n) ** 0.5
    kept = np.unique(out[out != 0])
    assert len(kept) == 1
    assert kept[0] == pytest.approx(1 / (1 - rate), rel=1e-6)


def dropped_entries(seed, rate, shape):
    return np.asarray(layers.dropout(jax.random.key(seed), jnp.ones(shape), rate) == 0)


@pytest.mark.parametrize("distance", [1, 2, 3, 4, 7, 8, 14, 16, 49, 128, 1792, 25088, 2**16])
def test_entries_drop_independently(distance):
    # The distances are those between neighbours in a batch, a row, a column and a channel.
    rate, n = 0.25, 2**22
    zero = dropped_entries(distance, rate, n)
    both = (zero[distance:] & zero[:-distance]).mean()
    sd = (rate**2 * (1 - rate**2) / (n - distance)) ** 0.5
    # Pairs overlap, which widens the spread of their share, to less than twice.
    assert abs(both - rate**2) <= 10 * sd


def test_an_entry_drops_independently_from_step_to_step():
    rate, shape, steps = 0.25, 4096, 512
    keys = jax.random.split(jax.random.key(0), steps)
    drop = jax.jit(jax.vmap(lambda key: layers.dropout(key, jnp.ones(shape), rate)))
    zero = np.asarray(drop(keys) == 0)
    # Chi-square of each entry's count over the steps: mean 1, variance 2/(steps*shape) or so.
    counts = zero.sum(0)
    chi = ((counts - rate * steps) ** 2 / (rate * (1 - rate) * steps)).mean()
    assert abs(chi - 1) <= 5 * (2 / shape) ** 0.5
    both = (zero[1:] & zero[:-1]).mean()
    assert abs(both - rate**2) <= 10 * (rate**2 / zero.size) ** 0.5


def test_dropout_depends_on_its_key_alone():
    first, again, other = (dropped_entries(k, 0.5, (64, 8)) for k in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
