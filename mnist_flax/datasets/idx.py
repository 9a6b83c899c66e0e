"""Reads IDX, the format in which MNIST is published, and trusts nothing in a file."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from mnist_flax.errors import UserError

# The third byte of the magic number is the type of the values, the fourth their dimensions.
_UINT8 = 0x08
_FIELDS = ("magic number", "count", "number of rows", "number of columns")


def read(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Reads the unsigned bytes of an IDX file of known shape.

    The header is big-endian: a magic number (two zero bytes, the type, the number of
    dimensions), then each dimension as uint32. The values follow, the last dimension fastest.

    Args:
      path: the gzip-compressed file.
      shape: what its header must say: (N, rows, columns) for images, (N,) for labels. It also
        bounds the memory taken: no more is decompressed, whatever the header claims.

    Returns:
      uint8[*shape], read-only.

    Raises:
      UserError: the file cannot be read or decompressed, or its magic number, count, rows,
        columns or size are not those of `shape`.
    """
    magic = _UINT8 << 8 | len(shape)
    header = struct.Struct(f">{1 + len(shape)}I")
    size = math.prod(shape)
    try:
        with gzip.open(path) as file:
            # One byte more than there should be: this shows a file that is too long, and reads
            # any other to its end, where gzip checks its CRC.
            content = file.read(header.size + size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise _unusable(path, f"it cannot be read: {error}") from error

    if len(content) < header.size:
        raise _unusable(path, f"its header has {len(content)} bytes, not {header.size}")
    for field, found, expected in zip(
        _FIELDS, header.unpack_from(content), (magic, *shape), strict=False
    ):
        if found != expected:
            raise _unusable(path, f"its {field} is {found}, not {expected}")
    found_size = len(content) - header.size
    if found_size != size:
        much = "more" if found_size > size else f"{found_size}"
        raise _unusable(path, f"its size is wrong: {much} bytes of values, not {size}")
    return np.frombuffer(content, np.uint8, offset=header.size).reshape(shape)


def _unusable(path: Path, why: str) -> UserError:
    return UserError(
        f"{path} is not the IDX file it should be: {why}; delete it to have it fetched anew"
    )
