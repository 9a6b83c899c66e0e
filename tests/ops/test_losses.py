"""The loss against optax's, values and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import backend_forms

from mnist_flax.ops import losses


@pytest.mark.parametrize("platform", backend_forms.PLATFORMS)
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32, jnp.float64])
def test_cross_entropy_is_that_of_optax(dtype, platform):
    with jax.enable_x64(dtype == jnp.float64):
        rng = np.random.default_rng(0)
        logits = jnp.asarray(9 * rng.normal(size=(64, 10)), dtype)
        labels = jnp.asarray(rng.integers(0, 10, 64), jnp.int32)
        weights = jnp.asarray(rng.normal(size=64), dtype)
        with backend_forms.of(platform):
            actual, vjp = jax.vjp(lambda logits: losses.cross_entropy(logits, labels), logits)
            (gradient,) = vjp(weights)
        textbook = optax.softmax_cross_entropy_with_integer_labels
        expected, expected_vjp = jax.vjp(lambda logits: textbook(logits, labels), logits)
        assert actual.dtype == gradient.dtype == dtype
        # Both pick one of ten numbers: they differ by no more than the order of two sums.
        tolerance = 4 * float(jnp.finfo(dtype).eps)
        np.testing.assert_allclose(actual, expected, rtol=tolerance)
        (expected_gradient,) = expected_vjp(weights)
        np.testing.assert_allclose(gradient, expected_gradient, rtol=tolerance, atol=tolerance)
