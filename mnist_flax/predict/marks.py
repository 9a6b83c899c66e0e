"""A mark: strokes that belong together."""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

Box = tuple[slice, slice]


class Mark(NamedTuple):
    """Strokes that belong together: a digit, or something else that was drawn.

    Attributes:
      box: the rows and the columns of the picture that it covers.
      mask: bool[h,w], its pixels within the box.
      width: the mean width of its strokes, in pixels.
      rim: the share of the picture's rim that it covers, 0 to 1.
    """

    box: Box
    mask: np.ndarray
    width: float
    rim: float

    @property
    def height(self) -> int:
        """The height of its box, in pixels."""
        return self.mask.shape[0]

    @property
    def size(self) -> int:
        """The longer side of its box, in pixels."""
        return max(self.mask.shape)

    @property
    def extent(self) -> float:
        """Its size, less if it is narrow: a sliver at the edge of a sheet counts for little."""
        return float(self.size**0.75 * min(self.mask.shape) ** 0.25)

    @property
    def area(self) -> int:
        """The number of its pixels."""
        return int(self.mask.sum())


def stroke_width(mask: np.ndarray) -> float:
    """Measures the mean width, in pixels, of the strokes in bool[H,W]."""
    # The pixels of a long stroke are on average a quarter of its width from its edge. The
    # transform measures to the nearest pixel outside, which is half a pixel more.
    inside = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    return 4 * (float(inside[mask].mean()) - 0.5)
