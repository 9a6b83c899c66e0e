"""Makes small files that claim to be large, or that are large once they are decompressed."""

import gzip
import io
import struct
import zipfile
import zlib

from PIL import Image

from helpers.mutations import split_header, with_header
from helpers.sample_images import chunk, encoded, png_of_size


def large_claims(shape: tuple[int, ...], safetensors: bytes) -> dict[str, tuple[bytes, str]]:
    """Makes the files.

    Args:
      shape: the shape that an IDX file should have.
      safetensors: a valid file of weights.

    Returns:
      Content and expected error message by name; a name is a suffix and a description.
    """
    zeros = gzip.compress(bytes(2**20)) * 1024
    compressor = zlib.compressobj(1)
    gigabyte = b"".join(compressor.compress(bytes(2**20)) for _ in range(1024))
    gigabyte += compressor.flush()
    bomb = io.BytesIO()
    with (
        zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("net/data.pkl", "w") as entry,
    ):
        for _ in range(1024):
            entry.write(bytes(2**20))
    fields, body = split_header(safetensors)
    offsets = [len(body), len(body) + 4 * 10**9]
    claim = {"more": {"dtype": "F32", "shape": [10**9], "data_offsets": offsets}}
    bmp = encoded(Image.new("L", (9, 9)), "BMP")
    jpeg = encoded(Image.new("L", (9, 9)), "JPEG")
    size = jpeg.index(b"\xff\xc0") + 5
    text = chunk(b"zTXt", b"a\0\0" + gigabyte)
    return {
        ".gz: a billion images": (
            gzip.compress(struct.pack(">4I", 0x803, 10**9, 28, 28)),
            "its count is 1000000000, not",
        ),
        ".gz: a gigabyte of zeros": (zeros, "its magic number is 0, not"),
        ".gz: all the pixels, and a gigabyte more": (
            gzip.compress(struct.pack(">4I", 0x803, *shape)) + zeros,
            "its size is wrong: more bytes of values",
        ),
        ".safetensors: a header of 4 exabytes": (
            struct.pack("<Q", 2**62) + safetensors[8:],
            "header too large",
        ),
        ".safetensors: a billion numbers": (with_header(fields | claim, body), "not fully"),
        ".pt: a gigabyte of zeros": (bomb.getvalue(), "larger than 1,048,576 bytes|unpacks to"),
        ".png: 900 megapixels": (png_of_size(30_000, 30_000), "too large: far more pixels"),
        ".png: a gigabyte of text": (
            png_of_size(9, 9, text),
            "cannot be read: Decompressed data too",
        ),
        ".jpeg: 4,295 megapixels": (
            jpeg[:size] + b"\xff" * 4 + jpeg[size + 4 :],
            "too large: far more pixels",
        ),
        ".bmp: 900 megapixels": (
            bmp[:18] + struct.pack("<ii", 30_000, 30_000) + bmp[26:],
            "too large: far more pixels",
        ),
    }
