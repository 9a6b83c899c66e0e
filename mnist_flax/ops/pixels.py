"""Picks pixels of a batch of images, and divides them, as each backend does it best.

A CPU or GPU reads from any address. A TPU does not: there XLA picks single numbers one after
the other, at about 12 cycles each, 1.2 million for the pixels of a batch of 128, where a whole
training step is 0.3 million (docs/ACCELERATORS.md). So on a TPU pixels are picked by products
with matrices of zeros and ones, or by selections, and values are computed that others look up.
All forms return the same bits.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from mnist_flax.ops import backends


def nearest(images: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
    """Picks pixel (x, y) of each image for each pixel of a new one; 0 outside the image.

    Args:
      images: uint8[N,H,W].
      x: int32[N,H,W], columns; also [N,1,W] if all rows have the same.
      y: int32[N,H,W], rows; also [N,H,1] if all columns have the same.

    Returns:
      uint8[N,H,W].
    """
    separable = x.shape[1] == y.shape[2] == 1
    return backends.choose(
        images,
        x,
        y,
        cpu=nearest_by_address,
        gpu=nearest_by_address,
        tpu=nearest_by_selections if separable else nearest_by_products,
    )


def nearest_by_address(images: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
    """`nearest` as a gather, for CPU and GPU."""
    _, height, width = images.shape
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    index = jnp.where(inside, y * width + x, 0)
    # One flat index and a mask: on CPU this gather is a vector loop; padded images or an index
    # pair would take two to five times as long. Batched, so that devices keep their own images.
    flat = images.reshape(-1, height * width)
    pixels = jnp.take_along_axis(
        flat, index.reshape(flat.shape), axis=1, mode="promise_in_bounds"
    )
    return jnp.where(inside, pixels.reshape(images.shape), 0)


def nearest_by_products(images: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
    """`nearest` without a gather, for TPU.

    For each new pixel a product picks a whole column of the old image, and a sum one row of it.
    bfloat16 holds all of 0 to 255, and each sum has one term that is not zero. A row or column
    outside the image is never picked, which leaves 0.
    """
    n, height, width = images.shape
    x, y = (jnp.broadcast_to(i, images.shape).reshape(n, 1, -1) for i in (x, y))
    columns = (x == jnp.arange(width).reshape(1, -1, 1)).astype(jnp.bfloat16)
    picked = jnp.einsum("nvu,nup->nvp", images.astype(jnp.bfloat16), columns)
    rows = y == jnp.arange(height).reshape(1, -1, 1)
    # Not a float sum, of which a program with float64 enabled would make another type.
    pixels = jnp.where(rows, picked, 0).max(1)
    return pixels.astype(jnp.uint8).reshape(images.shape)


def nearest_by_selections(images: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
    """`nearest` of x [N,1,W] and y [N,H,1] without a gather, for TPU: first rows, then columns.

    Each of the H rows, and each of the W columns, is laid over all places that want it.
    """
    _, height, width = images.shape
    old = images.astype(jnp.int32)
    rows = jnp.zeros_like(old)
    for row in range(height):
        rows = jnp.where(y == row, old[:, row : row + 1], rows)
    new = jnp.zeros_like(old)
    for column in range(width):
        new = jnp.where(x == column, rows[:, :, column : column + 1], new)
    return new.astype(jnp.uint8)


def divide(x: jax.Array, divisor: float) -> jax.Array:
    """Divides by a constant and rounds once, as IEEE 754 does.

    XLA would multiply by the reciprocal, which rounds twice. Here the remainder corrects that
    quotient. Its products are exact, as each factor has at most 12 bits, so that it makes no
    difference whether a compiler fuses a product with the sum behind it. Correct for the
    numbers that `augment.normalize` divides (tested), not for all.

    Args:
      x: float32[...].
      divisor: rounded to float32.
    """
    whole = np.float32(divisor)
    high = _first_bits(np.asarray(whole))
    low = whole - high
    inverse = np.float32(1) / whole
    quotient = x * inverse
    quotient_high = lax.bitcast_convert_type(
        lax.bitcast_convert_type(quotient, jnp.int32) & _FIRST_BITS, jnp.float32
    )
    quotient_low = quotient - quotient_high
    rest = x - quotient_high * high - quotient_high * low
    rest = rest - quotient_low * high - quotient_low * low
    return quotient + rest * inverse


# Of a float32's 24 bits of precision the first 12.
_FIRST_BITS = np.int32(-(1 << 12))


def _first_bits(x: np.ndarray) -> np.ndarray:
    return (x.view(np.int32) & _FIRST_BITS).view(np.float32)


def settle(images: jax.Array) -> jax.Array:
    """Returns the same images, computed to the end before anything that follows uses them.

    XLA on CPU drops `lax.optimization_barrier` and fuses what follows with what came before: a
    rotation would be computed anew for the mean, for each blend and for each pixel that an
    affine transform takes, which quadruples the time of a batch. It does not fuse across a
    scatter, and adding 0 to two pixels is the smallest one.

    Args:
      images: uint8[N,H,W].
    """
    return backends.choose(
        images,
        cpu=lambda images: images.at[:, jnp.array([0, 1]), 0].add(jnp.uint8(0)),
        gpu=lambda images: images,
        tpu=lambda images: images,
    )
