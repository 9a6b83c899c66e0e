"""Convolves, with gradients, in the form that each backend does best.

On GPU and TPU a convolution is the backend's own; but of several networks at once, each with
its own kernel, it is matrix products on a GPU. On CPU it is matrix products, forward and
backward: inside a loop XLA's own gradients are slower there by a factor of 8 to 80
(benchmarks/gradients.py), and an epoch is such a loop. Activations are [C,H,W,N]; see `layers`.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import custom_batching, lax

from mnist_flax.ops import backends
from mnist_flax.parallel import sharding


def sum_type(x: jax.Array) -> jnp.dtype:
    """Returns the type of sums over x: float32, but float64 for float64."""
    return jnp.promote_types(x.dtype, jnp.float32)


def _pad(x: jax.Array, height: int, width: int) -> jax.Array:
    """Puts zeros around x: `height` rows above and below, `width` columns left and right."""
    return jnp.pad(x, ((0, 0), (height, height), (width, width), (0, 0)))


@jax.custom_vjp
def conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolves with stride 1 and with zeros around that keep the size ('SAME').

    Args:
      x: float[I,H,W,N].
      kernel: float[K,K,I,O], K odd.

    Returns:
      float[O,H,W,N] of the type of x. Products have that type; their sums are float32.
    """
    return backends.choose(x, kernel, cpu=conv_by_products, gpu=conv_on_gpu, tpu=conv_native)


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
        gpu=conv_gradients_on_gpu,
        tpu=conv_gradients_native,
    )


conv.defvjp(_conv_forward, _conv_backward)


