"""Makes IDX files, valid ones and damaged ones."""

import gzip
import struct
from pathlib import Path


def idx_bytes(shape: tuple[int, ...], values: bytes, magic: int | None = None) -> bytes:
    """Makes an IDX file, with the right magic number unless another is given."""
    magic = 0x800 + len(shape) if magic is None else magic
    return struct.pack(f">{1 + len(shape)}I", magic, *shape) + values


def write_gz(path: Path, content: bytes) -> Path:
    """Writes a compressed file."""
    path.write_bytes(gzip.compress(content))
    return path


def flipped(content: bytes, at: int) -> bytes:
    """Flips all bits of one byte."""
    return content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]
