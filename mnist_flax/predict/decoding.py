"""Reads a person's image file and turns it into an image like MNIST's.

MNIST's digits were scaled to fit 20x20 pixels, keeping their shape, and placed with the centre
of mass in the middle of 28x28 pixels (http://yann.lecun.com/exdb/mnist/). This module does the
same with whatever stands out from the background of a picture.
"""

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from scipy import ndimage

from mnist_flax.errors import UserError
from mnist_flax.paths import check_not_a_pipe

FORMATS = ("PNG", "JPEG", "BMP")
# Limits, checked before a file is read and before its picture is decoded.
MAX_BYTES = 2**26
MAX_PIXELS = 64_000_000

# Larger pictures are reduced to this, in pixels, before the digit is searched.
_SIDE = 512
# If half of the rim, or half of the picture, is within this many of 256 grey levels of its
# median, the background is uniform.
_EVEN = 5
# In pixels: the longer side of MNIST's digits, the place of their centre of mass, and a stroke
# width that 99 % of them exceed.
_FIT, _CENTRE, _WIDTH = 20, 14, 1.8


def read(path: str | Path) -> np.ndarray:
    """Reads an image file of one digit.

    Args:
      path: a PNG, JPEG or BMP, dark on light or light on dark, in any colour mode, with or
        without transparency. Its EXIF orientation is respected.

    Returns:
      uint8[28,28], 0 (background) to 255: the network's input.

    Raises:
      UserError: the file cannot be read, has another format, is damaged or blank, or is larger
        than MAX_BYTES or MAX_PIXELS.
    """
    path = Path(path)
    digit = to_mnist(_read_gray(path))
    if digit is None:
        raise UserError(f"{path} is blank; give an image of a digit")
    return digit


def to_mnist(gray: np.ndarray) -> np.ndarray | None:
    """Finds the digit in a picture, scales it and places it like MNIST's.

    Args:
      gray: float32[H,W], 0 (black) to 255: a digit, dark on light or light on dark. The
        background may be uneven or noisy.

    Returns:
      uint8[28,28], 0 (background) to 255; None if nothing stands out from the background.
    """
    ink = _ink(gray)
    if ink is None:
        return None
    strokes = _without_specks(ink > 0.4)
    # The pixels of a long stroke are on average a quarter of its width from its edge. The
    # transform measures to the nearest pixel outside, which is half a pixel more.
    inside = ndimage.distance_transform_edt(np.pad(strokes, 1))[1:-1, 1:-1]
    width = 4 * (inside[strokes].mean() - 0.5)
    outside = ndimage.distance_transform_edt(~strokes)
    # Keep the faded edge of a stroke, up to half the stroke's width.
    ink[(outside > width / 2 + 1) | (ink < 0.2)] = 0
    thin = _WIDTH / _FIT * max(np.ptp(np.argwhere(ink), axis=0) + 1)
    if width < thin:
        # Scaled down, the strokes of a fine pen would nearly vanish: widen them.
        ink = np.clip((thin - width) / 2 + 1 - outside, 0, 1)
    return _place(ink.astype(np.float32))


