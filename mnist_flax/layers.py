"""The network's four operations, with gradients shaped for speed.

Inside a loop on CPU, XLA's own gradients of a convolution are slower by a factor of 4 to 100
(benchmarks/gradients.py), and an epoch is such a loop. Batch norm, ReLU and max pooling share
one gradient, to pass over the large arrays less often (docs/SPEED.md). Each operation computes
what its textbook form computes, to rounding; tests/test_layers.py compares them with it.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

DIMENSIONS = ("NHWC", "HWIO", "NHWC")
EPSILON = 1e-5  # of batch norm, as in PyTorch


def _shifted(x: jax.Array, axis: int, size: int) -> jax.Array:
    """Side by side along the channels, copies of x moved along axis, filled with zeros.

    Slot i of the result, i = 0 ... size - 1, holds at position p x[p + i - size//2].
    """
    if size == 1:
        return x
    half, length = size // 2, x.shape[axis]
    pad = [(0, 0)] * x.ndim
    pad[axis] = (half, half)
    padded = jnp.pad(x, pad)
    return jnp.concatenate(
        [lax.slice_in_dim(padded, i, i + length, axis=axis) for i in range(size)], axis=-1
    )


def _patches(x: jax.Array, size: int) -> jax.Array:
    """float32[N,H,W,1] to float32[size*size, N*H*W]: x moved by each tap of the kernel."""
    n, height, width, _ = x.shape
    half = size // 2
    padded = jnp.pad(x[..., 0], ((0, 0), (half, half), (half, half)))
    taps = [padded[:, i : i + height, j : j + width] for i in range(size) for j in range(size)]
    return jnp.stack(taps).reshape(size * size, n * height * width)


@jax.custom_vjp
def conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolution with stride 1 and zero padding that keeps the size ('SAME').

    Args:
      x: float[N,H,W,I].
      kernel: float[K,K,I,O], K odd.

    Returns:
      float[N,H,W,O].
    """
    return _conv_forward(x, kernel)[0]


def _conv_forward(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    size, _, channels, features = kernel.shape
    if channels == 1:
        # One input channel leaves a convolution nothing to vectorize over.
        patches = _patches(x, size)
        y = jnp.einsum("pm,po->mo", patches, kernel.reshape(-1, features))
        return y.reshape(*x.shape[:3], features), (patches, kernel)
    y = lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=DIMENSIONS)
    return y, (x, kernel)


def _conv_backward(
    residuals: tuple[jax.Array, ...], dy: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Both gradients as one matrix product each.

    A kernel gradient has few outputs (K*K*I*O) and a very long sum (over N*H*W). As a
    convolution, or with all K*K shifts on one side, its matrices are too narrow for the CPU's
    registers. So the shifts are shared out: x moved along the height, dy along the width,
    which makes one product of [K*I, N*H*W] and [N*H*W, K*O].
    """
    x, kernel = residuals
    size, _, channels, features = kernel.shape
    dy_shifted = _shifted(dy, 2, size).reshape(-1, size * features)
    if channels == 1:
        dkernel = (x @ dy.reshape(-1, features)).reshape(kernel.shape)
    else:
        x_shifted = _shifted(x, 1, size).reshape(-1, size * channels)
        # Column j of the kernel meets dy moved the other way.
        dkernel = (x_shifted.T @ dy_shifted).reshape(size, channels, size, features)
        dkernel = dkernel[:, :, ::-1].transpose(0, 2, 1, 3)

    # dx[h] is the sum over kernel rows r of dy[h - r + size//2] convolved along the width.
    rows = kernel[:, ::-1].transpose(1, 3, 0, 2).reshape(size * features, size * channels)
    by_row = (dy_shifted @ rows).reshape(*dy.shape[:3], size * channels)
    half, height = size // 2, dy.shape[1]
    by_row = jnp.pad(by_row, ((0, 0), (half, half), (0, 0), (0, 0)))
    dx = jnp.zeros((), dy.dtype)
    for r in range(size):
        first = 2 * half - r
        dx += by_row[:, first : first + height, :, r * channels : (r + 1) * channels]
    return dx, dkernel


conv.defvjp(_conv_forward, _conv_backward)


def _corners(z: jax.Array) -> list[jax.Array]:
    """The four pixels of each 2x2 window of [N,H,W,C], in reading order: [N,H/2,W/2,C] each."""
    n, height, width, channels = z.shape
    z = z.reshape(n, height // 2, 2, width // 2, 2, channels)
    return [z[:, :, i, :, j] for i in (0, 1) for j in (0, 1)]


def _first_largest(z: jax.Array) -> jax.Array:
    """Which corner of each 2x2 window is the largest: uint8[N,H/2,W/2,C], 0 to 3.

    Of equal values the first counts, as in PyTorch; a blank corner of an image has many.
    """
    a, b, c, d = _corners(z)
    top, bottom = jnp.where(a >= b, 0, 1), jnp.where(c >= d, 2, 3)
    return jnp.where(jnp.maximum(a, b) >= jnp.maximum(c, d), top, bottom).astype(jnp.uint8)


def max_pool(z: jax.Array) -> jax.Array:
    """Largest value of each 2x2 window: float[N,H,W,C] to [N,H/2,W/2,C], H and W even."""
    a, b, c, d = _corners(z)
    return jnp.maximum(jnp.maximum(a, b), jnp.maximum(c, d))


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def batch_norm_relu(
    y: jax.Array, scale: jax.Array, bias: jax.Array, pool: bool
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Batch norm with the statistics of the batch, ReLU and, if pool, 2x2 max pooling.

    Ioffe and Szegedy 2015, https://arxiv.org/abs/1502.03167, algorithm 1.

    Args:
      y: float32[N,H,W,C]; H and W even if pool.
      scale: float32[C].
      bias: float32[C].
      pool: whether to pool.

    Returns:
      The result, float32[N,H,W,C] or [N,H/2,W/2,C]; the mean and the biased variance of y,
      float32[C] each, through which no gradient flows.
    """
    return _batch_norm_relu_forward(y, scale, bias, pool)[0]


def _batch_norm_relu_forward(y, scale, bias, pool):  # type: ignore[no-untyped-def]
    scale = scale.reshape(1, 1, 1, -1)
    mean = y.mean((0, 1, 2), keepdims=True)
    var = jnp.square(y - mean).mean((0, 1, 2), keepdims=True)
    factor = scale * lax.rsqrt(var + EPSILON)
    z = y * factor + (bias.reshape(1, 1, 1, -1) - mean * factor)
    which = _first_largest(z) if pool else None
    out = jnp.maximum(max_pool(z) if pool else z, 0)
    return (out, mean.ravel(), var.ravel()), (y, mean, var, scale, out, which)


def _batch_norm_relu_backward(pool, residuals, cotangents):  # type: ignore[no-untyped-def]
    """The paper's section 3, simplified; a window's gradient goes to its largest corner."""
    y, mean, var, scale, out, which = residuals
    inv_std = lax.rsqrt(var + EPSILON)
    dz = jnp.where(out > 0, cotangents[0], 0)
    dbias = dz.sum((0, 1, 2), keepdims=True)
    if pool:
        corner = jnp.arange(4, dtype=jnp.uint8).reshape(1, 1, 2, 1, 2, 1)
        chosen = which[:, :, None, :, None] == corner
        dz = jnp.where(chosen, dz[:, :, None, :, None], 0).reshape(y.shape)
    dscale = (dz * (y - mean)).sum((0, 1, 2), keepdims=True) * inv_std
    count = y.size // y.shape[-1]
    dy = (scale * inv_std) * (dz - dbias / count - (y - mean) * (inv_std * dscale / count))
    return dy, dscale.ravel(), dbias.ravel()


batch_norm_relu.defvjp(_batch_norm_relu_forward, _batch_norm_relu_backward)


def dropout(key: jax.Array, x: jax.Array, rate: float) -> jax.Array:
    """Sets a share of x to zero, each entry by itself, and scales the rest to keep the mean.

    The share is exact to 2**-16. Random bits are most of dropout's cost on CPU, so each random
    word serves four entries: they take its four 16-bit windows at offsets of 8 bits, around the
    end. Every entry's odds are exact; two neighbours share a byte, the low one of the one and
    the high one of the other, which couples them by less than 2**-8.

    Args:
      key: a PRNG key.
      x: float[...], of a size divisible by 4.
      rate: the share, in [0, 1).

    Returns:
      float[...] of the shape of x.
    """
    threshold = round(rate * 2**16)
    if not threshold:
        return x
    words = jax.random.bits(key, (x.size // 4,), jnp.uint32)
    windows = [
        words & 0xFFFF,
        words >> 8 & 0xFFFF,
        words >> 16,
        words >> 24 | (words & 0xFF) << 8,
    ]
    keep = jnp.stack(windows, -1).reshape(x.shape) >= threshold
    return jnp.where(keep, x * (2**16 / (2**16 - threshold)), 0)
