"""Augments batches as the assignment does, equal to the byte to torchvision on PIL images.

torchvision hands PIL images to Pillow, and Pillow computes with integers: fixed-point weights
to resize, 16.16 fixed-point coordinates to rotate, truncated blends for brightness and
contrast. The functions here do the same arithmetic on a whole batch, and can be part of a
jitted training step. They use only int32 and float32, so that no result depends on how a
backend rounds (tested on CPU). Each docstring names the Pillow call that its function equals.

    images = random_augment(key, images)   # uint8[N,28,28], another draw for each image
    pixels = normalize(images)             # float32[N,28,28,1], for the network
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from mnist_flax import config
from mnist_flax.ops import backends, pixels
from mnist_flax.ops.pillow_geometry import SIZE, resize_taps, rotation, scaled_positions

MEAN, STD = 0.1307, 0.3081  # of MNIST's training images, as the assignment rounds them


class AugmentParams(NamedTuple):
    """One draw for each image; signs and meaning are torchvision's.

    Attributes:
      crop: bool[N], whether the centre is cropped and enlarged.
      degrees: float32[N], rotation, counterclockwise.
      brightness: float32[N], factor at least 0; 1 leaves the image as it is.
      contrast: float32[N], factor at least 0; 1 leaves the image as it is.
      brightness_first: bool[N], whether brightness comes before contrast.
      translate: int32[N,2], shift to the right and down, in pixels.
      scale: float32[N], magnification about the centre.
    """

    crop: jax.Array
    degrees: jax.Array
    brightness: jax.Array
    contrast: jax.Array
    brightness_first: jax.Array
    translate: jax.Array
    scale: jax.Array


def random_augment(
    key: jax.Array, images: jax.Array, ranges: ConfigDict | None = None
) -> jax.Array:
    """Augments each image at random: `sample_params`, then `apply`.

    Args:
      key: a JAX random key; the same key gives the same draws.
      images: uint8[N,28,28].
      ranges: a config's group `augment`; None: that of configs/default.py, the assignment's.

    Returns:
      uint8[N,28,28].

    Raises:
      TypeError: the images are not uint8.
      ValueError: the images have another shape.
    """
    if ranges is None:
        ranges = _default_ranges()
    params = sample_params(key, len(images), ranges)
    return apply(images, params, crop_size=ranges.crop_size)


def sample_params(key: jax.Array, n: int, ranges: ConfigDict | None = None) -> AugmentParams:
    """Draws the parameters of n images as torchvision's transforms draw them.

    Args:
      key: a JAX random key; the same key gives the same draws.
      n: number of images.
      ranges: a config's group `augment`; None: that of configs/default.py, the assignment's.
        Its `crop_size` is not drawn; give it to `apply`.

    Returns:
      Independent draws: crop with `crop_probability`, degrees from U(-degrees, degrees), the
      two factors from U(max(0, 1 - x), 1 + x), their order by a fair coin, and the scale from
      U(scale_min, scale_max). The translations are from U(-28 translate, 28 translate), rounded
      to whole pixels (half to even), which makes the outermost rarer.
    """
    if ranges is None:
        ranges = _default_ranges()
    shift = SIZE * ranges.translate
    low, high = zip(
        (0.0, 1.0),
        (-ranges.degrees, ranges.degrees),
        (max(0.0, 1 - ranges.brightness), 1 + ranges.brightness),
        (max(0.0, 1 - ranges.contrast), 1 + ranges.contrast),
        (0.0, 1.0),
        (-shift, shift),
        (-shift, shift),
        (ranges.scale_min, ranges.scale_max),
        strict=True,
    )
    draws = jax.random.uniform(
        key, (n, len(low)), jnp.float32, jnp.array([low]), jnp.array([high])
    )
    return AugmentParams(
        crop=draws[:, 0] < ranges.crop_probability,
        degrees=draws[:, 1],
        brightness=draws[:, 2],
        contrast=draws[:, 3],
        brightness_first=draws[:, 4] < 0.5,
        translate=jnp.round(draws[:, 5:7]).astype(jnp.int32),
        scale=draws[:, 7],
    )


@functools.cache
def _default_ranges() -> ConfigDict:
    """Reads the assignment's ranges; they are written in configs/default.py only."""
    return config.load(config.default_path()).augment


