"""IDX files for tests: whole ones, and damaged ones."""

import gzip
import struct
from pathlib import Path


def idx_bytes(shape: tuple[int, ...], values: bytes, magic: int | None = None) -> bytes:
    magic = 0x800 + len(shape) if magic is None else magic
    return struct.pack(f">{1 + len(shape)}I", magic, *shape) + values


def write_gz(path: Path, content: bytes) -> Path:
    path.write_bytes(gzip.compress(content))
    return path


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]
