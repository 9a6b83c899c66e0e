"""Files of every format and colour become grey levels, or a UserError names the reason."""

from pathlib import Path

import numpy as np
import pytest
from helpers.drawings import pixels, printed
from helpers.sample_images import encoded, png_of_size
from PIL import Image

from mnist_flax import input_pipeline
from mnist_flax.errors import UserError
from mnist_flax.predict import decoding, images

NO_HEIC = "pillow-heif is not installed; pip install '.[heic]' to run this"


def save(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


def seen(path: Path) -> np.ndarray:
    """uint8[28,28]: the digit in a file."""
    return images.read(path)[0][0].image


def black_or_white(shade: int) -> int:
    return 255 * (shade > 127)


def close(image: np.ndarray, expected: np.ndarray) -> bool:
    """Whether two images are the same to a person."""
    return bool(np.abs(image.astype(int) - expected).mean() < 6)


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
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tiff"])
def test_exif_orientation(tmp_path, three, orientation, suffix) -> None:
    path = save_turned(tmp_path / f"a{suffix}", three, orientation)
    assert close(seen(path), images.to_mnist(pixels(three)))


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("ink", ["dark", "light"])
@pytest.mark.parametrize("count", [16, pytest.param(200, marks=pytest.mark.long)])
def test_test_images_turned_by_exif(tmp_path, data_dir, answer, suffix, ink, count) -> None:
    split = input_pipeline.load(f"test[:{count}]", data_dir)
    found = []
    for i, image in enumerate(split.images):
        large = Image.fromarray(255 - image if ink == "dark" else image).resize((140, 140))
        found.append(seen(save_turned(tmp_path / f"{i}{suffix}", large, 1 + i % 8)))
    plain = (np.array(answer(split.images)) == split.labels).sum()
    assert (np.array(answer(found)) == split.labels).sum() >= plain - 1
    # Whoever does not turn them fails.
    turned = [
        images.to_mnist(pixels(Image.open(tmp_path / f"{i}{suffix}"))) for i in range(count)
    ]
    assert (np.array(answer(turned)) == split.labels).sum() < 0.7 * count


# The modes that Pillow cannot write, and so nothing has to read.
UNWRITABLE = {
    ".png": {"CMYK", "YCbCr", "LAB", "PA"},
    ".bmp": {"LA", "CMYK", "I;16", "YCbCr", "LAB", "PA"},
    ".jpg": {"LA", "P", "RGBA", "I;16", "LAB", "PA"},
    ".jpeg": {"LA", "P", "RGBA", "I;16", "LAB", "PA"},
}
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"])
def test_modes_and_formats(tmp_path, three, mode, suffix) -> None:
    if mode == "I;16":
        # WebP has 8 bits: Pillow clips the others off.
        factor = 1 if suffix == ".webp" else 257
        image = Image.fromarray(np.asarray(three).astype(np.uint16) * factor)
    else:
        image = three.convert(mode)
    if mode in UNWRITABLE.get(suffix, ()):
        with pytest.raises((OSError, ValueError)):
            save(tmp_path / f"a{suffix}", image)
        return
    path = save(tmp_path / f"a{suffix}", image)
    assert close(seen(path), images.to_mnist(pixels(three)))


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg"])
def test_compressed_tiff(tmp_path, three, compression) -> None:
    path = save(tmp_path / "a.tif", three.convert("RGB"), compression=compression)
    assert close(seen(path), images.to_mnist(pixels(three)))


@pytest.mark.parametrize("suffix", [".tif", ".webp"])
def test_of_several_pages_the_first_is_read(tmp_path, three, suffix) -> None:
    seven = printed("7", "DejaVuSans", 60)
    path = save(tmp_path / f"a{suffix}", three, save_all=True, append_images=[seven])
    assert Image.open(path).n_frames == 2
    assert close(seen(path), images.to_mnist(pixels(three)))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize(("paper", "ink"), [(60_000, 20_000), (65_535, 0), (4095, 100)])
def test_the_whole_range_of_16_bits(tmp_path, three, suffix, paper, ink) -> None:
    # Both shades are above 255, where Pillow's conversion to 8 bits makes them one; a camera's
    # 12 bits are the lowest sixteenth of the range.
    shades = np.where(np.asarray(three) > 127, paper, ink).astype(np.uint16)
    path = save(tmp_path / f"a{suffix}", Image.fromarray(shades))
    ((digit, *_), *_) = images.read(path)
    assert close(digit.image, images.to_mnist(pixels(three.point(black_or_white))))
    assert digit.warning is None


@pytest.mark.parametrize("most", [1, 255, 4095, 65535])
def test_floats_of_any_range(tmp_path, three, most) -> None:
    path = save(tmp_path / "a.tif", Image.fromarray(pixels(three) * (most / 255)))
    assert Image.open(path).mode == "F"
    ((digit, *_), *_) = images.read(path)
    assert close(digit.image, images.to_mnist(pixels(three)))
    assert digit.warning is None


def test_floats_that_are_no_numbers(tmp_path, three) -> None:
    shades = pixels(three) * 257
    shades[0, :3] = np.nan, np.inf, -np.inf
    path = save(tmp_path / "a.tif", Image.fromarray(shades))
    assert close(seen(path), images.to_mnist(pixels(three)))


@pytest.mark.parametrize(
    ("paper", "ink"),
    # Luminance 120 and 119, 90 and 90, 150 and 151.
    [
        ((255, 75, 0), (0, 153, 255)),
        ((0, 153, 0), (240, 0, 158)),
        ((0, 255, 8), (255, 108, 100)),
    ],
)
def test_colours_of_equal_luminance(tmp_path, three, paper, ink) -> None:
    weights = np.array([0.299, 0.587, 0.114])
    assert abs((np.array(paper) - ink) @ weights) < 2
    share = pixels(three.point(black_or_white))[..., None] / 255
    picture = share * paper + (1 - share) * ink
    path = save(tmp_path / "a.png", Image.fromarray(np.round(picture).astype(np.uint8)))
    assert close(seen(path), images.to_mnist(pixels(three.point(black_or_white))))


@pytest.mark.parametrize("ink", ["black", "white", "red", "#888888"])
@pytest.mark.parametrize("nothing", ["black", "white"])
@pytest.mark.parametrize("side", [120, 1500])
def test_strokes_on_transparency(tmp_path, three, ink, nothing, side) -> None:
    image = Image.new("RGB", three.size, nothing)
    mask = three.point(lambda shade: 255 - shade)
    image.paste(ink, mask=mask.point(lambda shade: 255 * (shade > 0)))
    image.putalpha(mask)
    path = save(tmp_path / "a.png", image.resize((side, side)))
    assert close(seen(path), images.to_mnist(pixels(three)))


@pytest.mark.parametrize("sheet", [(0, 255), (255, 0)])
def test_a_sheet_on_transparency(tmp_path, three, sheet) -> None:
    ink, paper = sheet
    image = three.point(lambda shade: ink + (paper - ink) * shade // 255).convert("RGBA")
    whole = Image.new("RGBA", (200, 300), (90, 90, 90, 0))
    whole.paste(image, (40, 100))
    path = save(tmp_path / "a.png", whole)
    assert close(seen(path), images.to_mnist(pixels(three)))


def test_transparency_of_a_palette(tmp_path, three) -> None:
    image = three.point(black_or_white)
    palette = image.convert("P")
    path = save(tmp_path / "a.png", palette, transparency=palette.getpixel((0, 0)))
    assert Image.open(path).has_transparency_data
    assert close(seen(path), images.to_mnist(pixels(image)))


# --------------------------------------------------------------------- places and their scale


@pytest.mark.parametrize("factor", [1, 2, 8, 20])
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_boxes_are_in_pixels_of_the_upright_file(
    tmp_path, three, factor, suffix, orientation
) -> None:
    whole = Image.new("L", (160, 130), 255)
    whole.paste(three, (30, 5))
    left, top, right, bottom = whole.point(lambda shade: 255 - black_or_white(shade)).getbbox()
    large = whole.resize((160 * factor, 130 * factor))
    path = save_turned(tmp_path / f"a{suffix}", large, orientation)
    box = images.read(path)[0][0].box
    expected = factor * np.array([left, top, right, bottom])
    # One pixel of the picture that is searched, 512 pixels long or less, is the accuracy.
    assert np.abs(box - expected).max() <= max(3, 2.5 * factor * 160 / 512 + factor)
    picture = decoding.decode_file(path)
    assert max(picture.gray.shape) <= 512
    height, width = (picture.scale * n for n in picture.gray.shape)
    assert width == pytest.approx(160 * factor, rel=0.02)
    assert height == pytest.approx(130 * factor, rel=0.02)


def test_boxes_of_strokes_on_transparency(tmp_path, three) -> None:
    image = Image.new("RGBA", three.size, (0, 0, 0, 0))
    mask = three.point(lambda shade: 255 - black_or_white(shade))
    image.putalpha(mask)
    path = save(tmp_path / "a.png", image)
    box = images.read(path)[0][0].box
    assert np.abs(np.subtract(box, mask.getbbox())).max() <= 1
    picture = decoding.decode_file(path)
    assert picture.margin > 0
    left, top, right, bottom = (round(x) for x in picture.place(box))
    assert picture.gray[top:bottom, left:right].min() == 0
    assert picture.gray[top:bottom, :left].min() == 255


# ---------------------------------------------------------------------------------------- HEIC


def test_heic(tmp_path, three) -> None:
    pillow_heif = pytest.importorskip("pillow_heif", reason=NO_HEIC)
    pillow_heif.register_heif_opener()
    for name in ("a.heic", "a.heif", "a.png"):  # Its content tells, not its name.
        path = tmp_path / name
        three.convert("RGB").save(path, format="HEIF")
        assert close(seen(path), images.to_mnist(pixels(three)))
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(UserError, match="cannot be read"):
        images.read(path)


@pytest.mark.parametrize("brand", [b"heic", b"heix", b"hevc", b"mif1"])
def test_heic_without_its_plugin(tmp_path, monkeypatch, brand) -> None:
    monkeypatch.setattr(decoding, "reads_heic", lambda: False)
    path = tmp_path / "a.heic"
    path.write_bytes(b"\0\0\0\x18ftyp" + brand + bytes(200))
    with pytest.raises(UserError, match=r"is a HEIC image; pip install pillow-heif to have it"):
        images.read(path)


# ----------------------------------------------------------------------------- what is refused


SOME = printed("3", "DejaVuSans", 60)
NONE = "is not a PNG, JPEG, BMP, WebP or TIFF image; convert it to one"
BAD = {
    "empty": (b"", NONE),
    "text": (b"hello " * 50, NONE),
    "a GIF": (encoded(SOME, "GIF"), NONE),
    "a truncated PNG": (encoded(SOME, "PNG")[:-60], "cannot be read: image file is truncated"),
    "a truncated JPEG": (
        encoded(SOME, "JPEG")[:-60],
        "cannot be read: image file is truncated",
    ),
    "a truncated BMP": (encoded(SOME, "BMP")[:-60], "cannot be read: image file is truncated"),
    "a truncated WebP": (encoded(SOME, "WEBP")[:-60], f"cannot be read|{NONE}"),
    "a truncated TIFF": (encoded(SOME, "TIFF")[:-60], f"cannot be read|{NONE}"),
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
        file.truncate(decoding.MAX_BYTES + 1)
    with pytest.raises(UserError, match=r"too large: more bytes than .* at most 67,108,864"):
        images.read(path)
