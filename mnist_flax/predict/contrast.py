"""Finds the ink in a picture: what is thin, and darker or lighter than the paper around it.

The paper at a pixel is the grey level that a morphological closing leaves: it fills every dark
thing narrower than a window and keeps all others. Shadows, light spots, a sheet and the table
under it are wider than the window: they are paper, not ink.
"""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

# The window's side, as a share of the picture's longer side: wider than the boldest stroke.
_WINDOW = 0.35
# Beside strokes it is this many times as wide as they are, if that is less than so much of it.
_STROKES, _NARROWER = 4, 0.9
# Added to the paper's grey levels, of 255: in nearly black paper noise is no contrast.
_DARK = 24
# The least contrast that can be ink, of 1, and the least in standard deviations of the noise.
_LEAST, _NOISE = 0.03, 5


class Ink(NamedTuple):
    """The ink of a picture.

    Attributes:
      level: float32[H,W], 0 (paper) to 1 (black ink on white paper).
      floor: the least level that is no noise.
      most: the level of the strongest ink.
      gray: float32[H,W], the grey levels that it was measured in, 255 less each if it is light.
    """

    level: np.ndarray
    floor: float
    most: float
    gray: np.ndarray


def find_ink(gray: np.ndarray) -> list[Ink]:
    """Measures how much darker, and how much lighter, each pixel is than its paper.

    Args:
      gray: float32[H,W], 0 (black) to 255.

    Returns:
      The ink if it is dark and if it is light, the more likely one first; without one that does
      not stand out from the noise.
    """
    gray = _smooth(_stretched(gray))
    window = max(5, int(_WINDOW * max(gray.shape)) | 1)
    grays = (gray, 255 - gray)
    # The right one removes all strokes, the other one fills their holes and keeps the strokes:
    # what it takes for paper has more edges. Where the window is cut at the rim, frames and the
    # edges of tables vanish from the right one, too.
    edges = [
        _edges(ndimage.grey_closing(each, (window, window), mode="nearest")) for each in grays
    ]
    inks = [_ink(grays[i], _paper(grays[i], window)) for i in np.argsort(edges, kind="stable")]
    return [ink for ink in inks if ink.most > 1.3 * ink.floor]


def on_even_paper(gray: np.ndarray) -> list[Ink]:
    """Measures ink on paper that is of one shade, its lightest: first dark ink, then light."""
    gray = _smooth(_stretched(gray))
    margin = min(gray.shape) // 2 + 1
    inks = []
    for each in (gray, 255 - gray):
        paper = float(np.percentile(each, 98))
        # With more paper around it, at least a quarter of the picture is paper.
        wide = np.pad(each, margin, constant_values=paper)
        ink = _ink(wide, np.full_like(wide, paper))
        inside = ink.level[margin:-margin, margin:-margin]
        inks.append(Ink(inside, ink.floor, strongest(inside), each))
    return [ink for ink in inks if ink.most > 1.3 * ink.floor]


def _stretched(gray: np.ndarray) -> np.ndarray:
    """Scales grey levels so that the lightest are 255."""
    stretched: np.ndarray = gray * (255 / max(float(np.percentile(gray, 99.9)), 1))
    return stretched


def narrowed(ink: Ink, width: float) -> Ink:
    """Measures ink anew beside its strokes: what is much wider than they are is paper, too.

    Args:
      ink: of the whole picture.
      width: of its strokes, in pixels.

    Returns:
      The same ink where its strokes are not fine.
    """
    window = max(5, int(_STROKES * width) | 1)
    if window > _NARROWER * _WINDOW * max(ink.gray.shape):
        return ink
    found = _ink(ink.gray, _paper(ink.gray, window))
    return found if found.most > 1.3 * found.floor else ink


def _paper(gray: np.ndarray, window: int) -> np.ndarray:
    """Fills what is dark and narrower than a window; the rim goes on outside the picture."""
    half = window // 2
    filled = ndimage.grey_closing(np.pad(gray, half, mode="edge"), (window, window))
    paper: np.ndarray = filled[half:-half, half:-half]
    return paper


def _ink(gray: np.ndarray, paper: np.ndarray) -> Ink:
    """Compares a picture with its paper."""
    darker = paper - gray
    level = darker / (paper + _DARK)
    # The paper covers a quarter of any picture. Of a normal distribution the 25th and the 2nd
    # percentile are 1.38 standard deviations apart, the 25th and the mean 0.67.
    low, usual = np.percentile(level, [2, 25])
    noise = float(usual - low) / 1.38
    floor = max(float(usual) + (0.67 + _NOISE) * noise, _LEAST)
    # Noise is as strong in dark paper as in light paper, though not as a share of it.
    level[darker < floor * (float(np.median(paper)) + _DARK)] = 0
    return Ink(level, floor, strongest(level), gray)


def strongest(level: np.ndarray) -> float:
    """Returns the level of the strongest ink, but for a few pixels."""
    left_out = min(max(4, level.size // 10_000), level.size)
    return float(np.partition(level.ravel(), -left_out)[-left_out])


def _smooth(gray: np.ndarray) -> np.ndarray:
    """Blurs a noisy picture, as much as its noise demands."""
    if min(gray.shape) < 48:  # Too few pixels to tell noise from strokes.
        return gray
    # The second difference in both directions vanishes on edges and slopes, not on noise
    # (J. Immerkaer, Fast noise variance estimation, 1996). The median leaves out the strokes.
    differences = ndimage.convolve(gray, np.outer([1, -2, 1], [1, -2, 1]).astype(np.float32))
    noise = float(np.median(np.abs(differences))) / 0.6745 / 6
    if noise <= 2:
        return gray
    radius = min(1.5, 0.3 + noise / 10) * max(1, max(gray.shape) / 250)
    return ndimage.gaussian_filter(gray, radius)


def _edges(paper: np.ndarray) -> float:
    """Sums the differences between neighbouring pixels."""
    return sum(float(np.abs(np.diff(paper, axis=axis)).sum()) for axis in (0, 1))
