"""Image files of all kinds become images as MNIST's are, or a UserError."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from helpers.drawings import FONTS, drawn, pixels, printed
from helpers.sample_images import encoded, png_of_size
from helpers.trained_runs import WEIGHTS
from PIL import Image
from scipy import ndimage

from mnist_flax import input_pipeline
from mnist_flax.errors import UserError
from mnist_flax.predict import images
from mnist_flax.trained import loading

Answer = Callable[[Sequence[np.ndarray | None]], list[int]]


@pytest.fixture(scope="module")
def answer() -> Answer:
    """The digits that the trained network sees in images."""
    run = loading.from_weights(WEIGHTS)

    def digits(seen: Sequence[np.ndarray | None]) -> list[int]:
        assert all(image is not None for image in seen)
        # Always as many, so that one program does for all.
        padded = np.zeros((200, 28, 28), np.uint8)
        padded[: len(seen)] = np.stack(seen)  # type: ignore[arg-type]
        return loading.logits(run, padded).argmax(1)[: len(seen)].tolist()

    return digits


@pytest.fixture
def three() -> Image.Image:
    """A '3', 120 x 120, black on white."""
    return printed("3", "DejaVuSans", 60)


def save(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


def black_or_white(shade: int) -> int:
    return 255 * (shade > 127)


def close(seen: np.ndarray, expected: np.ndarray) -> bool:
    """Whether two images are the same to a person."""
    return bool(np.abs(seen.astype(int) - expected).mean() < 6)


@pytest.mark.parametrize("method", [Image.Resampling.NEAREST, Image.Resampling.BICUBIC])
def test_inverted_test_images_as_large_files(tmp_path, data_dir, answer, method) -> None:
    split = input_pipeline.load("test[:200]", data_dir)
    seen = []
    for i, image in enumerate(split.images):
        large = Image.fromarray(255 - image).resize((200, 200), method)
        seen.append(images.read(save(tmp_path / f"{i}.png", large)))
    plain = (np.array(answer(split.images)) == split.labels).sum()
    # 0.5 % of 200.
    assert (np.array(answer(seen)) == split.labels).sum() >= plain - 1


def test_mnist_images_stay_as_they_are(data_dir) -> None:
    split = input_pipeline.load("train[:500]", data_dir)
    seen = [images.to_mnist(image.astype(np.float32)) for image in split.images]
    # Where the centre of mass is between two pixels, a little less noise takes it to the other.
    assert sum(map(close, seen, split.images)) >= 0.93 * 500
    shifts = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    # But for a few with a speck that is left out.
    alike = [
        any(close(np.roll(mine, shift, (0, 1)), theirs) for shift in shifts)
        for mine, theirs in zip(seen, split.images, strict=True)
    ]
    assert sum(alike) >= 0.99 * 500


def test_a_picture_that_the_digit_fills(data_dir, answer) -> None:
    split = input_pipeline.load("test[:100]", data_dir)
    seen = []
    for image in split.images:
        large = Image.fromarray(255 - image).resize((168, 168))
        box = large.point(lambda shade: 255 - shade).getbbox()
        seen.append(images.to_mnist(pixels(large.crop(box))))
    assert (np.array(answer(seen)) == split.labels).sum() >= 98


@pytest.mark.parametrize("font", FONTS)
@pytest.mark.parametrize("size", [16, 60, 200])
def test_printed_digits(answer, font, size) -> None:
    digits = range(10)
    seen = [images.to_mnist(pixels(printed(str(digit), font, size))) for digit in digits]
    # The 1 of Pillow's own font has a long flag and no foot: it is a 7 to the network.
    expected = [7 if (digit, font) == (1, "default") else digit for digit in digits]
    assert answer(seen) == expected


@pytest.mark.parametrize(
    ("side", "width"), [(60, 1), (60, 4), (300, 1), (300, 8), (300, 40), (1000, 3)]
)
def test_hand_drawn_strokes(answer, side, width) -> None:
    seen = [images.to_mnist(pixels(drawn(digit, side, width))) for digit in range(10)]
    assert answer(seen) == [*range(10)]


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
        seen.append(images.read(save(tmp_path / f"{digit}.jpg", image, quality=70)))
    assert answer(seen) == [*range(10)]


def test_size_and_place(three) -> None:
    for image in (
        three,
        three.resize((500, 300)),
        three.rotate(90),
        three.crop((0, 0, 80, 120)),
    ):
        seen = images.to_mnist(pixels(image))
        assert seen.dtype == np.uint8
        assert seen.shape == (28, 28)
        assert seen.max() == 255
        rows, columns = (np.flatnonzero(seen.any(axis)) for axis in (1, 0))
        assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20
        assert np.abs(np.array(ndimage.center_of_mass(seen)) - 14).max() <= 0.5


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


# How a picture lies in a file that says, by its EXIF orientation, how to turn it.
LIES: dict[int, list[Image.Transpose]] = {
    1: [],
    2: [Image.Transpose.FLIP_LEFT_RIGHT],
    3: [Image.Transpose.ROTATE_180],
    4: [Image.Transpose.FLIP_TOP_BOTTOM],
    5: [Image.Transpose.TRANSPOSE],
    6: [Image.Transpose.ROTATE_90],
    7: [Image.Transpose.TRANSVERSE],
    8: [Image.Transpose.ROTATE_270],
}


def save_turned(path: Path, image: Image.Image, orientation: int) -> Path:
    for method in LIES[orientation]:
        image = image.transpose(method)
    exif = Image.Exif()
    exif[0x0112] = orientation
    return save(path, image, exif=exif)


@pytest.mark.parametrize("orientation", LIES)
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_exif_orientation(tmp_path, three, orientation, suffix) -> None:
    path = save_turned(tmp_path / f"a{suffix}", three, orientation)
    assert close(images.read(path), images.to_mnist(pixels(three)))


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("ink", ["dark", "light"])
def test_test_images_turned_by_exif(tmp_path, data_dir, answer, suffix, ink) -> None:
    split = input_pipeline.load("test[:200]", data_dir)
    seen = []
    for i, image in enumerate(split.images):
        large = Image.fromarray(255 - image if ink == "dark" else image).resize((140, 140))
        seen.append(images.read(save_turned(tmp_path / f"{i}{suffix}", large, 1 + i % 8)))
    plain = (np.array(answer(split.images)) == split.labels).sum()
    assert (np.array(answer(seen)) == split.labels).sum() >= plain - 1
    # Whoever does not turn them fails.
    turned = [
        images.to_mnist(pixels(Image.open(tmp_path / f"{i}{suffix}"))) for i in range(200)
    ]
    assert (np.array(answer(turned)) == split.labels).sum() < 0.7 * 200


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".jpeg", ".bmp"])
def test_modes_and_formats(tmp_path, three, mode, suffix) -> None:
    if mode == "I;16":
        image = Image.fromarray(np.asarray(three).astype(np.uint16) * 257)
    else:
        image = three.convert(mode)
    try:
        path = save(tmp_path / f"a{suffix}", image)
    except (OSError, ValueError):
        # Exactly those that Pillow cannot write, and so nothing has to read.
        unwritable = {".png": {"CMYK"}, ".bmp": {"LA", "CMYK", "I;16"}}
        assert mode in unwritable.get(suffix, {"LA", "P", "RGBA", "I;16"})
        return
    assert close(images.read(path), images.to_mnist(pixels(three)))


def test_the_whole_range_of_16_bits(tmp_path, three) -> None:
    # Both shades are above 255, where Pillow's conversion to 8 bits makes them one.
    shades = np.where(np.asarray(three) > 127, 60_000, 20_000).astype(np.uint16)
    path = save(tmp_path / "a.png", Image.fromarray(shades))
    assert close(images.read(path), images.to_mnist(pixels(three.point(black_or_white))))


@pytest.mark.parametrize("ink", ["black", "white", "red", "#888888"])
@pytest.mark.parametrize("nothing", ["black", "white"])
@pytest.mark.parametrize("side", [120, 1500])
def test_strokes_on_transparency(tmp_path, three, ink, nothing, side) -> None:
    image = Image.new("RGB", three.size, nothing)
    mask = three.point(lambda shade: 255 - shade)
    image.paste(ink, mask=mask.point(lambda shade: 255 * (shade > 0)))
    image.putalpha(mask)
    path = save(tmp_path / "a.png", image.resize((side, side)))
    assert close(images.read(path), images.to_mnist(pixels(three)))


@pytest.mark.parametrize("sheet", [(0, 255), (255, 0)])
def test_a_sheet_on_transparency(tmp_path, three, sheet) -> None:
    ink, paper = sheet
    image = three.point(lambda shade: ink + (paper - ink) * shade // 255).convert("RGBA")
    whole = Image.new("RGBA", (200, 300), (90, 90, 90, 0))
    whole.paste(image, (40, 100))
    path = save(tmp_path / "a.png", whole)
    assert close(images.read(path), images.to_mnist(pixels(three)))


def test_transparency_of_a_palette(tmp_path, three) -> None:
    image = three.point(black_or_white)
    palette = image.convert("P")
    path = save(tmp_path / "a.png", palette, transparency=palette.getpixel((0, 0)))
    assert Image.open(path).has_transparency_data
    assert close(images.read(path), images.to_mnist(pixels(image)))


BLANK = {
    "white": np.full((50, 50), 255),
    "one pixel": np.zeros((1, 1)),
    "slope": np.tile(np.linspace(0, 255, 90), (60, 1)),
    "noise": np.random.default_rng(0).normal(128, 10, (300, 300)),
    "faint": np.pad(np.full((20, 20), 100), 20, constant_values=110),
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


SOME = printed("3", "DejaVuSans", 60)
BAD = {
    "empty": (b"", "is not a PNG, JPEG or BMP image"),
    "text": (b"hello " * 50, "is not a PNG, JPEG or BMP image"),
    "a GIF": (encoded(SOME, "GIF"), "is not a PNG, JPEG or BMP image"),
    "a truncated PNG": (encoded(SOME, "PNG")[:-60], "cannot be read: image file is truncated"),
    "a truncated JPEG": (
        encoded(SOME, "JPEG")[:-60],
        "cannot be read: image file is truncated",
    ),
    "a truncated BMP": (encoded(SOME, "BMP")[:-60], "cannot be read: image file is truncated"),
    "half a header": (encoded(SOME, "PNG")[:20], "cannot be read|is not a PNG"),
    "65 megapixels": (png_of_size(65_000, 1000), "too large: 65,000 x 1,000 pixels, at most"),
    "100 megapixels": (png_of_size(10_000, 10_000), "too large: 10,000 x 10,000 pixels"),
    "900 megapixels": (
        png_of_size(30_000, 30_000),
        "too large: far more pixels than a camera's",
    ),
    "all that fits": (png_of_size(2**31 - 1, 2**31 - 1), "too large: far more pixels"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.filterwarnings("error")
def test_no_image(tmp_path, name) -> None:
    content, message = BAD[name]
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        images.read(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_no_file(tmp_path) -> None:
    with pytest.raises(UserError, match=r"a\.png cannot be read: No such file or directory"):
        images.read(tmp_path / "a.png")
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        images.read(tmp_path)


def test_a_file_too_large(tmp_path) -> None:
    path = tmp_path / "a.png"
    with path.open("wb") as file:
        file.truncate(images.MAX_BYTES + 1)
    with pytest.raises(UserError, match=r"too large: more bytes than .* at most 67,108,864"):
        images.read(path)
