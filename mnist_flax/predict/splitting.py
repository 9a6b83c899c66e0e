"""Cuts a mark in which several digits touch.

A mark that looks like no digit is cut from top to bottom, upright or leaning, where there is
little ink. The cuts count only if every piece looks like a digit: mnist_flax/predict/doubt.py
knows, whatever the network.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from mnist_flax.predict import doubt, placing
from mnist_flax.predict.contrast import Ink
from mnist_flax.predict.marks import Mark

# How far a cut leans to the right, in columns for each row up.
_LEANS = (-0.15, 0.0, 0.15, 0.3, 0.45)
# The most ink that a cut goes through, in widths of the strokes, and the most cuts tried.
_THROUGH, _CUTS = 2.5, 10
# Of the height of the mark: the least width of two digits, the least distance of cuts, the
# widest piece, and the lowest piece.
_TWO, _APART, _WIDEST, _LOWEST = 1.0, 0.12, 1.1, 0.6
# What is smaller than this share of a piece is left over from its neighbour.
_LEFT_OVER = 0.1


class _Piece(NamedTuple):
    """A piece between two cuts, given by their number, and how unlike a digit it is."""

    first: int
    last: int
    mark: Mark
    unlike: float


def split(ink: Ink, mark: Mark) -> list[Mark]:
    """Cuts a mark into digits.

    Args:
      ink: the ink of the picture.
      mark: a mark in it.

    Returns:
      Its digits from the left to the right; the mark alone if it is one, or cannot be cut.
    """
    if mark.mask.shape[1] < _TWO * mark.height:
        return [mark]

    def unlikeness(marks: list[Mark]) -> np.ndarray:
        images = np.stack([placing.to_mnist(ink, each) for each in marks])
        least: np.ndarray = doubt.unlikeness(images).min(1)
        return least

    if unlikeness([mark])[0] <= 0:
        return [mark]
    ways: list[list[_Piece]] = []
    for lean in _LEANS:
        places = _leaning(mark, lean)
        cuts = _cuts(np.bincount(places), mark)
        between = list(_between(mark, places, cuts))
        if not between:
            continue
        scores = unlikeness([piece for _, _, piece in between])
        pieces = [
            _Piece(*each, float(score))
            for each, score in zip(between, scores, strict=True)
            if score <= 0
        ]
        ways += _chains(pieces, len(cuts) - 1)
    if not ways:
        return [mark]
    best = min(ways, key=lambda way: (len(way), max(piece.unlike for piece in way)))
    return [piece.mark for piece in best]


def _leaning(mark: Mark, lean: float) -> np.ndarray:
    """Numbers the columns of a mark's pixels, which lean to the right, from 0."""
    rows, columns = np.nonzero(mark.mask)
    places = columns + np.round(lean * (rows - mark.height / 2)).astype(int)
    return places - places.min()


def _between(
    mark: Mark, places: np.ndarray, cuts: list[int]
) -> Iterator[tuple[int, int, Mark]]:
    """Yields the pieces of a mark between any two cuts, with the cuts' numbers."""
    rows, columns = np.nonzero(mark.mask)
    for i, start in enumerate(cuts):
        for j, stop in enumerate(cuts[i + 1 :], i + 1):
            inside = (places >= start) & (places < stop)
            is_whole = (i, j) == (0, len(cuts) - 1)
            if is_whole or not inside.any() or stop - start > _WIDEST * mark.height:
                continue
            mask = np.zeros_like(mark.mask)
            mask[rows[inside], columns[inside]] = True
            piece = _cropped(mask, mark)
            if piece.height >= _LOWEST * mark.height:
                yield i, j, piece


def _cuts(counts: np.ndarray, mark: Mark) -> list[int]:
    """Chooses where to cut, by the pixels of ink that each cut goes through; with both ends."""
    apart = max(2, _APART * mark.height)
    chosen: list[int] = []
    for place in np.argsort(counts, kind="stable"):
        if counts[place] > _THROUGH * mark.width or len(chosen) == _CUTS:
            break
        if all(abs(place - x) >= apart for x in (0, len(counts), *chosen)):
            chosen.append(int(place))
    return [0, *sorted(chosen), len(counts)]


def _cropped(mask: np.ndarray, mark: Mark) -> Mark:
    """Makes a mark of a piece, without what is left over from its neighbours."""
    labels = ndimage.label(mask, np.ones((3, 3)))[0]
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    mask = np.isin(labels, np.flatnonzero(areas >= max(1, _LEFT_OVER * areas.max())))
    (box,) = ndimage.find_objects(mask.astype(np.int8))
    rows, columns = (
        slice(whole.start + side.start, whole.start + side.stop)
        for whole, side in zip(mark.box, box, strict=True)
    )
    return Mark((rows, columns), mask[box], mark.width, rim=0.0)


def _chains(pieces: list[_Piece], last: int, first: int = 0) -> Iterator[list[_Piece]]:
    """Yields the rows of pieces that reach from the first cut to the last."""
    if first == last:
        yield []
        return
    for piece in pieces:
        if piece.first == first:
            for rest in _chains(pieces, last, piece.last):
                yield [piece, *rest]
