"""Which reading counts, which marks are answered, in which order, and with which warning."""

import numpy as np
import pytest

from mnist_flax.predict import answers, doubt
from mnist_flax.predict.answers import Answer
from mnist_flax.predict.images import Digit

Box = tuple[int, int, int, int]
UNLIKE = 99
DOUBT = "it looks like nothing"


def mark(
    digit: int,
    box: Box = (0, 0, 10, 20),
    warning: str | None = None,
    thickness: float = 0.1,
) -> Digit:
    """A mark that `network` answers with a digit; UNLIKE looks like none."""
    return Digit(np.full((28, 28), digit, np.uint8), box, thickness, warning)


def network(images: np.ndarray) -> np.ndarray:
    """Logits, 9 for the digit that an image stands for."""
    return 9.0 * (np.arange(10) == images[:, 0, 0, None] % 10)


@pytest.fixture(autouse=True)
def _doubts(monkeypatch: pytest.MonkeyPatch) -> None:
    def warnings_for(images: np.ndarray, _: np.ndarray) -> list[str | None]:
        return [DOUBT if x == UNLIKE else None for x in images[:, 0, 0]]

    monkeypatch.setattr(doubt, "warnings_for", warnings_for)


def digits(found: list[Answer]) -> list[int]:
    return [each.best_two[0][0] for each in found]


def test_one_call_of_the_network_for_all_pictures() -> None:
    calls = []

    def counted(images: np.ndarray) -> np.ndarray:
        calls.append(images.shape)
        return network(images)

    pictures = [[[mark(3)], [mark(4), mark(5)]], [[mark(7), mark(8)]]]
    found = answers.answer(pictures, counted)
    assert calls == [(5, 28, 28)]
    assert list(map(digits, found)) == [[3], [7, 8]]


def test_no_pictures() -> None:
    def fail(_: np.ndarray) -> np.ndarray:
        raise AssertionError("nothing is to be computed")

    assert answers.answer([], fail) == []


def test_probabilities() -> None:
    ((found,),) = answers.answer([[[mark(6)]]], network)
    assert found.probabilities.dtype == np.float64
    assert found.probabilities.sum() == pytest.approx(1, abs=1e-12)
    (best, first), (_, second) = found.best_two
    assert best == 6
    assert first == found.probabilities.max() == pytest.approx(1 / (1 + 9 * np.exp(-9)))
    assert second == pytest.approx(np.exp(-9) * first)


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        # The first one, if nothing is wrong with it, whatever the other is.
        ([[mark(1)], [mark(2)]], [1]),
        ([[mark(1)], [mark(UNLIKE)]], [1]),
        # The second one, if its largest mark alone is plain.
        ([[mark(UNLIKE)], [mark(2), mark(3)]], [2, 3]),
        ([[mark(UNLIKE), mark(1)], [mark(2)]], [2]),
        # The paper between strokes is thicker than they are.
        ([[mark(UNLIKE, thickness=0.1)], [mark(2, thickness=0.3)]], [9]),
        ([[mark(UNLIKE, thickness=0.3)], [mark(2, thickness=0.1)]], [2]),
        # What the picture tells does not count: the paper in a cut digit is not cut.
        ([[mark(1, warning="it is very faint")], [mark(2)]], [1]),
        # The first one, if both are in doubt.
        ([[mark(UNLIKE)]], [9]),
    ],
)
def test_the_reading_that_counts(readings, expected) -> None:
    (found,) = answers.answer([readings], network)
    assert digits(found) == expected


def test_warnings() -> None:
    cut = mark(UNLIKE, warning="it is cut off at the rim")
    (found,) = answers.answer([[[mark(UNLIKE), mark(2), cut]]], network)
    # What the picture tells goes before what the network does.
    assert [each.warning for each in found] == [DOUBT, None, cut.warning]


def test_digits_that_touch_are_named() -> None:
    wide, high = (0, 0, 30, 20), (0, 0, 10, 20)
    (found,) = answers.answer(
        [[[mark(UNLIKE, wide), mark(UNLIKE, high), mark(2, wide)]]], network
    )
    assert [each.warning for each in found] == [
        "it is no digit, or several that touch",
        DOUBT,
        None,
    ]


# ------------------------------------------------------------------------------ one of several


def answered(boxes: list[Box], warning: str | None = None) -> list[Answer]:
    """Marks with the digits 0, 1, 2, ... in these boxes."""
    marks = [mark(i, box, warning) for i, box in enumerate(boxes)]
    (found,) = answers.answer([[marks]], network)
    return found


def test_a_mark_by_itself() -> None:
    for warning in (None, "it is very faint"):
        first = answers.single(answered([(0, 0, 10, 20)], warning))
        assert first.warning == warning
        assert first.best_two[0][0] == 0


@pytest.mark.parametrize(
    ("boxes", "count"),
    [
        ([(0, 0, 10, 20), (12, 0, 22, 20)], 2),
        ([(0, 0, 10, 20), (12, 0, 22, 11), (30, 5, 33, 20)], 3),
        # Less than half as high as the largest: dust, a dot, a blot.
        ([(0, 0, 10, 20), (12, 0, 22, 9)], 1),
        ([(0, 0, 10, 20), (12, 0, 22, 9), (40, 0, 50, 18)], 2),
    ],
)
def test_several_marks(boxes, count) -> None:
    first = answers.single(answered(boxes))
    assert first.best_two[0][0] == 0
    assert first.warning == (f"there are {count} marks; try --many" if count > 1 else None)


# ------------------------------------------------------------------------------- reading order


def ordered(boxes: list[Box]) -> list[int]:
    return digits(answers.in_reading_order(answered(boxes)))


@pytest.mark.parametrize("shuffle", range(5))
def test_a_line(shuffle) -> None:
    rng = np.random.default_rng(shuffle)
    order = rng.permutation(6)
    # Of uneven height, and each a little higher or lower than the last.
    rise = rng.integers(-4, 5, 6)
    boxes = [(30 * i, 10 + rise[i], 30 * i + 20, 45 + rise[i]) for i in range(6)]
    assert ordered([boxes[i] for i in order]) == np.argsort(order).tolist()


@pytest.mark.parametrize("slope", [-0.08, 0.08])
def test_a_line_that_rises_or_falls(slope) -> None:
    tops = [round(100 + slope * 30 * i) for i in range(8)]
    assert ordered([(30 * i, top, 30 * i + 20, top + 36) for i, top in enumerate(tops)]) == [
        *range(8)
    ]


def test_several_lines() -> None:
    boxes = [
        (40 * x, 50 * y + 3 * x, 40 * x + 25, 50 * y + 38) for y in range(3) for x in (0, 1, 2)
    ]
    order = [4, 8, 0, 2, 6, 1, 3, 7, 5]
    found = ordered([boxes[i] for i in order])
    assert [order[i] for i in found] == [*range(9)]


def test_a_column() -> None:
    boxes = [(10 + (i % 2) * 6, 45 * i, 40, 45 * i + 35) for i in range(6)]
    assert ordered(boxes[::-1]) == [5, 4, 3, 2, 1, 0]


def test_digits_of_unlike_height_in_a_line() -> None:
    # A low 0 between tall ones, on their foot and at their head.
    assert ordered([(60, 0, 80, 40), (30, 20, 50, 40), (0, 0, 20, 40)]) == [2, 1, 0]
    assert ordered([(60, 0, 80, 40), (30, 0, 50, 22), (0, 0, 20, 40)]) == [2, 1, 0]


def test_nothing_in_order() -> None:
    assert answers.in_reading_order([]) == []
