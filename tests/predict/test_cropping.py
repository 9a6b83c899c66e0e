"""Pictures that are cut tight around a digit are known, and read as a whole."""

import numpy as np
import pytest
from helpers.drawings import drawn, pixels

from mnist_flax.predict import cropping

SIDE = 240


def cut(number: int, width: int, margin: int = 0, light: bool = False) -> np.ndarray:
    """float32[H,W]: a drawn digit with this much paper around it."""
    gray = pixels(drawn(number, SIDE, width))
    rows, columns = (np.flatnonzero((gray < 128).any(axis)) for axis in (1, 0))
    gray = gray[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    gray = np.pad(40 + 0.75 * gray, margin, constant_values=231.25)
    return 255 - gray if light else gray


@pytest.mark.parametrize("light", [False, True])
@pytest.mark.parametrize("width", [4, 16, 40])
@pytest.mark.parametrize("number", [0, 2, 3, 4, 5, 6, 8, 9])
def test_the_whole_digit_is_the_mark(number, width, light) -> None:
    gray = cut(number, width, 1, light)
    found = cropping.find_tight(gray)
    assert found is not None
    ink, mark = found
    expected = gray > 128 if light else gray < 128
    inside = np.zeros(gray.shape, bool)
    inside[mark.box] = mark.mask
    assert (inside != expected).mean() < 0.01
    assert ink.level.shape == gray.shape


def test_a_digit_in_two_parts_is_one() -> None:
    gray = cut(5, 12)
    gray[60:75] = gray.max()
    found = cropping.find_tight(gray)
    assert found is not None
    assert found[1].mask.shape == gray.shape


@pytest.mark.parametrize("margin", [8, 40])
def test_a_digit_with_paper_around_it_is_not_cut_tight(margin) -> None:
    assert cropping.find_tight(cut(5, 12, margin)) is None


def test_uneven_paper_is_none_of_its() -> None:
    gray = cut(5, 12)
    shadow = np.linspace(0.6, 1, gray.shape[1], dtype=np.float32)
    assert cropping.find_tight(gray * shadow) is None


def test_squared_paper_is_not_cut_tight() -> None:
    gray = cut(5, 12, 40)
    gray[20::40] = gray[:, 20::40] = 80
    assert cropping.find_tight(gray) is None


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_paper_in_a_frame_is_no_light_ink(depth) -> None:
    gray = np.pad(cut(5, 12, 40), depth, constant_values=20)
    assert cropping.find_tight(gray) is None


def test_a_blank_sheet_and_a_full_one() -> None:
    assert cropping.find_tight(np.full((90, 90), 200, np.float32)) is None
    assert cropping.find_tight(np.zeros((90, 90), np.float32)) is None
