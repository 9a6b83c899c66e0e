"""Scores a network's answers: accuracy, loss, calibration, intervals, and the target.

Everything here is counted from whole images, in NumPy.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

BINS = 15


class Bin(NamedTuple):
    """The images for whose digit the network gave a probability in one range.

    Attributes:
      size: how many they are.
      confidence: the mean of that probability, 0 to 1; NaN if there is none.
      accuracy: the share that is right, 0 to 1; NaN if there is none.
    """

    size: int
    confidence: float
    accuracy: float


class Scores(NamedTuple):
    """How good a network is on a set of images.

    Attributes:
      confusion: int[10,10], how often a digit (row) was taken for a digit (column).
      loss: the mean cross-entropy, in nats.
      bins: BINS of them, of equal width, from 0 to 1.
    """

    confusion: np.ndarray
    loss: float
    bins: list[Bin]

    @property
    def size(self) -> int:
        """Number of images."""
        return int(self.confusion.sum())

    @property
    def correct(self) -> int:
        """Number of images that are right."""
        return int(np.trace(self.confusion))

    @property
    def accuracy(self) -> float:
        """Share of the images that are right, 0 to 1."""
        return self.correct / self.size

    @property
    def ece(self) -> float:
        """Expected calibration error, 0 to 1: how far a probability is from the truth.

        The mean distance of confidence and accuracy over the bins, each weighted by its size:
        equation 3 of Guo et al., On Calibration of Modern Neural Networks, ICML 2017
        (https://arxiv.org/abs/1706.04599).
        """
        full = [bin for bin in self.bins if bin.size]
        return sum(b.size * abs(b.accuracy - b.confidence) for b in full) / self.size


def score(log_probabilities: np.ndarray, labels: np.ndarray) -> Scores:
    """Compares log-probabilities with the labels.

    Args:
      log_probabilities: float64[N,10], N from 1. Of equal ones, the smaller digit counts.
      labels: int[N], 0 to 9.
    """
    predictions = log_probabilities.argmax(1)
    confusion = np.zeros((10, 10), np.int64)
    np.add.at(confusion, (labels, predictions), 1)
    confidences = np.exp(log_probabilities.max(1))
    # The m-th bin is ((m - 1) / BINS, m / BINS], as in the paper.
    places = np.clip(np.ceil(confidences * BINS).astype(int) - 1, 0, BINS - 1)
    bins = []
    for i in range(BINS):
        inside = places == i
        count = int(inside.sum())
        right = int((predictions == labels)[inside].sum())
        bins.append(
            Bin(count, float(confidences[inside].mean()), right / count)
            if count
            else Bin(0, math.nan, math.nan)
        )
    loss = -log_probabilities[np.arange(len(labels)), labels].mean()
    return Scores(confusion, float(loss), bins)


def log_probabilities(logits: np.ndarray) -> np.ndarray:
    """Converts logits, float[N,10], to log-probabilities, float64[N,10]."""
    # SciPy takes a second to import.
    from scipy.special import log_softmax

    result: np.ndarray = log_softmax(logits.astype(np.float64), axis=1)
    return result


def wilson_interval(correct: int, count: int) -> tuple[float, float]:
    """Computes the 95 % score interval of a share.

    Unlike the textbook's p ± 1.96 s it stays within 0 and 1, and holds for shares near 1:
    Wilson 1927; equation 4 of Brown, Cai and DasGupta, Interval Estimation for a Binomial
    Proportion, 2001 (https://doi.org/10.1214/ss/1009213286).

    Args:
      correct: 0 to count.
      count: from 1.

    Returns:
      Its ends, 0 to 1.
    """
    # SciPy takes a second to import.
    from scipy.stats import binomtest

    interval = binomtest(correct, count).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def count_correct(accuracy: float, count: int) -> int:
    """Recovers the number of right answers from an accuracy that was rounded to float32."""
    return round(accuracy * count)


def meets_target(correct: int, count: int, target: float) -> bool:
    """Says whether a number of right answers meets a target accuracy, 0 to 1.

    A count is compared, and within rounding: 9,940 of 10,000 meet 0.994.
    """
    return correct >= target * count - 1e-6


def first_epoch_at_target(correct: Sequence[int], count: int, target: float) -> int | None:
    """Finds the first epoch, from 1, that meets a target; None if none does.

    Args:
      correct: the number of right answers after each epoch.
      count: the number of test images.
      target: an accuracy, 0 to 1.
    """
    epochs = enumerate(correct, 1)
    return next((epoch for epoch, n in epochs if meets_target(n, count, target)), None)
