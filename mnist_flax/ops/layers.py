"""The network's four operations, with gradients shaped for speed.

Activations are [C,H,W,N], the batch last: a shift along the height or the width then moves
whole rows of N numbers, each channel's statistics are sums over one block of memory, and every
loop vectorizes over the batch. Batch norm, ReLU and max pooling share one gradient, to pass
over the large arrays less often.

On GPU and TPU a convolution is the backend's own. On CPU it is matrix products, forward and
backward: inside a loop XLA's own gradients are slower there by a factor of 8 to 80
(benchmarks/gradients.py), and an epoch is such a loop. docs/SPEED.md has the measurements on
CPU, docs/ACCELERATORS.md the compilers' estimates for GPU and TPU.

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
from mnist_flax.parallel import sharding

EPSILON = 1e-5  # of batch norm, as in PyTorch


def _pad(x: jax.Array, height: int, width: int) -> jax.Array:
    """Zeros around x: `height` rows above and below, `width` columns left and right."""
    return jnp.pad(x, ((0, 0), (height, height), (width, width), (0, 0)))


def _wide(x: jax.Array) -> jnp.dtype:
    """The type of sums over x: float32, but float64 for float64."""
    return jnp.promote_types(x.dtype, jnp.float32)


@jax.custom_vjp
def conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolution with stride 1 and zero padding that keeps the size ('SAME').

    Args:
      x: float[I,H,W,N].
      kernel: float[K,K,I,O], K odd.

    Returns:
      float[O,H,W,N], of the type of x, in which the products are; their sums are float32.
    """
    return backends.choose(x, kernel, cpu=conv_by_products, gpu=conv_native, tpu=conv_native)


