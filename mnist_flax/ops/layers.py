"""Defines batch norm, ReLU, max pooling and dropout, with gradients shaped for speed.

Activations are [C,H,W,N], the batch last: a shift along the height or the width then moves
whole rows of N numbers, each channel's statistics are sums over one block of memory, and every
loop vectorizes over the batch. Batch norm, ReLU and max pooling share one gradient, to pass
over the large arrays less often.

The network's convolutions are in `convolution`. docs/SPEED.md has the measurements on CPU,
docs/ACCELERATORS.md the compilers' estimates for GPU and TPU.

`plain.Net` is the same network in stock Linen; `python -m mnist_flax.bench --compare plain`
times both. In one try on a busy CPU a step in a loop took 56 ms with these layers and 1,589 ms
with stock Linen; alone 64 ms and 139 ms. Two results differ: the running variance here is
unbiased, as in PyTorch, and dropout takes its random bits from a hash of the key and the
position.

Each operation computes what its textbook form computes, to rounding; tests/ops/test_layers.py
compares both forms of it.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from mnist_flax.ops import backends
from mnist_flax.ops.convolution import sum_type
from mnist_flax.parallel import sharding

EPSILON = 1e-5  # of batch norm, as in PyTorch


def _corners(z: jax.Array) -> list[jax.Array]:
    """Splits [C,H,W,N] into the four pixels of each 2x2 window: four times [C,H/2,W/2,N]."""
    channels, height, width, n = z.shape
    z = z.reshape(channels, height // 2, 2, width // 2, 2, n)
    return [z[:, :, i, :, j] for i in (0, 1) for j in (0, 1)]


def max_pool(z: jax.Array) -> jax.Array:
    """Takes the largest value of each 2x2 window: [C,H,W,N] to [C,H/2,W/2,N], H, W even."""
    a, b, c, d = _corners(z)
    return jnp.maximum(jnp.maximum(a, b), jnp.maximum(c, d))


def _peaks(y: jax.Array, factor: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Finds in each 2x2 window the value that is largest once multiplied, and its place.

    Of equal values the first counts, as in PyTorch; a blank corner of an image has many.

    Args:
      y: float[C,H,W,N].
      factor: float[C,1,1,1].

    Returns:
      float[C,H/2,W/2,N]; uint8[C,H/2,W/2,N], 0 to 3.
    """

    def larger(
        a: tuple[jax.Array, jax.Array], b: tuple[jax.Array, jax.Array]
    ) -> tuple[jax.Array, jax.Array]:
        first = a[0] * factor >= b[0] * factor
        return jnp.where(first, a[0], b[0]), jnp.where(first, a[1], b[1])

    a, b, c, d = ((value, jnp.uint8(i)) for i, value in enumerate(_corners(y)))
    return larger(larger(a, b), larger(c, d))


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def batch_norm_relu(
    y: jax.Array, scale: jax.Array, bias: jax.Array, pool: bool
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Applies batch norm by the batch's statistics, ReLU and, if pool, 2x2 max pooling.

    Ioffe and Szegedy 2015, https://arxiv.org/abs/1502.03167, algorithm 1. The variance is the
    mean of the squares less the square of the mean, as in Flax: one pass instead of two, and
    exact to 1e-7 times 1 + mean^2/variance.

    Args:
      y: float[C,H,W,N]; H and W even if pool.
      scale: float32[C].
      bias: float32[C].
      pool: whether to pool.

    Returns:
      The result, of the type of y, [C,H,W,N] or [C,H/2,W/2,N]; the mean and the biased variance
      of y, float32[C] each, through which no gradient flows.
    """
    return _batch_norm_relu_forward(y, scale, bias, pool)[0]


def _per_channel(x: jax.Array) -> jax.Array:
    return x.reshape(-1, 1, 1, 1)


def _channel_sums(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Sums two arrays [C,H,W,N] over all axes but the channels: [C,1,1,1] each."""
    return backends.choose(
        a, b, cpu=two_channel_sums, gpu=channel_sums_at_once, tpu=two_channel_sums
    )


def two_channel_sums(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Computes one sum for each array, for CPU and TPU."""
    return a.sum((1, 2, 3), keepdims=True), b.sum((1, 2, 3), keepdims=True)


def channel_sums_at_once(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Computes one sum of pairs, for GPU: two kernels in all, instead of three."""

    def sums(a: jax.Array, b: jax.Array) -> jax.Array:
        zero = jnp.zeros((), a.dtype)
        both = lax.reduce(
            (a, b), (zero, zero), lambda x, y: (x[0] + y[0], x[1] + y[1]), (1, 2, 3)
        )
        return jnp.stack(both)

    first, second = sharding.sum_over_batch(sums, a, b)
    return _per_channel(first), _per_channel(second)


def _batch_norm_relu_forward(y, scale, bias, pool):  # type: ignore[no-untyped-def]
    wide = y.astype(sum_type(y))
    count = y.size // y.shape[0]
    total, squares = (x / count for x in _channel_sums(wide, jnp.square(wide)))
    mean, var = total, squares - jnp.square(total)
    var = jnp.maximum(var, 0)
    factor = _per_channel(scale) * lax.rsqrt(var + EPSILON)
    peak, which = _peaks(wide, factor) if pool else (wide, None)
    out = jnp.maximum(peak * factor + (_per_channel(bias) - mean * factor), 0).astype(y.dtype)
    peak = peak.astype(y.dtype)
    return (out, mean.ravel(), var.ravel()), (y, peak, which, mean, var, scale, out)


def _batch_norm_relu_backward(pool, residuals, cotangents):  # type: ignore[no-untyped-def]
    """The paper's section 3, simplified; a window's gradient goes to its largest corner."""
    y, peak, which, mean, var, scale, out = residuals
    inv_std = lax.rsqrt(var + EPSILON)
    dz = jnp.where(out > 0, cotangents[0], 0).astype(mean.dtype)
    # The sums need the pooled arrays only: elsewhere dz is zero.
    dbias, dpeak = _channel_sums(dz, dz * peak)
    dscale = (dpeak - mean * dbias) * inv_std
    if pool:
        corner = jnp.arange(4, dtype=jnp.uint8).reshape(1, 1, 2, 1, 2, 1)
        chosen = which[:, :, None, :, None] == corner
        dz = jnp.where(chosen, dz[:, :, None, :, None], 0).reshape(y.shape)
    count = y.size // y.shape[0]
    dy = dz - dbias / count - (y - mean) * (inv_std * dscale / count)
    dy = (_per_channel(scale) * inv_std * dy).astype(y.dtype)
    return dy, dscale.ravel(), dbias.ravel()


batch_norm_relu.defvjp(_batch_norm_relu_forward, _batch_norm_relu_backward)


def dropout(key: jax.Array, x: jax.Array, rate: float) -> jax.Array:
    """Sets a share of x to zero, each entry by itself, and scales the rest to keep the mean.

    An entry's random word hashes its position with two words drawn from the key. Threefry for
    every entry would take a tenth of a training step on CPU. The hash is Wellons's lowbias32,
    https://github.com/skeeto/hash-prospector, once with each word of the key.

    Args:
      key: a PRNG key.
      x: float[...].
      rate: the share, in [0, 1); exact to 2**-32.

    Returns:
      float[...] of the shape and type of x.
    """
    if not rate:
        return x
    first, second = jax.random.bits(key, (2,), jnp.uint32)
    position = lax.iota(jnp.uint32, x.size).reshape(x.shape)
    keep = _lowbias32(_lowbias32(position + first) + second) >= jnp.uint32(rate * 2**32)
    return jnp.where(keep, x / (1 - rate), 0).astype(x.dtype)


def _lowbias32(word: jax.Array) -> jax.Array:
    """A bijection of uint32 in which each bit of the input turns half of the output's bits."""
    word = (word ^ (word >> 16)) * jnp.uint32(0x7FEB352D)
    word = (word ^ (word >> 15)) * jnp.uint32(0x846CA68B)
    return word ^ (word >> 16)