def _read_gray(path: Path) -> np.ndarray:
    """Reads an image file in grey, reduced by a whole factor to at most _SIDE pixels a side.

    Returns:
      float32[H,W], 0 (black) to 255.

    Raises:
      UserError: as for `read`.
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
            image: Image.Image = Image.open(io.BytesIO(content), formats=FORMATS)
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise _too_large(path, f"{width:,} x {height:,} pixels", MAX_PIXELS)
            image.draft("L", (_SIDE, _SIDE))  # JPEGs can be decoded at a smaller scale.
            ImageOps.exif_transpose(image, in_place=True)
            return _shades(image, -(-max(image.size) // _SIDE))
    except UserError:
        raise
    except Image.DecompressionBombError:
        # Pillow refuses these by their header and does not tell the size.
        raise _too_large(path, "far more pixels than a camera's", MAX_PIXELS) from None
    except Image.UnidentifiedImageError:
        raise UserError(f"{path} is not a PNG, JPEG or BMP image; convert it to one") from None
    except OSError as error:
        if error.strerror:
            raise UserError(f"{path} cannot be read: {error.strerror}; name another") from None
        reason = str(error)
    except Exception as error:  # Pillow's parsers raise any type.
        reason = str(error) or type(error).__name__
    raise UserError(f"{path} cannot be read: {' '.join(reason.split())}; save the image anew")


def _too_large(path: Path, size: str, limit: int) -> UserError:
    """Makes the error for a file that exceeds a limit."""
    return UserError(
        f"{path} is too large: {size}, at most {limit:,} are read; make it smaller"
    )


def _shades(image: Image.Image, factor: int) -> np.ndarray:
    """Converts an image to grey, float32[H,W], `factor` times smaller, without transparency."""
    # In stripes: converting the whole image at once would take twice the memory.
    step = 64 * factor
    stripes = [
        _shades_and_alpha(
            image.crop((0, top, image.width, min(top + step, image.height))), factor
        )
        for top in range(0, image.height, step)
    ]
    shade, alpha = np.moveaxis(np.concatenate(stripes), 2, 0)
    rows, columns = (np.flatnonzero((alpha > 0.5).any(axis)) for axis in (1, 0))
    if not len(rows):
        return np.zeros_like(shade)
    if alpha.min() > 0.99:
        return shade
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    seen = shade[box][alpha[box] > 0.5]
    if len(seen) < 0.6 * alpha[box].size or np.ptp(np.percentile(seen, [1, 99])) < 60:
        # Only the strokes are opaque: their opacity is the digit, whatever their colour.
        return np.pad(255 * alpha, max(alpha.shape) // 8 + 1)
    # An opaque sheet with a digit on it: extend the sheet over what is transparent.
    return np.where(alpha > 0.5, shade, np.median(seen))


def _shades_and_alpha(image: Image.Image, factor: int) -> np.ndarray:
    """Converts an image, `factor` times smaller.

    Returns:
      float32[H,W,2]: grey, 0 (black) to 255, and opacity, 0 (transparent) to 1.
    """
    if image.mode.startswith("I"):  # 16 bits; Pillow's own conversion clips them at 255.
        gray = Image.fromarray(np.asarray(image, np.float32) / 257).reduce(factor)
        shade = np.asarray(gray)
        return np.stack([shade, np.ones_like(shade)], -1)
    # Premultiplied: the colour of transparent pixels must not count.
    parts = np.asarray(image.convert("LA").convert("La").reduce(factor), np.float32)
    alpha = parts[..., 1:] / 255
    return np.concatenate([parts[..., :1] / np.maximum(alpha, 1 / 255), alpha], -1)


def _ink(gray: np.ndarray) -> np.ndarray | None:
    """Measures the ink, float32[H,W], 0 (background) to 1; None if the picture is blank."""
    background, noise = _background(gray)
    difference = gray - background
    floor = max(4 * noise, 6)
    # The ink is darker or lighter than the background: take the one there is more of.
    if np.maximum(difference - floor, 0).sum() < np.maximum(-difference - floor, 0).sum():
        difference = -difference
    if difference.max() < max(8 * noise, 20):
        return None
    most = np.percentile(difference[difference > floor], 95)
    full = np.percentile(difference[difference > most / 2], 90)
    ink: np.ndarray = np.clip((difference - floor / 2) / (full - floor / 2), 0, 1)
    return ink


def _background(gray: np.ndarray) -> tuple[np.ndarray, float]:
    """Estimates the background, a uniform one or else a quadratic surface.

    Returns:
      The background, float32[H,W], and the standard deviation of its noise.
    """
    y, x = (np.linspace(-1, 1, n, dtype=np.float32) for n in gray.shape)
    y = y[:, None]
    terms = np.stack(np.broadcast_arrays(np.float32(1), x, y, x * y, x * x, y * y), -1)
    # Enough points, and few enough that the products below run in one thread.
    grid = np.ix_(*(np.unique(np.linspace(0, n - 1, 32).astype(int)) for n in gray.shape))
    points = gray[grid]
    rim = np.ones(points.shape, bool)
    rim[1:-1, 1:-1] = False
    # The rim first: it shows the paper even where the digit fills the rest.
    for part in (points[rim], points):
        shade = np.median(part)
        distances = np.abs(part - shade)
        if np.median(distances) <= _EVEN:
            factors = np.array([shade, 0, 0, 0, 0, 0])
            break
    else:
        # The rim, which is seldom drawn on, weighs a third as much as all other points.
        importance = np.where(rim, rim.size / rim.sum() / 3, 1)
        factors = _fit(terms[grid].reshape(-1, 6).astype(float), points.ravel(), importance)
        distances = np.abs(terms[grid] @ factors - points)
    # A normal distribution's median absolute deviation is the standard deviation / 1.4826.
    return terms @ factors.astype(np.float32), 1.4826 * float(np.median(distances))


def _fit(terms: np.ndarray, values: np.ndarray, importance: np.ndarray) -> np.ndarray:
    """Fits values by a weighted sum of terms, ignoring outliers such as the digit.

    Iteratively reweighted least squares minimize the sum of absolute differences.

    Args:
      terms: float64[N,K].
      values: float[N].
      importance: float[N], in any shape, the weight of each value.

    Returns:
      float64[K], the factor of each term.
    """
    factors = np.array([np.median(values), *np.zeros(terms.shape[1] - 1)])
    for _ in range(20):
        distances = np.maximum(np.abs(terms @ factors - values), 1)
        weighted = terms * (importance.ravel() / distances)[:, None]
        inverse = np.linalg.pinv(weighted.T @ terms, hermitian=True)
        factors = inverse @ (weighted.T @ values)
    return factors


def _without_specks(mask: np.ndarray) -> np.ndarray:
    """Keeps the parts of a mask, bool[H,W], that are no specks and do not line the rim."""
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    sizes[0] = 0
    rim = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    along_rim = np.bincount(rim, minlength=count + 1) > len(rim) / 6
    inner = np.where(along_rim, 0, sizes)
    sizes = inner if inner.any() else sizes
    kept: np.ndarray = (sizes > sizes.max() / 20)[labels]
    return kept


def _place(ink: np.ndarray) -> np.ndarray:
    """Scales ink, float32[H,W], to fit 20x20 and centres its mass in uint8[28,28]."""
    rows, columns = (np.flatnonzero(ink.any(axis)) for axis in (1, 0))
    box = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    sides = np.array([box[2] - box[0], box[3] - box[1]])
    width, height = np.maximum(1, np.round(_FIT * sides / sides.max())).astype(int)
    method = Image.Resampling.BOX if max(sides) > _FIT else Image.Resampling.BICUBIC
    small = np.asarray(Image.fromarray(ink).resize((width, height), method, box))
    digit = np.clip(np.round(small * (255 / small.max())), 0, 255).astype(np.uint8)
    centre = ndimage.center_of_mass(digit)
    top, left = (
        int(np.clip(np.round(_CENTRE - middle), 0, 28 - side))
        for middle, side in zip(centre, digit.shape, strict=True)
    )
    canvas = np.zeros((28, 28), np.uint8)
    canvas[top : top + height, left : left + width] = digit
    return canvas
