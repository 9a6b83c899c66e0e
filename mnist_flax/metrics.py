"""Scores a network's answers: accuracy, loss, calibration, intervals, and the target.

Everything here is computed with NumPy and SciPy, and counts whole images.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

BINS = 15


class Bin(NamedTuple):
    """Summarizes the images whose predicted digit has a probability within one range.

    Attributes:
      size: number of these images.
      confidence: mean of that probability, 0 to 1; NaN without images.
      accuracy: share of the images that are right, 0 to 1; NaN without images.
    """

    size: int
    confidence: float
    accuracy: float


class Scores(NamedTuple):
    """Says how good a network is on a set of images.

    Attributes:
      confusion: int[10,10], number of images of a digit (row) with an answer (column).
      loss: mean cross-entropy, in nats.
      bins: BINS ranges of probability, of equal width, from 0 to 1.
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
        """Expected calibration error, 0 to 1: how far probabilities are from accuracies.

        It is the mean distance between confidence and accuracy over the bins, weighted by their
        sizes: equation 3 of Guo et al., On Calibration of Modern Neural Networks, ICML 2017
        (https://arxiv.org/abs/1706.04599).
        """
        full = [bin for bin in self.bins if bin.size]
        return sum(b.size * abs(b.accuracy - b.confidence) for b in full) / self.size


def score(log_probabilities: np.ndarray, labels: np.ndarray) -> Scores:
    """Compares log-probabilities with the labels.

    Args:
      log_probabilities: float64[N,10], N at least 1. Of equal ones, the smaller digit counts.
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
    """Converts logits, float[...,10], to log-probabilities, float64[...,10]."""
    # SciPy takes a second to import.
    from scipy.special import log_softmax

    result: np.ndarray = log_softmax(logits.astype(np.float64), axis=-1)
    return result


def wilson_interval(correct: int, count: int) -> tuple[float, float]:
    """Computes the 95 % score interval of a share, the uncertainty from a finite test set.

    Unlike the textbook's p ± 1.96 s, it stays within 0 and 1 and is right for shares near 1:
    Wilson 1927; equation 4 of Brown, Cai and DasGupta, Interval Estimation for a Binomial
    Proportion, 2001 (https://doi.org/10.1214/ss/1009213286).

    Args:
      correct: number of right answers, 0 to count.
      count: number of answers, at least 1.

    Returns:
      The lower and the upper end, 0 to 1.
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

    It compares counts, within rounding: 9,940 of 10,000 meet 0.994.
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
