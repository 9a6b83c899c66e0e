"""Accuracy, loss, calibration and intervals, against values that were computed elsewhere."""

import math

import numpy as np
import pytest
from scipy import special

from mnist_flax import metrics


def answers(*rows: tuple[int, float]) -> np.ndarray:
    """Log-probabilities: of each row's digit the probability, of the next one the rest."""
    probabilities = np.zeros((len(rows), 10))
    for row, (digit, probability) in zip(probabilities, rows, strict=True):
        row[digit], row[(digit + 1) % 10] = probability, 1 - probability
    with np.errstate(divide="ignore"):
        return np.log(probabilities)


def test_by_hand() -> None:
    # Bins of a width of 1/15: 0.60 is at the upper end of the 9th, 0.62 in the 10th, 0.95 and
    # 1 in the 15th.
    found = metrics.score(
        answers((3, 0.60), (3, 0.62), (7, 0.95), (7, 1.0), (1, 0.95)), np.array([3, 4, 7, 7, 2])
    )
    assert (found.size, found.correct, found.accuracy) == (5, 3, 0.6)
    expected = np.zeros((10, 10), int)
    expected[3, 3], expected[4, 3], expected[7, 7], expected[2, 1] = 1, 1, 2, 1
    np.testing.assert_array_equal(found.confusion, expected)
    # The labels of the wrong ones have 0.38 and 0.05.
    loss = -(math.log(0.6) + math.log(0.38) + math.log(0.95) + math.log(0.05)) / 5
    assert found.loss == pytest.approx(loss, abs=1e-12)
    sizes = {place: bin.size for place, bin in enumerate(found.bins) if bin.size}
    assert sizes == {8: 1, 9: 1, 14: 3}
    assert found.bins[14].confidence == pytest.approx(2.9 / 3)
    assert found.bins[14].accuracy == pytest.approx(2 / 3)
    assert math.isnan(found.bins[0].accuracy)
    # One by one: |1 - 0.60|, |0 - 0.62|, and three times |2/3 - 2.9/3| = 0.9.
    assert found.ece == pytest.approx((0.40 + 0.62 + 0.90) / 5, abs=1e-12)


def test_a_network_that_is_as_sure_as_it_is_right() -> None:
    found = metrics.score(answers(*[(0, 0.75)] * 4), np.array([0, 0, 0, 1]))
    assert found.ece == pytest.approx(0, abs=1e-12)


def test_ece_image_by_image() -> None:
    """The same, summed another way: with a loop over images, and bins by comparison."""
    random = np.random.default_rng(0)
    logits = 3 * random.normal(size=(2000, 10))
    labels = random.integers(0, 10, 2000)
    probabilities = special.softmax(logits, axis=1)
    gaps = dict.fromkeys(range(15), 0.0)
    for row, label in zip(probabilities, labels, strict=True):
        (place,) = [m for m in range(15) if m / 15 < row.max() <= (m + 1) / 15]
        gaps[place] += (row.argmax() == label) - row.max()
    found = metrics.score(metrics.log_probabilities(logits), labels)
    assert found.ece == pytest.approx(sum(map(abs, gaps.values())) / 2000, abs=1e-12)
    loss = -np.log(probabilities[np.arange(2000), labels]).mean()
    assert found.loss == pytest.approx(loss, abs=1e-12)


def test_of_equal_answers_the_smaller_digit_counts() -> None:
    found = metrics.score(np.full((2, 10), math.log(0.1)), np.array([0, 9]))
    assert found.correct == 1
    assert found.confusion[9, 0] == 1


@pytest.mark.parametrize(
    ("correct", "count", "low", "high"),
    [
        # Newcombe, Two-sided confidence intervals for the single proportion, Statistics in
        # Medicine 17 (1998), table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (20, 20, 1 - 0.1611, 1.0),  # The mirror image of 0 of 20.
    ],
)
def test_wilson_as_published(correct: int, count: int, low: float, high: float) -> None:
    found = metrics.wilson_interval(correct, count)
    assert found == pytest.approx((low, high), abs=5e-5)


def test_wilson_is_where_the_score_is_one_point_nine_six() -> None:
    """Its definition: the shares that a score test at 5 % does not reject."""
    for correct, count in [(9952, 10_000), (1, 3), (7, 892)]:
        for end in metrics.wilson_interval(correct, count):
            score = (correct / count - end) / math.sqrt(end * (1 - end) / count)
            assert abs(score) == pytest.approx(1.959963984540054, abs=1e-9)


def test_log_probabilities_of_large_logits() -> None:
    logits = np.array([[1e4, 0, -1e4], [0.0, 1.0, 2.0]], np.float32)
    found = metrics.log_probabilities(logits)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, special.log_softmax(logits.astype(float), axis=1))


@pytest.mark.parametrize(
    ("correct", "count", "target", "expected"),
    [(9940, 10_000, 0.994, True), (9939, 10_000, 0.994, False), (497, 500, 0.994, True)],
)
def test_meets_target(correct: int, count: int, target: float, expected: bool) -> None:
    assert metrics.meets_target(correct, count, target) is expected


def test_first_epoch_at_target() -> None:
    assert metrics.first_epoch_at_target([9900, 9940, 9950], 10_000, 0.994) == 2
    assert metrics.first_epoch_at_target([9900, 9939], 10_000, 0.994) is None


def test_count_is_recovered_from_a_rounded_accuracy() -> None:
    for count in (10_000, 9_999, 7):
        for correct in range(max(0, count - 100), count + 1):
            accuracy = float(np.float32(correct) / np.float32(count))
            assert metrics.count_correct(accuracy, count) == correct
