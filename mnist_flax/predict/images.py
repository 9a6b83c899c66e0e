"""Reads a person's picture and turns its digits into images like MNIST's.

The steps, one module each:
  decoding   a file becomes grey levels
  contrast   grey levels become ink: how much darker, or lighter, each pixel is than its paper
  lines      ruled lines, squares and printed boxes are taken out of the ink
  strokes    the ink's connected parts become marks: digits, and what else was drawn
  placing    a mark is scaled and centred like the digits of MNIST
docs/OWN_DIGITS.md shows them in pictures.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from mnist_flax.errors import UserError
from mnist_flax.predict import contrast, cropping, decoding, lines, placing, splitting, strokes
from mnist_flax.predict.decoding import Picture
from mnist_flax.predict.marks import Mark

# Ink that covers more of the picture, and of its own box, than these is no digit.
_MOSTLY_INK, _SOLID = 0.5, 0.7
# What is narrower than this share of its height is a 1 that is cut tight.
_BAR = 0.35
# Ink with less contrast than this, or than this many times the noise, is too faint to be sure.
_FAINT, _UNSURE = 0.06, 1.5
# A mark that is at the rim on one side, and this far from the other, was cut off there.
_CUT = 0.1
_TOUCHES = "it touches another digit"


class Digit(NamedTuple):
    """A mark in a picture, as the network sees it.

    Attributes:
      image: uint8[28,28], 0 (background) to 255.
      box: left, top, right, bottom in pixels of the upright picture.
      thickness: the width of its strokes as a share of its longer side, 0 to 1.
      warning: what is unusual about its place and its ink; None if nothing is.
    """

    image: np.ndarray
    box: tuple[int, int, int, int]
    thickness: float
    warning: str | None


# The digits of a picture, the largest first.
Reading = list[Digit]


def read(path: str | Path, many: bool = False) -> list[Reading]:
    """Reads an image file.

    Args:
      path: as for decoding.decode_file.
      many: whether several digits are expected.

    Returns:
      One to three ways to read it, the likelier ones first: the picture can be cut tight around
      its digit, and the ink can be darker or lighter than its paper.

    Raises:
      UserError: the file cannot be decoded, or nothing stands out in it.
    """
    path = Path(path)
    readings = find_digits(decoding.decode_file(path), many)
    if not readings:
        raise UserError(f"{path} is blank; give an image of a digit")
    return readings


def read_image(image: Image.Image, many: bool = False) -> list[Reading]:
    """Reads an image as `read` reads a file; an empty list if nothing stands out in it."""
    return find_digits(decoding.decode(image), many)


def to_mnist(gray: np.ndarray) -> np.ndarray | None:
    """Finds the digit in a picture, scales it and places it like MNIST's.

    Args:
      gray: float32[H,W], 0 (black) to 255: a digit, dark on light or light on dark.

    Returns:
      uint8[28,28], 0 (background) to 255; None if nothing stands out from the background.
    """
    readings = find_digits(Picture(gray, 1, 0))
    return readings[0][0].image if readings else None


def find_digits(picture: Picture, many: bool = False) -> list[Reading]:
    """Finds the digits in a picture; returns what `read` returns, empty if it is blank."""
    tight = None if many else cropping.find_tight(picture.gray)
    found = [(tight[0], [tight[1]])] if tight else []
    for ink in contrast.find_ink(picture.gray):
        clean, marks = find_marks(ink, many)
        if marks:
            found.append((clean, marks))
    if len(found) == 2 and not tight and strokes.is_sheet(found[0][1][0]):
        found.reverse()
    return [
        [digit for mark in marks for digit in _digits(picture, ink, mark, many)]
        for ink, marks in found
    ]


def find_marks(ink: contrast.Ink, many: bool = False) -> tuple[contrast.Ink, list[Mark]]:
    """Takes lines out of the ink and finds its marks; returns what is left of it, too."""
    clean = lines.without_lines(ink)
    marks = strokes.find_marks(clean, many)
    if not marks:
        return clean, []
    # How wide strokes are is known now, and with that what is too wide for one.
    finer = contrast.narrowed(ink, strokes.darkest_width(clean, marks[0]))
    if finer is ink:
        return clean, marks
    clean = lines.without_lines(finer)
    return clean, strokes.find_marks(clean, many)


def _digits(picture: Picture, ink: contrast.Ink, mark: Mark, many: bool) -> list[Digit]:
    """Makes a digit of a mark, or several of one in which they touch."""
    pieces = splitting.split(ink, mark) if many else [mark]
    touching = _TOUCHES if len(pieces) > 1 else None
    return [
        Digit(
            placing.to_mnist(ink, piece),
            _box(picture, piece),
            piece.width / piece.size,
            _warning(ink, piece) or touching,
        )
        for piece in pieces
    ]


def _box(picture: Picture, mark: Mark) -> tuple[int, int, int, int]:
    """Computes where a mark is in the upright file."""
    rows, columns = mark.box
    edges = (columns.start, rows.start, columns.stop, rows.stop)
    left, top, right, bottom = (round((x - picture.margin) * picture.scale) for x in edges)
    return left, top, right, bottom


def _warning(ink: contrast.Ink, mark: Mark) -> str | None:
    """Tells what is unusual about a mark's place and ink."""
    covered = mark.area > max(_MOSTLY_INK * ink.level.size, _SOLID * mark.mask.size)
    if covered and min(mark.mask.shape) > _BAR * mark.size:
        return "ink covers most of the picture"
    for side, length in zip(mark.box, ink.level.shape, strict=True):
        before, behind = side.start, length - side.stop
        if min(before, behind) == 0 and max(before, behind) > _CUT * mark.size:
            return "it is cut off at the rim"
    if ink.most < max(_FAINT, _UNSURE * ink.floor):
        return "it is very faint"
    return None
