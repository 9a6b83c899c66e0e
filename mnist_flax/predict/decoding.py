"""Decodes a person's picture file into grey levels."""

import contextlib
import io
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from mnist_flax.errors import UserError
from mnist_flax.system import libraries
from mnist_flax.system.paths import check_not_a_pipe

SUFFIXES = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".bmp": "BMP",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
# A telephone's; Pillow reads them with a plugin only.
HEIC_SUFFIXES = (".heic", ".heif")
# Limits, checked before a file is read and before its picture is decoded.
MAX_BYTES = 2**26
MAX_PIXELS = 64_000_000

# Larger pictures are reduced to this, in pixels, before the digit is searched.
_SIDE = 512
# The modes of 16 or 32 bits a pixel, by their first letter; they have any range of values.
_DEEP = "IF"
# Below this range of 256 grey levels the colours are asked whether they tell more.
_FLAT = 40


class Picture(NamedTuple):
    """A decoded picture.

    Attributes:
      gray: float32[H,W], 0 (black) to 255.
      scale: how many pixels of the upright file one of its pixels stands for.
      margin: how many pixels were added at each side.
    """

    gray: np.ndarray
    scale: float
    margin: int

    def place(self, box: tuple[int, ...]) -> tuple[float, ...]:
        """Computes where a box of the upright file is in `gray`."""
        return tuple(x / self.scale + self.margin for x in box)


def reads_heic() -> bool:
    """Tells whether pillow-heif, which reads a telephone's HEIC files, is installed."""
    return libraries.is_installed("pillow_heif")


def decode_file(path: Path) -> Picture:
    """Decodes an image file.

    Args:
      path: a PNG, JPEG, BMP, WebP or TIFF file, or a HEIC file where pillow-heif is installed;
        in any colour mode, with or without transparency. Of several pages the first one is
        read. The EXIF orientation is respected.

    Raises:
      UserError: the file cannot be read, has another format, is damaged, or is larger than
        MAX_BYTES or MAX_PIXELS.
    """
    try:
        check_not_a_pipe(path)
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise _too_large(path, "more bytes than a camera's", MAX_BYTES)
        with warnings.catch_warnings():
            # Pillow warns about sizes that are refused below, and about harmless damage.
            warnings.simplefilter("ignore")
            # From memory: reading a file, Pillow allocates as many bytes as a header claims.
            image: Image.Image = Image.open(io.BytesIO(content), formats=_formats())
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise _too_large(path, f"{width:,} x {height:,} pixels", MAX_PIXELS)
            image.draft("RGB", (_SIDE, _SIDE))  # JPEGs can be decoded at a smaller scale.
            decoded = decode(image)
            return decoded._replace(scale=decoded.scale * max(width, height) / max(image.size))
    except UserError:
        raise
    except Image.DecompressionBombError:
        # Pillow refuses these by their header and does not tell the size.
        raise _too_large(path, "far more pixels than a camera's", MAX_PIXELS) from None
    except Image.UnidentifiedImageError:
        if content[4:8] == b"ftyp" and content[8:10] in (b"he", b"mi"):
            raise UserError(
                f"{path} is a HEIC image; pip install pillow-heif to have it read, or convert "
                "it to JPEG"
            ) from None
        raise UserError(
            f"{path} is not a PNG, JPEG, BMP, WebP or TIFF image; convert it to one"
        ) from None
    except OSError as error:
        if error.strerror:
            raise UserError(f"{path} cannot be read: {error.strerror}; name another") from None
        reason = str(error)
    except Exception as error:  # Pillow's parsers raise any type.
        reason = str(error) or type(error).__name__
    raise UserError(f"{path} cannot be read: {' '.join(reason.split())}; save the image anew")


def decode(image: Image.Image) -> Picture:
    """Turns an image upright, reduces it, and converts it to grey without transparency."""
    image = ImageOps.exif_transpose(image)
    factor = -(-max(image.size) // _SIDE)
    # In stripes: converting the whole image at once would take twice the memory.
    step = 64 * factor
    stripes = [
        _colours(image.crop((0, top, image.width, min(top + step, image.height))), factor)
        for top in range(0, image.height, step)
    ]
    colours, alpha = np.split(np.concatenate(stripes), [3], axis=2)
    if image.mode[0] in _DEEP:
        colours *= 255 / max(float(colours.max()), 1e-9)
    alpha = alpha[..., 0]
    rows, columns = (np.flatnonzero((alpha > 0.5).any(axis)) for axis in (1, 0))
    if not len(rows):
        return Picture(np.zeros_like(alpha), factor, 0)
    gray = _gray(colours, alpha > 0.5)
    if alpha.min() > 0.99:
        return Picture(gray, factor, 0)
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    seen = gray[box][alpha[box] > 0.5]
    if len(seen) < 0.6 * alpha[box].size or np.ptp(np.percentile(seen, [1, 99])) < 60:
        # Only the strokes are opaque: their opacity is the digit, whatever their colour.
        margin = max(alpha.shape) // 8 + 1
        return Picture(np.pad(255 - 255 * alpha, margin, constant_values=255), factor, margin)
    # An opaque sheet with a digit on it: extend the sheet over what is transparent.
    return Picture(np.where(alpha > 0.5, gray, np.median(seen)), factor, 0)


def _formats() -> list[str]:
    """Lists the formats to read, registering the plugin for HEIC if it is installed."""
    formats = sorted(set(SUFFIXES.values()))
    if reads_heic():
        import pillow_heif

        pillow_heif.register_heif_opener()
        formats.append("HEIF")
    return formats


def _colours(image: Image.Image, factor: int) -> np.ndarray:
    """Converts an image, `factor` times smaller.

    Returns:
      float32[H,W,4]: red, green and blue, 0 to 255, and opacity, 0 (transparent) to 1.
    """
    if image.mode[0] in _DEEP:  # Pillow's own conversion clips them at 255.
        values = np.nan_to_num(np.asarray(image, np.float32), posinf=0, neginf=0)
        gray = np.asarray(Image.fromarray(np.maximum(values, 0)).reduce(factor))
        return np.stack([gray, gray, gray, np.ones_like(gray)], -1)
    # Premultiplied: the colour of transparent pixels must not count.
    parts = np.asarray(image.convert("RGBA").convert("RGBa").reduce(factor), np.float32)
    alpha = parts[..., 3:] / 255
    return np.concatenate([parts[..., :3] / np.maximum(alpha, 1 / 255), alpha], -1)


def _gray(colours: np.ndarray, opaque: np.ndarray) -> np.ndarray:
    """Converts float32[H,W,3] to grey: the luminance, or the colour in which more is seen."""
    # ITU-R BT.601, as in Pillow.
    gray: np.ndarray = colours @ np.array([0.299, 0.587, 0.114], np.float32)
    seen = colours[opaque]
    if np.ptp(np.percentile(gray[opaque], [0.5, 99.5])) >= _FLAT:
        return gray
    # Ink as light as its paper: the direction in which the colours differ most.
    seen = seen - np.median(seen, axis=0)
    with contextlib.suppress(np.linalg.LinAlgError):
        main = np.linalg.eigh(seen.T.astype(np.float64) @ seen)[1][:, -1].astype(np.float32)
        along = colours @ main
        if np.ptp(np.percentile(along[opaque], [0.5, 99.5])) >= 2 * _FLAT:
            return along - along.min()
    return gray


def _too_large(path: Path, size: str, limit: int) -> UserError:
    """Makes the error for a file that exceeds a limit."""
    return UserError(
        f"{path} is too large: {size}, at most {limit:,} are read; make it smaller"
    )
