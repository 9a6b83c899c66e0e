"""Computes which pixels Pillow reads when it resizes, rotates or scales a 28 x 28 image.

Pillow computes these positions and weights in float64 or in fixed point. A jitted program has
only int32 and float32, so each function here rearranges Pillow's formula: integers hold what
must be exact, and constants come from float64 tables, which are computed once, at import.
"""

import jax
import jax.numpy as jnp
import numpy as np

SIZE = 28  # pixels a side


def resize_taps(crop_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Computes the two pixels, and their weights, that each pixel of an enlarged crop mixes.

    Bilinear enlargement mixes at most two pixels along an axis: precompute_coeffs and
    normalize_coeffs_8bpc in Pillow's Resample.c. The crop lies where torchvision's CenterCrop
    puts it.

    Args:
      crop_size: side of the centre crop in pixels, 1 to 28.

    Returns:
      taps int32[2,28], positions in the uncropped image; weights int32[2,28] in 2^-22.
    """
    center = (np.arange(SIZE) + 0.5) * (crop_size / SIZE)
    first = (center - 0.5).astype(np.int32)  # towards zero, as in C
    taps = np.stack([first, first + 1])
    weights = np.maximum(1 - np.abs(taps - center + 0.5), 0)
    weights[taps >= crop_size] = 0
    weights /= weights.sum(0)
    corner = round((SIZE - crop_size) / 2)  # rounds half to even, as torchvision does
    taps = np.minimum(taps, crop_size - 1) + corner
    return taps, (weights * (1 << 22) + 0.5).astype(np.int32)


# Pillow describes a rotation by four numbers: c and s, the cosine and sine of the angle, and
# 14 - 13.5 (c - s) and 14 - 13.5 (c + s), the position in the original of the new image's first
# pixel. It computes them in float64, multiplies by 2^16 and rounds. Float32 would be off by up
# to a tenth of such a unit. Here each number is expanded about the nearest eighth of a degree,
#     value + slope r + curvature r^2 + ...        with r in degrees, at most 1/16,
# with coefficients from float64 tables. The large terms, up to 1.3 million units, are exact
# sums and products of int32: value and slope in whole units plus a rest, r in 2^-20 degrees
# plus a rest, fractions of a unit in 2^-28. Float32 computes only products below 1, with an
# error of about 3e-8, however a compiler fuses or rounds them.
_STEPS = 8  # table rows a degree
_R_BITS = 20  # r is at most 2^16 in 2^-20 degrees; times a slope of at most 21,838, an int32
_FRACTION_BITS = 28


def _rotation_table() -> np.ndarray:
    """Computes value, its rest, slope, its rest and curvature: int32[360 * _STEPS, 20].

    Each has four columns; those of float32 are there bit for bit. It is one table, because
    a TPU takes its time to look things up.
    """
    radians = np.pi / 180
    angle = np.arange(360 * _STEPS) / _STEPS * radians
    c, s = np.cos(angle), np.sin(angle)
    value = np.stack([c, s, 14 - 13.5 * (c - s), 14 - 13.5 * (c + s)], 1) * 65536
    slope = np.stack([-s, c, 13.5 * (s + c), 13.5 * (s - c)], 1) * (65536 * radians)
    curvature = np.stack([-c, -s, 13.5 * (c - s), 13.5 * (c + s)], 1) * (65536 * radians**2 / 2)
    value_units, slope_units = np.rint(value), np.rint(slope)
    columns = (
        value_units.astype(np.int32),
        np.rint((value - value_units) * 2**_FRACTION_BITS).astype(np.int32),
        slope_units.astype(np.int32),
        (slope - slope_units).astype(np.float32).view(np.int32),
        curvature.astype(np.float32).view(np.int32),
    )
    return np.concatenate(columns, 1)


_ROTATIONS = _rotation_table()


def rotation(degrees: jax.Array) -> tuple[jax.Array, ...]:
    """Computes the coefficients of `Image.rotate(degrees)` in 16.16 fixed point.

    Pixel (x, y) of the new image shows the original's (cos x - sin y + x0, sin x + cos y + y0);
    see Image.rotate in Pillow's Image.py and affine_fixed in its Geometry.c.

    Args:
      degrees: float32[N], counterclockwise.

    Returns:
      cos, sin, x0 and y0: each int32[N], in units of 2^-16.
    """
    nearest = jnp.round(degrees * _STEPS)
    row = nearest.astype(jnp.int32) % (360 * _STEPS)
    columns = jnp.split(jnp.asarray(_ROTATIONS)[row], 5, axis=1)
    value, value_rest, slope = columns[:3]
    slope_rest, curvature = (
        jax.lax.bitcast_convert_type(bits, jnp.float32) for bits in columns[3:]
    )
    r = (degrees - nearest / _STEPS)[:, None]  # exact, and so is its split in two
    r_units = jnp.round(r * 2.0**_R_BITS)
    r_rest = r - r_units * 2.0**-_R_BITS
    product = slope * r_units.astype(jnp.int32)
    small = (
        slope.astype(jnp.float32) * (r_rest - r**3 * ((np.pi / 180) ** 2 / 6))
        + slope_rest * r
        + curvature * r**2
    )
    fraction = (
        value_rest
        + ((product & (2**_R_BITS - 1)) << (_FRACTION_BITS - _R_BITS))
        + jnp.round(small * 2.0**_FRACTION_BITS).astype(jnp.int32)
    )
    half = 1 << (_FRACTION_BITS - 1)
    rounded = value + (product >> _R_BITS) + ((fraction + half) >> _FRACTION_BITS)
    return tuple(rounded.T)


def scaled_positions(shift: jax.Array, scale: jax.Array) -> jax.Array:
    """Computes the column of the original that each column shows after scaling and shifting.

    Column i shows floor(14 + (i + 1/2 - 14 - shift) / scale). Pillow sums 1 / scale in float64
    (ImagingScaleAffine in Geometry.c), which is off by up to 1e-13. Here numerator and scale
    are counted in units of 2^-25 and divided as integers, exactly. Both have the same floor,
    because a quotient that is not whole is more than 1e-8 away from a whole number.

    Args:
      shift: int32[N], pixels to the right, -28 to 28.
      scale: float32[N], magnification, 0.25 to 4.

    Returns:
      int32[N,28]; below 0 or above 27 where the column lies outside the original.
    """
    divisor = (scale * 2.0**25).astype(jnp.int32)[:, None]
    doubled = 2 * (jnp.arange(SIZE, dtype=jnp.int32)[None] - shift[:, None]) - (SIZE - 1)
    return doubled * (1 << 24) // divisor + SIZE // 2
