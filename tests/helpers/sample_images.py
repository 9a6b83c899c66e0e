"""Small image files of every kind that is read."""

import io
from typing import Any

import numpy as np
from PIL import Image

from helpers.drawings import printed


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def image_files(form: str) -> list[bytes]:
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
    modes = [three.convert(mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA")]
    deep = Image.fromarray(np.asarray(three).astype(np.uint16) * 257)
    whole = [encoded(image, form) for image in [*modes, deep]]
    return [
        *whole,
        encoded(three, form, exif=exif),
        encoded(three.convert("P"), form, transparency=0),
    ]
