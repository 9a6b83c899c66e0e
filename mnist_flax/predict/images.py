"""A person's image file becomes an image as MNIST's are, to be shown to the network.

MNIST's digits were scaled to fit 20x20 pixels, their shape kept, and put into 28x28 pixels with
their centre of mass in the middle (http://yann.lecun.com/exdb/mnist/). The same is done here to
what stands out from the background.
"""

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from scipy import ndimage

from mnist_flax.errors import UserError

FORMATS = ("PNG", "JPEG", "BMP")
# Of a file, before it is read, and of its picture, before it is decoded.
MAX_BYTES = 2**26
MAX_PIXELS = 64_000_000

# Larger pictures are made smaller before anything is looked for in them.
_SIDE = 1024
# Paper half of whose rim, or of all of it, is within so many shades, of 256, has one shade.
_EVEN = 5
# In pixels: the longer side of MNIST's digits, the place of their centre of mass, and a width
# of stroke that 99 % of them have.
_FIT, _CENTRE, _WIDTH = 20, 14, 1.8


def read(path: str | Path) -> np.ndarray:
    """Reads an image file of one digit as the network is to see it.

    Args:
      path: PNG, JPEG or BMP, in colour or not, with transparency or not, turned as its EXIF
        data says; dark on light or light on dark.

    Returns:
      uint8[28,28], 0 (background) to 255.

    Raises:
      UserError: it cannot be read, is no such image, is damaged, has more than MAX_BYTES or
        MAX_PIXELS, or nothing is drawn in it.
    """
    path = Path(path)
    digit = to_mnist(_read_gray(path))
    if digit is None:
        raise UserError(f"{path} is blank; give an image of a digit")
    return digit


def to_mnist(gray: np.ndarray) -> np.ndarray | None:
    """Finds the digit in a picture, and scales and places it as MNIST's are.

    Args:
      gray: float32[H,W], 0 to 255: a digit, dark on light or light on dark. The background may
        be uneven or noisy.

    Returns:
      uint8[28,28], 0 (background) to 255; None if nothing stands out from the background.
    """
    ink = _ink(gray)
    if ink is None:
        return None
    strokes = _without_specks(ink > 0.4)
    # The points of a long stroke are, in the mean, a quarter of its width away from its rim;
    # the distances here are to the next pixel outside, half a pixel more.
    inside = ndimage.distance_transform_edt(np.pad(strokes, 1))[1:-1, 1:-1]
    width = 4 * (inside[strokes].mean() - 0.5)
    outside = ndimage.distance_transform_edt(~strokes)
    # A stroke fades at its rim, but not over more than half its width.
    ink[(outside > width / 2 + 1) | (ink < 0.2)] = 0
    thin = _WIDTH / _FIT * max(np.ptp(np.argwhere(ink), axis=0) + 1)
    if width < thin:
        # Scaled down, what a fine pen has drawn would all but vanish.
        ink = np.clip((thin - width) / 2 + 1 - outside, 0, 1)
    return _place(ink.astype(np.float32))


