"""Reads a person's picture and turns its digit into an image like MNIST's."""

import numpy as np

from mnist_flax.predict import contrast, decoding, lines, placing, strokes


def to_mnist(gray):
    found = []
    for ink in contrast.find_ink(gray):
        ink = lines.without_lines(ink)
        marks = strokes.find_marks(ink)
        if marks:
            found.append((ink, marks))
    if len(found) == 2 and strokes.is_sheet(found[0][1][0]):
        found = found[1:]
    return placing.to_mnist(found[0][0], found[0][1][0]) if found else None
from mnist_flax.predict.decoding import _shades, _SIDE
