"""benchmarks/draw_own_digits.py: the pictures of docs/OWN_DIGITS.md."""

import sys

import numpy as np
import pytest
from helpers.benchmark_scripts import script
from PIL import Image

PICTURES = ("own_digits_steps.png", "own_digits_fails.png")


@pytest.fixture(scope="module")
def draw():
    return script("draw_own_digits")


def test_one_command_draws_both_pictures(draw, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", ["draw_own_digits", "--output", str(tmp_path)])
    draw.main()
    for name in PICTURES:
        drawn = tmp_path / name
        for path in (drawn, draw.ROOT / "docs" / name):
            assert path.stat().st_size < 300_000
        with Image.open(drawn) as image, Image.open(draw.ROOT / "docs" / name) as kept:
            assert image.size == kept.size
            assert np.asarray(image).std() > 10


def test_the_difficult_picture_is_read(draw) -> None:
    ((digit, *others), *_) = draw.images.read_image(draw.difficult())
    assert others == []
    assert digit.warning is None


def test_what_is_read_of_failures(draw) -> None:
    assert len(draw.failures()) == 10
    # Where nothing is found, the picture is blank: that is drawn, too.
    blank = {"nothing": Image.new("L", (50, 50), 255)}

    def network(batch: np.ndarray) -> np.ndarray:
        raise AssertionError("there is nothing to answer")

    assert draw.draw_failures(blank, network).startswith(b"\x89PNG")