def apply(images: jax.Array, params: AugmentParams, *, crop_size: int = 22) -> jax.Array:
    """Applies the assignment's transforms in its order: crop, rotate, jitter, affine.

    Args:
      images: uint8[N,28,28].
      params: one draw for each image, from `sample_params`.
      crop_size: side of the centre crop in pixels, 1 to 28; static.

    Returns:
      uint8[N,28,28].

    Raises:
      TypeError: an array has the wrong dtype.
      ValueError: an array has the wrong shape, or crop_size is out of range.
    """
    images = crop_and_resize(images, params.crop, crop_size=crop_size)
    images = pixels.settle(rotate(images, params.degrees))
    images = color_jitter(images, params.brightness, params.contrast, params.brightness_first)
    return affine(pixels.settle(images), params.translate, params.scale)


# ToTensor and Normalize have only 256 results: those of torchvision's three float32 operations.
# They are looked up, because XLA would multiply with reciprocals where torchvision divides.
_UNIT = np.arange(256, dtype=np.float32) / np.float32(255)
_NORMALIZED = (_UNIT - np.float32(MEAN)) / np.float32(STD)


def normalize(images: jax.Array) -> jax.Array:
    """Applies ToTensor and Normalize, (x / 255 - 0.1307) / 0.3081, bit for bit torchvision's.

    Args:
      images: uint8[N,28,28].

    Returns:
      float32[N,28,28,1].
    """
    _check(images)
    normalized = backends.choose(
        images, cpu=_look_up, gpu=_look_up, tpu=_normalize_by_arithmetic
    )
    return normalized[..., None]


def _look_up(images: jax.Array) -> jax.Array:
    return jnp.asarray(_NORMALIZED)[images]


def _normalize_by_arithmetic(images: jax.Array) -> jax.Array:
    """For TPU, which is slow to look values up.

    The barrier keeps it out of the first convolution and of its gradient, where it would be
    computed again for each of a kernel's pixels.
    """
    unit = pixels.divide(images.astype(jnp.float32), 255)
    return jax.lax.optimization_barrier(pixels.divide(unit - np.float32(MEAN), STD))


def crop_and_resize(images: jax.Array, crop: jax.Array, *, crop_size: int = 22) -> jax.Array:
    """Applies CenterCrop(crop_size) and Resize(28): `Image.resize` of a crop, bilinear.

    Args:
      images: uint8[N,28,28].
      crop: bool[N]; an image with False stays as it is.
      crop_size: side of the crop in pixels, 1 to 28; static.

    Returns:
      uint8[N,28,28].
    """
    _check(images, crop=crop)
    if not 1 <= crop_size <= SIZE:
        raise ValueError(f"crop_size is {crop_size}; it must be from 1 to {SIZE} pixels")
    taps, weights = resize_taps(crop_size)

    def enlarge(x: jax.Array, axis: int) -> jax.Array:
        shape = tuple(SIZE if i == axis else 1 for i in range(3))
        left, right = (jnp.take(x, tap, axis).astype(jnp.int32) for tap in taps)
        fixed = left * weights[0].reshape(shape) + right * weights[1].reshape(shape)
        return ((fixed + (1 << 21)) >> 22).astype(jnp.uint8)

    # Each pass rounds to bytes, so the result depends on the order: columns, then rows.
    resized = enlarge(enlarge(images, 2), 1)
    return jnp.where(crop[:, None, None], resized, images)


def rotate(images: jax.Array, degrees: jax.Array) -> jax.Array:
    """Applies RandomRotation: `Image.rotate(degrees)`, nearest pixel, 0 outside.

    Args:
      images: uint8[N,28,28].
      degrees: float32[N], counterclockwise; any angle.

    Returns:
      uint8[N,28,28].
    """
    _check(images, degrees=degrees)
    cos, sin, x0, y0 = (c[:, None, None] for c in rotation(degrees))
    x = (cos * _COLUMNS - sin * _ROWS + x0) >> 16
    y = (sin * _COLUMNS + cos * _ROWS + y0) >> 16
    return pixels.nearest(images, x, y)


