"""The order of an epoch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import backend_forms

from mnist_flax.ops import permutation


@pytest.mark.parametrize("platform", backend_forms.PLATFORMS)
@pytest.mark.parametrize("n", [1, 2, 300, 60_000])
def test_a_permutation_is_the_one_of_jax(n, platform):
    key = jax.random.key(5)
    with backend_forms.of(platform):
        order = permutation.permutation(key, n)
    np.testing.assert_array_equal(order, jax.random.permutation(key, n))
    assert order.dtype == jnp.int32


@pytest.mark.parametrize("sort", [permutation.sort_pairs, permutation.sort_places])
def test_of_equal_bits_the_first_stays_first(sort):
    bits = jnp.array([7, 1, 7, 0, 1, 2**32 - 1, 7], jnp.uint32)
    order = jnp.array([6, 5, 4, 3, 2, 1, 0])
    np.testing.assert_array_equal(sort(bits, order), [3, 5, 2, 6, 4, 0, 1])


@pytest.mark.parametrize("platform", ["cpu", "tpu"])
def test_one_sort_is_compiled(platform):
    traced = jax.jit(lambda key: permutation.permutation(key, 60_000)).trace(jax.random.key(0))
    program = traced.lower(lowering_platforms=(platform,)).as_text()
    assert program.count("stablehlo.sort") == 1