def _conv_forward(
    x: jax.Array, kernel: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return conv(x, kernel), (x, kernel)


def _conv_backward(
    residuals: tuple[jax.Array, jax.Array], dy: jax.Array
) -> tuple[jax.Array, jax.Array]:
    return backends.choose(
        *residuals,
        dy,
        cpu=conv_gradients_by_products,
        gpu=conv_gradients_native,
        tpu=conv_gradients_native,
    )


conv.defvjp(_conv_forward, _conv_backward)


def conv_native(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """`conv` as the backend's own convolution, for GPU and TPU."""
    return _convolve(x, kernel.astype(x.dtype), ("CHWN", "HWIO", "CHWN"), len(kernel), x.dtype)


def conv_gradients_native(
    x: jax.Array, kernel: jax.Array, dy: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Gradients of `conv_native`: of x and of the kernel. Each is a convolution, too."""

    def of_kernel(x: jax.Array, dy: jax.Array) -> jax.Array:
        # The batch takes the place of the channels, and dy that of the kernel.
        return _convolve(x, dy, ("NHWC", "OHWI", "HWNC"), len(kernel), _wide(x))

    with jax.named_scope("kernel_gradient"):
        dkernel = sharding.sum_over_batch(of_kernel, x, dy)
    with jax.named_scope("input_gradient"):
        turned = lax.rev(kernel, (0, 1)).astype(dy.dtype)
        dx = _convolve(dy, turned, ("CHWN", "HWOI", "CHWN"), len(kernel), dy.dtype)
    return dx, dkernel.astype(kernel.dtype)


def _convolve(
    x: jax.Array,
    kernel: jax.Array,
    dimensions: tuple[str, str, str],
    size: int,
    dtype: jnp.dtype,
) -> jax.Array:
    """Convolves with a border of zeros for a kernel of size x size; the result has a dtype.

    A chip adds up products of bfloat16 in float32 in any case. A GPU has no convolution of
    bfloat16 with a float32 result: asked for one, XLA makes all of it float32.
    """
    half = size // 2
    return lax.conv_general_dilated(
        x,
        kernel,
        (1, 1),
        [(half, half), (half, half)],
        dimension_numbers=dimensions,
        preferred_element_type=dtype,
    )


def conv_by_products(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """`conv` as one matrix product, for CPU.

    The K*K shifts are shared out: x is moved along the height, the products along the width. So
    the product is [K*O, K*I] by [K*I, H*W*N], wide enough for the CPU's registers, and it
    writes K times the output instead of reading K*K times the input. Of one channel all shifts
    together are still few.
    """
    size, _, channels, features = kernel.shape
    half = size // 2
    rows = _rows(x, size)
    if channels == 1:
        matrix = kernel.reshape(size * size, features).astype(x.dtype)
        y = jnp.tensordot(matrix.T, rows, 1, preferred_element_type=_wide(x))
        return y.astype(x.dtype)
    matrix = _matrix(kernel).astype(x.dtype)
    columns = jnp.tensordot(matrix, rows, 1, preferred_element_type=_wide(x))
    return _moved_sum(columns, 2, [half - c for c in range(size)]).astype(x.dtype)


def conv_gradients_by_products(
    x: jax.Array, kernel: jax.Array, dy: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Gradients of `conv_by_products`: of x and of the kernel.

    The forward pass turned around: dy moves along the width, the products along the height.
    Both gradients are products with the moved dy. The moved x is the forward pass's: XLA finds
    the two to be one and keeps it.
    """
    size, _, channels, features = kernel.shape
    half, width = size // 2, dy.shape[2]
    rows = _rows(x, size)
    padded = _pad(dy, 0, half)
    columns = jnp.concatenate([padded[:, :, size - 1 - c :][:, :, :width] for c in range(size)])
    with jax.named_scope("kernel_gradient"):
        if channels == 1:
            dkernel = _outer(rows, dy).reshape(kernel.shape)
        else:
            dmatrix = _outer(columns, rows)
            dkernel = dmatrix.reshape(size, features, size, channels).transpose(2, 0, 3, 1)
    with jax.named_scope("input_gradient"):
        matrix = _matrix(kernel).astype(dy.dtype)
        drows = jnp.tensordot(matrix.T, columns, 1, preferred_element_type=_wide(dy))
        dx = _moved_sum(drows, 1, [r - half for r in range(size)])
    return dx.astype(dy.dtype), dkernel.astype(kernel.dtype)


def _rows(x: jax.Array, size: int) -> jax.Array:
    """Stacks copies of x, one for each row of a kernel, moved along the height: [K*I,H,W,N].

    A single channel is moved along the width, too, a copy for each pixel: [K*K,H,W,N].
    """
    half, (height, width) = size // 2, x.shape[1:3]
    if len(x) == 1:
        padded = _pad(x, half, half)
        taps = [(r, c) for r in range(size) for c in range(size)]
        return jnp.stack([padded[0, r : r + height, c : c + width] for r, c in taps])
    padded = _pad(x, half, 0)
    return jnp.concatenate([padded[:, r : r + height] for r in range(size)])


def _matrix(kernel: jax.Array) -> jax.Array:
    """A kernel [K,K,I,O] as a matrix [K*O, K*I]: by column and feature, by row and channel."""
    size, _, channels, features = kernel.shape
    return kernel.transpose(1, 3, 0, 2).reshape(size * features, size * channels)


def _moved_sum(x: jax.Array, axis: int, steps: list[int]) -> jax.Array:
    """The sum of len(steps) groups of channels, each moved along an axis, with zeros behind."""
    zero = jnp.zeros((), x.dtype)
    moved = []
    for part, step in zip(jnp.split(x, len(steps)), steps, strict=True):
        padding = [(0, 0, 0)] * 4
        padding[axis] = (step, -step, 0)
        moved.append(lax.pad(part, zero, padding))
    return functools.reduce(jnp.add, moved)


def _outer(a: jax.Array, b: jax.Array) -> jax.Array:
    """[M,H,W,N] and [K,H,W,N] to [M,K], the sums of their products over all else.

    As matrices: of a sum over three axes XLA on CPU makes a copy of b first.
    """

    def product(a: jax.Array, b: jax.Array) -> jax.Array:
        a, b = (x.reshape(len(x), -1) for x in (a, b))
        return jnp.matmul(a, b.T, preferred_element_type=_wide(a))

    return sharding.sum_over_batch(product, a, b)


def _corners(z: jax.Array) -> list[jax.Array]:
    """The four pixels of each 2x2 window of [C,H,W,N], in reading order: [C,H/2,W/2,N] each."""
    channels, height, width, n = z.shape
    z = z.reshape(channels, height // 2, 2, width // 2, 2, n)
    return [z[:, :, i, :, j] for i in (0, 1) for j in (0, 1)]


def max_pool(z: jax.Array) -> jax.Array:
    """Largest value of each 2x2 window: float[C,H,W,N] to [C,H/2,W/2,N], H and W even."""
    a, b, c, d = _corners(z)
    return jnp.maximum(jnp.maximum(a, b), jnp.maximum(c, d))


def _peaks(y: jax.Array, factor: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Of each 2x2 window of y the value that is largest after a factor, and which one that is.

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
    """Batch norm with the statistics of the batch, ReLU and, if pool, 2x2 max pooling.

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
    """Sums of two arrays [C,H,W,N] over all but the channels: [C,1,1,1] each."""
    return backends.choose(
        a, b, cpu=two_channel_sums, gpu=channel_sums_at_once, tpu=two_channel_sums
    )


def two_channel_sums(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
    """A sum for each array, for CPU and TPU."""
    return a.sum((1, 2, 3), keepdims=True), b.sum((1, 2, 3), keepdims=True)


def channel_sums_at_once(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
    """One sum of pairs, for GPU, where a large sum takes two kernels: two instead of three."""

    def sums(a: jax.Array, b: jax.Array) -> jax.Array:
        zero = jnp.zeros((), a.dtype)
        both = lax.reduce(
            (a, b), (zero, zero), lambda x, y: (x[0] + y[0], x[1] + y[1]), (1, 2, 3)
        )
        return jnp.stack(both)

    first, second = sharding.sum_over_batch(sums, a, b)
    return _per_channel(first), _per_channel(second)


def _batch_norm_relu_forward(y, scale, bias, pool):  # type: ignore[no-untyped-def]
    wide = y.astype(_wide(y))
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

    An entry's random word is a hash of its position and two words drawn from the key: drawn
    by threefry, as everything else is, the words alone would be a tenth of a training step on
    CPU. The hash is Wellons's lowbias32, https://github.com/skeeto/hash-prospector, once with
    each word of the key.

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
