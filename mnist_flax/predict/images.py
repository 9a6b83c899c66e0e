"""Reads a person's picture and turns its digit into an image like MNIST's."""

import numpy as np

from mnist_flax.predict import contrast, decoding, lines, placing, strokes


def to_mnist(gray):
    first = None
    for ink in contrast.find_ink(gray):
        ink = lines.without_lines(ink)
        marks = strokes.find_marks(ink)
        if marks:
            first = first or (ink, marks[0])
            if marks[0].width < strokes.FAT * marks[0].size:
                first = ink, marks[0]
                break
    return first and placing.to_mnist(*first)
from mnist_flax.predict.decoding import _shades, _SIDE
