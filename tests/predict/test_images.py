"""Pictures of digits become images as MNIST's are, with a warning where that is in doubt."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.drawings import FONTS, drawn, pixels, printed
from PIL import Image
from scipy import ndimage

from mnist_flax import input_pipeline
from mnist_flax.errors import UserError
from mnist_flax.predict import images


def save(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


def close(seen: np.ndarray, expected: np.ndarray) -> bool:
    """Whether two images are the same to a person."""
    return bool(np.abs(seen.astype(int) - expected).mean() < 6)


@pytest.mark.parametrize("count", [25, pytest.param(200, marks=pytest.mark.long)])
@pytest.mark.parametrize("method", [Image.Resampling.NEAREST, Image.Resampling.BICUBIC])
def test_inverted_test_images_as_large_files(tmp_path, data_dir, answer, method, count) -> None:
    split = input_pipeline.load(f"test[:{count}]", data_dir)
    seen = []
    for i, image in enumerate(split.images):
        large = Image.fromarray(255 - image).resize((200, 200), method)
        seen.append(images.read(save(tmp_path / f"{i}.png", large))[0][0].image)
    plain = (np.array(answer(split.images)) == split.labels).sum()
    # 0.5 % of 200.
    assert (np.array(answer(seen)) == split.labels).sum() >= plain - 1


@pytest.mark.parametrize("count", [200, pytest.param(500, marks=pytest.mark.long)])
def test_mnist_images_stay_as_they_are(data_dir, count) -> None:
    split = input_pipeline.load(f"train[:{count}]", data_dir)
    seen = [images.to_mnist(image.astype(np.float32)) for image in split.images]
    # Where the centre of mass is between two pixels, a little less noise takes it to the other.
    assert sum(map(close, seen, split.images)) >= 0.93 * count
    shifts = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    # But for a few with a speck that is left out.
    alike = [
        any(close(np.roll(mine, shift, (0, 1)), theirs) for shift in shifts)
        for mine, theirs in zip(seen, split.images, strict=True)
    ]
    assert sum(alike) >= 0.99 * count


@pytest.mark.parametrize("count", [50, pytest.param(100, marks=pytest.mark.long)])
def test_a_picture_that_the_digit_fills(data_dir, answer, count) -> None:
    split = input_pipeline.load(f"test[:{count}]", data_dir)
    seen = []
    for image in split.images:
        large = Image.fromarray(255 - image).resize((168, 168))
        box = large.point(lambda shade: 255 - shade).getbbox()
        seen.append(images.to_mnist(pixels(large.crop(box))))
    assert (np.array(answer(seen)) == split.labels).sum() >= 0.98 * count


def of_every(values: list[tuple], large: tuple) -> list[Any]:
    """Lists cases of all digits, and a large one: of four digits, or `long` of all."""
    return [
        *((*each, 1) for each in values),
        (*large, 3),
        pytest.param(*large, 1, marks=pytest.mark.long),
    ]


@pytest.mark.parametrize("font", FONTS)
@pytest.mark.parametrize(("size", "every"), of_every([(16,), (60,)], (200,)))
def test_printed_digits(answer, font, size, every) -> None:
    digits = range(0, 10, every)
    seen = [images.to_mnist(pixels(printed(str(digit), font, size))) for digit in digits]
    # The 1 of Pillow's own font has a long flag and no foot: it is a 7 to the network.
    expected = [7 if (digit, font) == (1, "default") else digit for digit in digits]
    assert answer(seen) == expected


@pytest.mark.parametrize(
    ("side", "width", "every"),
    of_every([(60, 1), (60, 4), (300, 1), (300, 8), (300, 40)], (1000, 3)),
)
def test_hand_drawn_strokes(answer, side, width, every) -> None:
    digits = range(0, 10, every)
    seen = [images.to_mnist(pixels(drawn(digit, side, width))) for digit in digits]
    assert answer(seen) == [*digits]


def test_photos(tmp_path, answer) -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-1:1:900j, -1:1:1200j]
    seen = []
    for digit in range(10):
        paper = 190 + rng.uniform(-35, 35) * x + rng.uniform(-35, 35) * y - 20 * (x**2 + y**2)
        ink = np.zeros(paper.shape)
        top, left = rng.integers(50, 500, 2)
        ink[top : top + 300, left : left + 300] = 1 - pixels(drawn(digit, 300, 6)) / 255
        photo = ndimage.gaussian_filter(paper * (1 - 0.6 * ink), 1)
        photo += rng.normal(0, 6, photo.shape)
        image = Image.fromarray(photo.clip(0, 255).astype(np.uint8)).convert("RGB")
        path = save(tmp_path / f"{digit}.jpg", image, quality=70)
        ((mark, *_), *_) = images.read(path)
        seen.append(mark.image)
        assert mark.warning is None
        rows, columns = (np.flatnonzero((ink > 0.5).any(axis)) for axis in (1, 0))
        box = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
        # Pixels of the picture that is searched stand for three each.
        assert np.abs(np.subtract(mark.box, box)).max() <= 12
    assert answer(seen) == [*range(10)]


def test_where_and_how_large_it_was_does_not_matter(three) -> None:
    expected = images.to_mnist(pixels(three))
    moved = Image.new("L", (900, 700), 255)
    moved.paste(three, (700, 30))
    assert close(images.to_mnist(pixels(moved)), expected)
    assert close(images.to_mnist(pixels(three.resize((1000, 1000)))), expected)


def test_light_on_dark_and_dark_on_light(three) -> None:
    expected = images.to_mnist(pixels(three))
    for paper, ink in [(255, 0), (0, 255), (200, 120), (40, 90)]:
        shades = ink + (paper - ink) * pixels(three) / 255
        assert close(images.to_mnist(shades), expected)


def test_dust_and_an_edge_of_the_table_are_left_out(three) -> None:
    expected = images.to_mnist(pixels(three))
    shades = pixels(three)
    shades[5:8, 100:103] = 0
    shades[-9:] = 30
    shades[:4] = 60
    assert close(images.to_mnist(shades), expected)


def test_a_stroke_across_the_whole_picture() -> None:
    shades = np.full((20, 20), 255, np.float32)
    shades[:, 8:12] = 0
    seen = images.to_mnist(shades)
    assert (seen[4:24, 13:15] == 255).all()
    assert seen.sum() == 255 * 20 * 4


def test_an_image_is_read_as_its_file_is(tmp_path, three) -> None:
    path = save(tmp_path / "a.png", three.convert("RGB"))
    for mine, theirs in zip(images.read_image(three), images.read(path), strict=True):
        for one, other in zip(mine, theirs, strict=True):
            np.testing.assert_array_equal(one.image, other.image)
            assert one[1:] == other[1:]
    assert images.read_image(Image.new("L", (50, 50), 255)) == []


# ----------------------------------------------------------------------------------- nothing


BLANK = {
    "white": np.full((50, 50), 255),
    "black": np.zeros((50, 50)),
    "one pixel": np.zeros((1, 1)),
    "slope": np.tile(np.linspace(0, 255, 90), (60, 1)),
    "noise": np.random.default_rng(0).normal(128, 10, (300, 300)),
}


@pytest.mark.parametrize("name", BLANK)
def test_blank(tmp_path, name) -> None:
    path = save(tmp_path / "a.png", Image.fromarray(BLANK[name].clip(0, 255).astype(np.uint8)))
    with pytest.raises(UserError, match=r"a\.png is blank; give an image of a digit"):
        images.read(path)


def test_all_transparent(tmp_path) -> None:
    path = save(tmp_path / "a.png", Image.new("RGBA", (50, 50), (255, 0, 0, 0)))
    with pytest.raises(UserError, match="is blank"):
        images.read(path)


# ---------------------------------------------------------------------------------- warnings


def warnings(shades: np.ndarray) -> list[str | None]:
    """The warnings of the marks of the first reading."""
    picture = Image.fromarray(np.clip(shades, 0, 255).astype(np.uint8))
    return [digit.warning for digit in images.read_image(picture)[0]]


def test_a_plain_digit_has_no_warning(three) -> None:
    for size in (60, 120, 400):
        assert warnings(pixels(three.resize((size, size)))) == [None]


def test_what_is_faint_is_read_with_a_warning(three, answer) -> None:
    # A person sees a square that is ten levels darker than its paper.
    square = np.pad(np.full((20, 20), 100.0), 20, constant_values=110)
    assert images.to_mnist(square.astype(np.float32)) is not None
    shades = 200 + 9 * pixels(three) / 255
    assert warnings(shades) == ["it is very faint"]
    assert answer([images.to_mnist(shades)]) == [3]


@pytest.mark.parametrize("turns", range(4))
def test_what_is_cut_off(turns) -> None:
    shades = pixels(printed("8", "DejaVuSans", 60))
    cut = np.rot90(shades[:, 48:], turns)
    assert warnings(cut) == ["it is cut off at the rim"]


def test_a_tight_crop_is_not_cut_off() -> None:
    large = printed("8", "DejaVuSans", 60)
    box = large.point(lambda shade: 255 * (shade < 128)).getbbox()
    assert warnings(pixels(large.crop(box))) == [None]


def test_mostly_ink() -> None:
    # Hatched with a thick pen.
    shades = np.full((100, 100), 240.0)
    for left in range(6, 80, 16):
        shades[8:92, left : left + 12] = 20
    shades[46:54, 6:90] = 20
    picture = Image.fromarray(shades.astype(np.uint8))
    warned = [digit.warning for reading in images.read_image(picture) for digit in reading]
    assert "ink covers most of the picture" in warned


@pytest.mark.parametrize("width", [16, 40])
def test_a_1_that_is_cut_tight_is_a_bar(width) -> None:
    shades = np.full((124, width + 4), 240, np.uint8)
    shades[2:-2, 2:-2] = 30
    first = images.read_image(Image.fromarray(shades))[0][0]
    assert first.warning is None
