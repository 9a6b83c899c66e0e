"""Damaged files, for hypothesis: valid ones with bytes flipped, cut out, put in or spliced."""

import struct
import zlib
from collections.abc import Sequence

from hypothesis import strategies as st

# What sizes and counts are replaced with.
_NUMBERS = (0, 1, 2, 255, 2**15, 2**16 - 1, 10**9, 2**31 - 1, 2**31, 2**32 - 1)


def damaged(valid: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Files of which most were valid, and some never were."""
    return st.one_of(*[_mutated(valid)] * 6, st.binary(max_size=300))


@st.composite
def _mutated(draw: st.DrawFn, valid: Sequence[bytes]) -> bytes:
    content = draw(st.sampled_from(valid))
    for _ in range(draw(st.integers(0, 3))):
        content = _once(draw, content, valid)
    return content


def _once(draw: st.DrawFn, content: bytes, valid: Sequence[bytes]) -> bytes:
    # Headers are at the beginning, of a zip at the end.
    end = len(content)
    places = [
        st.integers(0, end),
        st.integers(0, min(end, 64)),
        st.integers(max(0, end - 64), end),
    ]
    at = draw(st.one_of(*places))
    kind = draw(
        st.sampled_from(["flip", "cut", "number", "splice", "remove", "insert", "repeat"])
    )
    if kind == "flip":
        return (
            content[:at]
            + bytes([x ^ draw(st.integers(1, 255)) for x in content[at : at + 1]])
            + content[at + 1 :]
        )
    if kind == "cut":
        return content[:at]
    if kind == "number":
        size, order = draw(st.sampled_from([2, 4, 8])), draw(st.sampled_from("<>"))
        number = struct.pack(f"{order}Q", draw(st.sampled_from(_NUMBERS)))
        return (
            content[:at]
            + (number[:size] if order == "<" else number[-size:])
            + content[at + size :]
        )
    if kind == "splice":
        other = draw(st.sampled_from(valid))
        return content[:at] + other[draw(st.integers(0, len(other))) :]
    size = draw(st.integers(1, 40))
    if kind == "remove":
        return content[:at] + content[at + size :]
    if kind == "insert":
        return content[:at] + draw(st.binary(min_size=1, max_size=size)) + content[at:]
    return content[: at + size] + content[at:]


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG, its checksum right."""
    return (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    )
