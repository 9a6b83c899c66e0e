"""Reads a person's picture and turns its digit into an image like MNIST's."""

import numpy as np

from mnist_flax.predict import contrast, decoding, placing, strokes


def to_mnist(gray):
    for ink in contrast.find_ink(gray):
        marks = strokes.find_marks(ink)
        if marks:
            return placing.to_mnist(ink.level, marks[0].mask, ink.floor)
    return None


from mnist_flax.predict.decoding import _shades, _SIDE
