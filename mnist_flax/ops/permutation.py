"""Draws a permutation that compiles soon."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from mnist_flax.ops import backends


def permutation(key: jax.Array, n: int) -> jax.Array:
    """Draws the numbers 0 to n - 1 in the order of jax.random.permutation(key, n).

    That sorts by fresh random bits, several times, as 32 bits may be equal. Here the sorts are
    rounds of a loop, so that there is one of them to compile, which takes seconds for a TPU.

    Args:
      key: a PRNG key.
      n: at least 1.

    Returns:
      int32[n].
    """
    rounds = math.ceil(3 * math.log(n) / math.log(np.iinfo(np.uint32).max))

    def sort(_: int, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        key, order = carry
        key, bits_key = jax.random.split(key)
        bits = jax.random.bits(bits_key, (n,), jnp.uint32)
        order = backends.choose(bits, order, cpu=sort_pairs, gpu=sort_pairs, tpu=sort_places)
        return key, order

    return lax.fori_loop(0, rounds, sort, (key, jnp.arange(n)))[1]


def sort_pairs(bits: jax.Array, order: jax.Array) -> jax.Array:
    """Sorts numbers by random bits, for CPU and GPU; of equal bits the first stays first."""
    return lax.sort_key_val(bits, order)[1]


def sort_places(bits: jax.Array, order: jax.Array) -> jax.Array:
    """Sorts the same for TPU, which would sort a third array, the places, to keep equals apart.

    Its compiler takes two thirds of the time for two.
    """
    _, places = lax.sort((bits, lax.iota(jnp.int32, len(bits))), num_keys=2, is_stable=False)
    return order[places]
