"""Answers which digits a picture shows, with a warning where that is doubtful."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import softmax

from mnist_flax.predict import doubt, ones
from mnist_flax.predict.images import Digit, Reading

# A mark that is at least this large beside the largest one is another digit.
_ANOTHER = 0.5

# A mark that is unlike a digit, and wider than this for its height, may be several.
_WIDE, _TOUCHING = 1.0, "it is no digit, or several that touch"


class Answer(NamedTuple):
    """What the network sees in one mark of a picture.

    Attributes:
      digit: the mark.
      probabilities: float64[10], that it is a 0, a 1, ..., a 9.
      warning: why it may be no plain digit; None if nothing says so.
    """

    digit: Digit
    probabilities: np.ndarray
    warning: str | None

    @property
    def best_two(self) -> list[tuple[int, float]]:
        """The most likely digit and the runner-up, each with its probability."""
        order = np.argsort(-self.probabilities)[:2]
        return [(int(digit), float(self.probabilities[digit])) for digit in order]


def answer(
    pictures: Sequence[Sequence[Reading]], network: Callable[[np.ndarray], np.ndarray]
) -> list[list[Answer]]:
    """Answers for every mark of every picture.

    Of the ways to read a picture the first one counts, unless its largest mark looks like no
    digit, and that of a later one does and has no thicker strokes: then the first such one.

    Args:
      pictures: the ways to read each picture; at least one each.
      network: computes logits, float[N,10], of images uint8[N,28,28].

    Returns:
      For each picture its marks, in the order of the reading.
    """
    marks = [mark for readings in pictures for reading in readings for mark in reading]
    if not marks:
        return []
    images = np.stack([mark.image for mark in marks])
    logits = np.asarray(network(images), np.float64)
    doubts = doubt.warnings_for(images, logits.argmax(1))
    probabilities = softmax(logits, axis=1)
    warnings = [
        mark.warning or (unlike and _doubt(mark, unlike)) or _one(mark, each)
        for mark, each, unlike in zip(marks, logits, doubts, strict=True)
    ]
    judged = zip(map(Answer, marks, probabilities, warnings), doubts, strict=True)
    chosen = []
    for readings in pictures:
        ways = [[next(judged) for _ in reading] for reading in readings]
        # A digit that is cut off or faint is no reason to read the paper between its strokes,
        # which is thicker than they are.
        thickness = ways[0][0][0].digit.thickness
        alike = [
            way for way in ways if way[0][1] is None and way[0][0].digit.thickness <= thickness
        ]
        chosen.append([each for each, _ in (alike or ways)[0]])
    return chosen


def single(answers: Sequence[Answer]) -> Answer:
    """Takes the largest mark of a picture for its digit; warns if there are other digits."""
    first, *others = answers
    # A punch hole is a mark, too, but looks like no digit.
    digits = [each for each in others if each.warning in (None, ones.WARNING)]
    count = 1 + sum(_height(each) >= _ANOTHER * _height(first) for each in digits)
    if count == 1:
        return first
    return first._replace(warning=f"there are {count} marks; try --many")


def in_reading_order(answers: Sequence[Answer]) -> list[Answer]:
    """Sorts the marks of a picture line by line, each from the left to the right."""
    lines: list[list[Answer]] = []
    for each in sorted(answers, key=lambda each: each.digit.box[1] + each.digit.box[3]):
        middle = (each.digit.box[1] + each.digit.box[3]) / 2
        # The last line's marks reach below this one's middle: it is of the same line.
        if lines and middle < np.mean([other.digit.box[3] for other in lines[-1]]):
            lines[-1].append(each)
        else:
            lines.append([each])
    return [each for line in lines for each in sorted(line, key=lambda x: x.digit.box[0])]


def _doubt(mark: Digit, unlike: str) -> str:
    """Says what a mark that is unlike its digit may be."""
    left, top, right, bottom = mark.box
    return _TOUCHING if right - left > _WIDE * (bottom - top) else unlike


def _one(mark: Digit, logits: np.ndarray) -> str | None:
    """Warns of a 7 that may be a 1."""
    return ones.WARNING if ones.may_be_one(mark.image, logits) else None


def _height(each: Answer) -> int:
    """Returns the height of a mark in pixels."""
    return each.digit.box[3] - each.digit.box[1]