def conv_native(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Computes `conv` by the backend's own convolution, for GPU and TPU."""
    return _convolve(x, kernel.astype(x.dtype), ("CHWN", "HWIO", "CHWN"), len(kernel), x.dtype)


def conv_gradients_native(
    x: jax.Array, kernel: jax.Array, dy: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Computes the gradients of `conv_native`, of x and of the kernel, by convolutions."""
    return _input_gradient_native(x, kernel, dy), _kernel_gradient_native(x, kernel, dy)


def _input_gradient_native(x: jax.Array, kernel: jax.Array, dy: jax.Array) -> jax.Array:
    with jax.named_scope("input_gradient"):
        turned = lax.rev(kernel, (0, 1)).astype(dy.dtype)
        return _convolve(dy, turned, ("CHWN", "HWOI", "CHWN"), len(kernel), dy.dtype)


def _kernel_gradient_native(x: jax.Array, kernel: jax.Array, dy: jax.Array) -> jax.Array:
    def of_kernel(x: jax.Array, dy: jax.Array) -> jax.Array:
        # The batch takes the place of the channels, and dy that of the kernel.
        return _convolve(x, dy, ("NHWC", "OHWI", "HWNC"), len(kernel), sum_type(x))

    with jax.named_scope("kernel_gradient"):
        return sharding.sum_over_batch(of_kernel, x, dy).astype(kernel.dtype)


def _several_by_products(
    of_one: Callable[..., jax.Array], of_several: Callable[..., jax.Array]
) -> Callable[..., jax.Array]:
    """Makes a function for a GPU: of one network `of_one`; under `vmap`, `of_several`.

    By JAX's own rule several networks would be convolutions in groups, whose kernel gradient
    XLA computes as a forward convolution with kernels as large as the images.
    """
    function = custom_batching.custom_vmap(of_one)

    @function.def_vmap
    def rule(size: int, batched: list[bool], *operands: jax.Array) -> tuple[jax.Array, bool]:
        axes = [0 if each else None for each in batched]
        return jax.vmap(of_several, axes, axis_size=size)(*operands), True

    return function


def conv_on_gpu(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Computes `conv` for a GPU: of one network natively, of several at once by products."""
    return _several_by_products(conv_native, conv_by_products)(x, kernel)


def conv_gradients_on_gpu(
    x: jax.Array, kernel: jax.Array, dy: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Computes the gradients of `conv_on_gpu`, of x and of the kernel.

    In two functions, so that the one is left out where nobody needs it: that of the images.
    """

    def by_products(i: int) -> Callable[..., jax.Array]:
        return lambda *operands: conv_gradients_by_products(*operands)[i]

    of_input = _several_by_products(_input_gradient_native, by_products(0))
    of_kernel = _several_by_products(_kernel_gradient_native, by_products(1))
    return of_input(x, kernel, dy), of_kernel(x, kernel, dy)


def _convolve(
    x: jax.Array,
    kernel: jax.Array,
    dimensions: tuple[str, str, str],
    size: int,
    dtype: jnp.dtype,
) -> jax.Array:
    """Convolves with a border of zeros for a kernel of size x size; the result has a dtype.

    The hardware sums products of bfloat16 in float32 in any case. A GPU has no convolution of
    bfloat16 with a float32 result: asked for one, XLA computes all of it in float32.
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
    """Computes `conv` by one matrix product, for CPU.

    Of the kernel's K*K shifts, the input is shifted along the height and the products along the
    width. So the product is [K*O, K*I] by [K*I, H*W*N], wide enough for the CPU's registers,
    and it writes K times the output instead of reading K*K times the input. With one channel
    the input takes all K*K shifts, which are still few numbers.
    """
    size, _, channels, features = kernel.shape
    half = size // 2
    rows = _rows(x, size)
    if channels == 1:
        return _product(kernel.reshape(size * size, features).T, rows).astype(x.dtype)
    columns = _product(_matrix(kernel), rows)
    return _moved_sum(columns, 2, [half - c for c in range(size)]).astype(x.dtype)


def conv_gradients_by_products(
    x: jax.Array, kernel: jax.Array, dy: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Computes the gradients of `conv_by_products`, of x and of the kernel.

    It is the forward pass turned around: dy is shifted along the width, the products along the
    height. Both gradients are products with the shifted dy. The shifted x is that of the
    forward pass: XLA sees that the two are the same and computes it once.
    """
    size, _, channels, features = kernel.shape
    half, width = size // 2, dy.shape[2]
    rows = _rows(x, size)
    padded = _pad(_bits(dy), 0, half)
    columns = _floats(
        jnp.concatenate([padded[:, :, size - 1 - c :][:, :, :width] for c in range(size)]),
        dy.dtype,
    )
    with jax.named_scope("kernel_gradient"):
        if channels == 1:
            dkernel = _outer(rows, dy).reshape(kernel.shape)
        else:
            dmatrix = _outer(columns, rows)
            dkernel = dmatrix.reshape(size, features, size, channels).transpose(2, 0, 3, 1)
    with jax.named_scope("input_gradient"):
        drows = _product(_matrix(kernel).T, columns)
        dx = _moved_sum(drows, 1, [r - half for r in range(size)])
    return dx.astype(dy.dtype), dkernel.astype(kernel.dtype)


def _rows(x: jax.Array, size: int) -> jax.Array:
    """Stacks copies of x shifted along the height, one for each kernel row: [K*I,H,W,N].

    A single channel is shifted along the width, too: [K*K,H,W,N].
    """
    half, (height, width) = size // 2, x.shape[1:3]
    bits = _bits(x)
    if len(x) == 1:
        padded = _pad(bits, half, half)
        taps = [(r, c) for r in range(size) for c in range(size)]
        rows = jnp.stack([padded[0, r : r + height, c : c + width] for r, c in taps])
    else:
        padded = _pad(bits, half, 0)
        rows = jnp.concatenate([padded[:, r : r + height] for r in range(size)])
    return _floats(rows, x.dtype)


def _bits(x: jax.Array) -> jax.Array:
    """Views bfloat16 as uint16: XLA on CPU would move it by way of float32."""
    return lax.bitcast_convert_type(x, jnp.uint16) if x.dtype == jnp.bfloat16 else x


def _floats(x: jax.Array, dtype: jnp.dtype) -> jax.Array:
    """Undoes `_bits`."""
    return lax.bitcast_convert_type(x, dtype) if x.dtype == jnp.uint16 else x


def _product(matrix: jax.Array, x: jax.Array) -> jax.Array:
    """Multiplies [M,K] by [K,H,W,N], in the type of x; the sums are float32."""
    matrix = matrix.astype(x.dtype)
    if x.dtype == jnp.bfloat16:
        # The CPU's units for bfloat16 take a matrix that lies ready in memory. XLA would make
        # a transposed one part of the product, and compute that without them.
        matrix = lax.optimization_barrier(matrix)
    return jnp.tensordot(matrix, x, 1, preferred_element_type=sum_type(x))


def _matrix(kernel: jax.Array) -> jax.Array:
    """Reshapes a kernel [K,K,I,O] to [K*O, K*I]: column and feature, row and channel."""
    size, _, channels, features = kernel.shape
    return kernel.transpose(1, 3, 0, 2).reshape(size * features, size * channels)


def _moved_sum(x: jax.Array, axis: int, steps: list[int]) -> jax.Array:
    """Adds len(steps) groups of channels, each shifted along an axis, zeros moving in."""
    zero = jnp.zeros((), x.dtype)
    moved = []
    for part, step in zip(jnp.split(x, len(steps)), steps, strict=True):
        padding = [(0, 0, 0)] * 4
        padding[axis] = (step, -step, 0)
        moved.append(lax.pad(part, zero, padding))
    return functools.reduce(jnp.add, moved)


def _outer(a: jax.Array, b: jax.Array) -> jax.Array:
    """Computes [M,K] from [M,H,W,N] and [K,H,W,N]: sums of products over all other axes.

    As matrices, because for a sum over three axes XLA on CPU first copies b.
    """

    def product(a: jax.Array, b: jax.Array) -> jax.Array:
        a, b = (x.reshape(len(x), -1) for x in (a, b))
        return lax.dot_general(
            a, b, (((1,), (1,)), ((), ())), preferred_element_type=sum_type(a)
        )

    return sharding.sum_over_batch(product, a, b)