def color_jitter(
    images: jax.Array, brightness: jax.Array, contrast: jax.Array, brightness_first: jax.Array
) -> jax.Array:
    """Applies ColorJitter: `adjust_brightness` and `adjust_contrast` in the order drawn.

    Args:
      images: uint8[N,28,28].
      brightness: float32[N], factor at least 0.
      contrast: float32[N], factor at least 0.
      brightness_first: bool[N], whether brightness comes before contrast.

    Returns:
      uint8[N,28,28].
    """
    _check(images, brightness=brightness, brightness_first=brightness_first)
    # A factor of 1 changes nothing: brightness is applied before or after contrast.
    images = adjust_brightness(images, jnp.where(brightness_first, brightness, 1))
    images = adjust_contrast(images, contrast)
    return adjust_brightness(images, jnp.where(brightness_first, 1, brightness))


def adjust_brightness(images: jax.Array, brightness: jax.Array) -> jax.Array:
    """Blends with black: `ImageEnhance.Brightness(image).enhance(brightness)`.

    Args:
      images: uint8[N,28,28].
      brightness: float32[N], factor at least 0.

    Returns:
      uint8[N,28,28].
    """
    _check(images, brightness=brightness)
    return _blend(jnp.zeros_like(brightness), images, brightness)


def adjust_contrast(images: jax.Array, contrast: jax.Array) -> jax.Array:
    """Blends with the rounded mean: `ImageEnhance.Contrast(image).enhance(contrast)`.

    Args:
      images: uint8[N,28,28].
      contrast: float32[N], factor at least 0.

    Returns:
      uint8[N,28,28].
    """
    _check(images, contrast=contrast)
    pixels = SIZE * SIZE
    mean = (2 * images.astype(jnp.int32).sum((1, 2)) + pixels) // (2 * pixels)
    return _blend(mean.astype(jnp.float32), images, contrast)


def _blend(gray: jax.Array, images: jax.Array, factor: jax.Array) -> jax.Array:
    """Blends a uniform gray, float32[N], with images: `Image.blend`, which truncates."""
    gray, factor = gray[:, None, None], factor[:, None, None]
    change = factor * (images.astype(jnp.float32) - gray)
    # Pillow rounds the product to float32 before it adds. A compiler may fuse the two into one
    # rounding, and then factors such as 0.8 truncate differently; the clip in between prevents
    # that. It changes no result: beyond 256 every sum becomes 0 or 255 anyway.
    change = jnp.clip(change, -256, 256)
    return jnp.clip(gray + change, 0, 255).astype(jnp.uint8)


def affine(images: jax.Array, translate: jax.Array, scale: jax.Array) -> jax.Array:
    """Applies RandomAffine without rotation: `Image.transform` with AFFINE, 0 outside.

    Args:
      images: uint8[N,28,28].
      translate: int32[N,2], shift to the right and down, -28 to 28 pixels.
      scale: float32[N], 0.25 to 4.

    Returns:
      uint8[N,28,28].
    """
    _check(images, translate=translate, scale=scale)
    x = scaled_positions(translate[:, 0], scale)[:, None, :]
    y = scaled_positions(translate[:, 1], scale)[:, :, None]
    return pixels.nearest(images, x, y)


_COLUMNS = np.arange(SIZE, dtype=np.int32)[None, None, :]
_ROWS = np.arange(SIZE, dtype=np.int32)[None, :, None]


_DTYPES = {
    "crop": jnp.bool_,
    "degrees": jnp.float32,
    "brightness": jnp.float32,
    "contrast": jnp.float32,
    "brightness_first": jnp.bool_,
    "translate": jnp.int32,
    "scale": jnp.float32,
}


def _check(images: jax.Array, **draws: jax.Array) -> None:
    """Raises TypeError or ValueError, at trace time, unless every array is as documented."""
    if images.dtype != jnp.uint8:
        raise TypeError(f"images have dtype {images.dtype}; uint8 is needed")
    if images.shape[1:] != (SIZE, SIZE):
        raise ValueError(f"images have shape {images.shape}; (N, {SIZE}, {SIZE}) is needed")
    for name, draw in draws.items():
        dtype = jnp.dtype(_DTYPES[name])
        shape = (len(images), 2) if name == "translate" else (len(images),)
        if draw.dtype != dtype:
            raise TypeError(f"{name} has dtype {draw.dtype}; {dtype} is needed")
        if draw.shape != shape:
            raise ValueError(f"{name} has shape {draw.shape}; {shape} is needed")
