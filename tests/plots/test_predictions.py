"""The sheet of `--save-preview`."""

import io

import numpy as np
import pytest
from PIL import Image

from mnist_flax.plots.predictions import MOST, draw_preview


def sheet(count: int, names: list[str] | None = None, share: float = 0.95) -> np.ndarray:
    """uint8[H,W,3]: a sheet of `count` images whose upper left quarter alone is white."""
    images = np.zeros((count, 28, 28), np.uint8)
    images[:, :14, :14] = 255
    shares = np.full((count, 10), (1 - share) / 9)
    shares[:, 3] = share
    png = draw_preview(images, shares, names or ["a.png"] * count)
    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def blacks(pixels: np.ndarray) -> int:
    return int((pixels == 0).all(-1).sum())


@pytest.mark.parametrize("count", [1, 3, 8, 9, 30])
def test_every_image_is_shown_at_four_times_its_size(count) -> None:
    pixels = sheet(count)
    columns = min(8, max(3, count))
    assert pixels.shape[1] == 16 + 128 * columns
    # Three quarters of 112 x 112 are black, and nothing else on the sheet.
    assert blacks(pixels) == count * 112 * 112 * 3 // 4
    top, left = 68, 16
    assert (pixels[top : top + 56, left : left + 56] == 255).all()
    assert (pixels[top : top + 56, left + 56 : left + 112] == 0).all()
    assert (pixels[top + 56 : top + 112, left : left + 112] == 0).all()


def test_no_more_than_most() -> None:
    assert blacks(sheet(MOST + 1)) == MOST * 112 * 112 * 3 // 4


def test_how_sure_it_is_has_a_colour() -> None:
    def colours(share: float) -> tuple[int, int]:
        """Pixels of blue and of orange below the images."""
        text = sheet(3, share=share)[180:].astype(int)
        red, blue = text[..., 0], text[..., 2]
        return int((blue > red + 60).sum()), int((red > blue + 60).sum())

    sure, unsure = colours(0.95), colours(0.5)
    assert sure[0] > 100
    assert sure[1] == 0
    assert unsure[0] == 0
    assert unsure[1] > 100


@pytest.mark.filterwarnings("error")
def test_names_of_any_kind() -> None:
    plain = sheet(3)
    # Formulas that are none, letters that the font lacks, and more than fits.
    names = ["$\\frac{", "数字三.png", "W" * 200 + ".png"]
    other = sheet(3, names)
    assert other.shape == plain.shape
    assert blacks(other) == blacks(plain)
    # The margin stays empty.
    assert (other[:, -16:] == 255).all()
