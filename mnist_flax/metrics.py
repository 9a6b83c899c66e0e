"""How good a network's answers are: accuracy, loss, calibration, and how sure that is.

Everything here starts from log-probabilities, float64[N,10], and labels, int[N].
"""

import itertools
import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mnist_flax import errors

if TYPE_CHECKING:
    from mnist_flax.trained.loading import Trained

BINS = 15
# Of a normal distribution, 95 % lies within so many standard deviations.
_Z = 1.959963984540054


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


class Evaluation(NamedTuple):
    """What a network is worth on a set of images.

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


def evaluate(log_probabilities: np.ndarray, labels: np.ndarray) -> Evaluation:
    """Compares answers with the truth.

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
    return Evaluation(confusion, float(loss), bins)


def warn_if_not_as_recorded(run: "Trained", found: Evaluation) -> None:
    """Prints a warning if the run itself counted another number of right answers.

    On another device or with other versions, logits that are nearly equal may change places.
    """
    if not run.history:
        return
    recorded = round(run.history[-1]["test_accuracy"] * found.size)
    if recorded != found.correct:
        errors.warn(
            f"the run had {recorded} of {found.size} right after epoch {run.epoch}, here it "
            f"has {found.correct}: another device, other versions or other data"
        )


def wilson_interval(correct: int, count: int) -> tuple[float, float]:
    """The 95 % score interval of a share.

    Unlike the textbook's p ± 1.96 s it stays within 0 and 1, and holds for shares near 1:
    equation 4 of Brown, Cai and DasGupta, Interval Estimation for a Binomial Proportion, 2001
    (https://doi.org/10.1214/ss/1009213286); Wilson, 1927.

    Args:
      correct: 0 to count.
      count: from 1.

    Returns:
      Its ends, 0 to 1.
    """
    share, z2 = correct / count, _Z**2
    centre = (correct + z2 / 2) / (count + z2)
    half = (
        _Z * math.sqrt(count) / (count + z2) * math.sqrt(share * (1 - share) + z2 / (4 * count))
    )
    return max(0.0, centre - half), min(1.0, centre + half)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Log-probabilities float64[N,10] of logits float[N,10]."""
    shifted = logits.astype(np.float64) - logits.max(1, keepdims=True)
    result: np.ndarray = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return result


def shifted(images: np.ndarray) -> list[np.ndarray]:
    """The images moved by -1, 0 and 1 pixels across and down; black comes in.

    Args:
      images: uint8[N,28,28].

    Returns:
      Nine times uint8[N,28,28].
    """
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    height, width = images.shape[1:]
    return [
        padded[:, y : y + height, x : x + width]
        for y, x in itertools.product(range(3), repeat=2)
    ]


def augmented_log_probabilities(run: "Trained", images: np.ndarray) -> np.ndarray:
    """Test-time augmentation by translation only: the mean probabilities over `shifted`.

    Args:
      run: the network.
      images: uint8[N,28,28].

    Returns:
      float64[N,10].

    Raises:
      UserError: see trained.logits.
    """
    from mnist_flax.trained import loading

    views = [log_softmax(loading.logits(run, view)) for view in shifted(images)]
    mean: np.ndarray = np.logaddexp.reduce(views) - math.log(len(views))
    return mean