def _read_gray(path: Path) -> np.ndarray:
    """The shades of an image file, made smaller by a whole factor until _SIDE pixels hold it.

    Returns:
      float32[H,W], 0 to 255.

    Raises:
      UserError: as for `read`.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise _too_large(path, "more bytes than a camera's", MAX_BYTES)
        with warnings.catch_warnings():
            # Pillow warns of sizes that are refused below, and of damage that does not matter.
            warnings.simplefilter("ignore")
            # Not the file: asked for as much as a header claims, it would make room for that.
            image: Image.Image = Image.open(io.BytesIO(content), formats=FORMATS)
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise _too_large(path, f"{width:,} x {height:,} pixels", MAX_PIXELS)
            image.draft("L", (_SIDE, _SIDE))  # JPEG can be decoded at a smaller scale
            ImageOps.exif_transpose(image, in_place=True)
            return _shades(image, -(-max(image.size) // _SIDE))
    except UserError:
        raise
    except Image.DecompressionBombError:
        # Pillow refuses these by their header, too, and does not say how wide and how high.
        raise _too_large(path, "far more pixels than a camera's", MAX_PIXELS) from None
    except Image.UnidentifiedImageError:
        raise UserError(f"{path} is not a PNG, JPEG or BMP image; convert it to one") from None
    except OSError as error:
        if error.strerror:
            raise UserError(f"{path} cannot be read: {error.strerror}; name another") from None
        reason = str(error)
    except Exception as error:  # Pillow raises whatever its parsers happen to.
        reason = str(error) or type(error).__name__
    raise UserError(f"{path} cannot be read: {' '.join(reason.split())}; save the image anew")


def _too_large(path: Path, size: str, limit: int) -> UserError:
    return UserError(
        f"{path} is too large: {size}, at most {limit:,} are read; make it smaller"
    )


def _shades(image: Image.Image, factor: int) -> np.ndarray:
    """float32[H,W], 0 to 255, `factor` times smaller; what is transparent is background."""
    # In stripes: a conversion of the whole would need as much memory once more.
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
        # The strokes alone, in whatever colour.
        return np.pad(255 * alpha, max(alpha.shape) // 8 + 1)
    # A sheet with a digit on it, and nothing around the sheet.
    return np.where(alpha > 0.5, shade, np.median(seen))


def _shades_and_alpha(image: Image.Image, factor: int) -> np.ndarray:
    """float32[H,W,2], `factor` times smaller: 0 to 255, and 0 (transparent) to 1."""
    if image.mode.startswith("I"):  # 16 bits, all but the lowest 255 of which Pillow cuts off
        gray = Image.fromarray(np.asarray(image, np.float32) / 257).reduce(factor)
        shade = np.asarray(gray)
        return np.stack([shade, np.ones_like(shade)], -1)
    # Premultiplied, so that the colour of what is transparent counts for nothing.
    parts = np.asarray(image.convert("LA").convert("La").reduce(factor), np.float32)
    alpha = parts[..., 1:] / 255
    return np.concatenate([parts[..., :1] / np.maximum(alpha, 1 / 255), alpha], -1)


def _ink(gray: np.ndarray) -> np.ndarray | None:
    """float32[H,W], 0 (background) to 1; None if nothing stands out from the background."""
    background, noise = _background(gray)
    difference = gray - background
    floor = max(4 * noise, 6)
    # Ink is darker than its background or lighter: whichever there is more of.
    if np.maximum(difference - floor, 0).sum() < np.maximum(-difference - floor, 0).sum():
        difference = -difference
    if difference.max() < max(8 * noise, 20):
        return None
    most = np.percentile(difference[difference > floor], 95)
    full = np.percentile(difference[difference > most / 2], 90)
    ink: np.ndarray = np.clip((difference - floor / 2) / (full - floor / 2), 0, 1)
    return ink


def _background(gray: np.ndarray) -> tuple[np.ndarray, float]:
    """float32[H,W], what there would be without the digit; the standard deviation of its noise.

    One shade, or else a quadratic surface.
    """
    y, x = (np.linspace(-1, 1, n, dtype=np.float32) for n in gray.shape)
    y = y[:, None]
    terms = np.stack(np.broadcast_arrays(np.float32(1), x, y, x * y, x * x, y * y), -1)
    # Points enough, and few enough for the products below not to be spread over threads.
    grid = np.ix_(*(np.unique(np.linspace(0, n - 1, 32).astype(int)) for n in gray.shape))
    points = gray[grid]
    rim = np.ones(points.shape, bool)
    rim[1:-1, 1:-1] = False
    # The rim first: by it, paper is known however much of the rest a digit takes.
    for part in (points[rim], points):
        shade = np.median(part)
        distances = np.abs(part - shade)
        if np.median(distances) <= _EVEN:
            factors = np.array([shade, 0, 0, 0, 0, 0])
            break
    else:
        # It counts for a third of all the rest: it is seldom drawn on.
        importance = np.where(rim, rim.size / rim.sum() / 3, 1)
        factors = _fit(terms[grid].reshape(-1, 6).astype(float), points.ravel(), importance)
        distances = np.abs(terms[grid] @ factors - points)
    # Of a normal distribution, the median is two thirds of the standard deviation.
    return terms @ factors.astype(np.float32), 1.4826 * float(np.median(distances))


def _fit(terms: np.ndarray, values: np.ndarray, importance: np.ndarray) -> np.ndarray:
    """float64[K], the factors of the terms [N,K] that come closest to most of the values [N].

    The sum of absolute differences is minimized, by iteratively reweighted least squares.
    """
    factors = np.array([np.median(values), *np.zeros(terms.shape[1] - 1)])
    for _ in range(20):
        distances = np.maximum(np.abs(terms @ factors - values), 1)
        weighted = terms * (importance.ravel() / distances)[:, None]
        inverse = np.linalg.pinv(weighted.T @ terms, hermitian=True)
        factors = inverse @ (weighted.T @ values)
    return factors


def _without_specks(mask: np.ndarray) -> np.ndarray:
    """bool[H,W], the parts that belong to the digit: no specks, nothing all along the rim."""
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
    """Scales float32[H,W] to fit 20x20, the centre of mass in the middle of uint8[28,28]."""
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
