"""Image files: small ones of every kind that is read, and one that claims any size."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

from helpers.drawings import printed


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    """A picture as a file of a format as Pillow names it, such as 'PNG'."""
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def image_files(form: str) -> list[bytes]:
    """Files of one format, one in each mode that the format has."""
    three = printed("3", "DejaVuSans", 20)
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "three"
    colour = three.convert("RGB")
    if form == "BMP":
        return [encoded(three.convert(mode), form) for mode in ("1", "L", "P", "RGB", "RGBA")]
    if form == "JPEG":
        return [
            encoded(three, form),
            encoded(colour, form, exif=exif),
            encoded(colour, form, progressive=True),
            encoded(three.convert("CMYK"), form),
        ]
    if form == "WEBP":
        return [
            encoded(colour, form, exif=exif),
            encoded(three.convert("RGBA"), form, lossless=True),
            encoded(three, form, save_all=True, append_images=[colour]),
        ]
    if form == "HEIF":
        import pillow_heif

        pillow_heif.register_heif_opener()
        return [encoded(colour, form), encoded(three, form, exif=exif)]
    modes = [three.convert(mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA")]
    deep = Image.fromarray(np.asarray(three).astype(np.uint16) * 257)
    whole = [encoded(image, form) for image in [*modes, deep]]
    if form == "TIFF":
        floats = Image.fromarray(np.asarray(three, np.float32))
        return [
            *whole,
            encoded(floats, form),
            encoded(colour, form, exif=exif, compression="tiff_lzw"),
            encoded(three, form, compression="tiff_adobe_deflate"),
        ]
    return [
        *whole,
        encoded(three, form, exif=exif),
        encoded(three.convert("P"), form, transparency=0),
    ]


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG, with the right checksum."""
    return (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    )


def png_of_size(width: int, height: int, more: bytes = b"") -> bytes:
    """A PNG that claims this size and holds no pixels; `more` are chunks before those."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + more + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
