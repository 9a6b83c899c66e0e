"""Scales a digit's ink and places it like the digits of MNIST.

MNIST's digits were scaled to fit 20x20 pixels, keeping their shape, and placed with the centre
of mass in the middle of 28x28 pixels (http://yann.lecun.com/exdb/mnist/).
"""

import numpy as np
from PIL import Image
from scipy import ndimage

from mnist_flax.predict.contrast import Ink
from mnist_flax.predict.marks import Mark

# In pixels: the longer side of MNIST's digits, the place of their centre of mass, and a stroke
# width that 99 % of them exceed.
_FIT, _CENTRE, _WIDTH = 20, 14, 1.8


def to_mnist(ink: Ink, mark: Mark) -> np.ndarray:
    """Makes an image like MNIST's of a mark.

    Returns:
      uint8[28,28], 0 (background) to 255.
    """
    thin = _WIDTH / _FIT * mark.size
    margin = int(max(mark.width, thin) / 2) + 2
    top, left = (max(0, side.start - margin) for side in mark.box)
    level = ink.level[top : mark.box[0].stop + margin, left : mark.box[1].stop + margin].copy()
    mask = np.zeros(level.shape, bool)
    rows, columns = (
        slice(side.start - start, side.stop - start)
        for side, start in zip(mark.box, (top, left), strict=True)
    )
    mask[rows, columns] = mark.mask
    inside = level[mask]
    # Gaps in strokes have little ink of their own.
    bridges = mask & (level <= ink.floor)
    full = np.percentile(inside[inside >= np.median(inside)], 60)
    level = np.clip((level - ink.floor / 2) / (full - ink.floor / 2), 0, 1)
    level[bridges] = 1
    outside = ndimage.distance_transform_edt(~mask)
    # Keep the faded edge of a stroke, up to half the stroke's width.
    level[(outside > mark.width / 2 + 1) | (level < 0.2)] = 0
    if mark.width < thin:
        # Scaled down, the strokes of a fine pen would nearly vanish: widen them.
        level = np.clip((thin - mark.width) / 2 + 1 - outside, 0, 1)
    return _place(level.astype(np.float32))


def _place(ink: np.ndarray) -> np.ndarray:
    """Scales ink, float32[H,W], to fit 20x20 and centres its mass in uint8[28,28]."""
    rows, columns = (np.flatnonzero(ink.any(axis)) for axis in (1, 0))
    box = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    sides = np.array([box[2] - box[0], box[3] - box[1]])
    width, height = np.maximum(1, np.round(_FIT * sides / sides.max())).astype(int)
    method = Image.Resampling.BOX if max(sides) > _FIT else Image.Resampling.BICUBIC
    small = np.asarray(Image.fromarray(ink).resize((width, height), method, box))
    digit = np.clip(np.round(small * (255 / small.max())), 0, 255).astype(np.uint8)
    centre = ndimage.center_of_mass(digit)
    top, left = (
        int(np.clip(np.round(_CENTRE - middle), 0, 28 - side))
        for middle, side in zip(centre, digit.shape, strict=True)
    )
    canvas = np.zeros((28, 28), np.uint8)
    canvas[top : top + height, left : left + width] = digit
    return canvas
