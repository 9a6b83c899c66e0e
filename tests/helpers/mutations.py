"""Makes damaged files for hypothesis: bytes of valid ones flipped, removed, added, spliced."""

import io
import json
import struct
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from helpers.sample_images import chunk, encoded

# What sizes and counts are replaced with.
_NUMBERS = (0, 1, 2, 255, 2**15, 2**16 - 1, 10**9, 2**31 - 1, 2**31, 2**32 - 1)


def damaged(valid: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Makes files, most of them from a valid one, some from nothing but random bytes."""
    return st.one_of(*[_mutated(valid)] * 6, st.binary(max_size=300))


@st.composite
def _mutated(draw: st.DrawFn, valid: Sequence[bytes]) -> bytes:
    content = draw(st.sampled_from(valid))
    # Most often one fault: a reader stops at the first.
    for _ in range(draw(st.sampled_from([0, 1, 1, 1, 1, 2]))):
        content = _once(draw, content, valid)
    return content


def _once(draw: st.DrawFn, content: bytes, valid: Sequence[bytes]) -> bytes:
    # Headers are at the beginning, those of a zip at the end.
    end = len(content)
    places = [(0, end), (0, min(end, 64)), (max(0, end - 64), end)]
    at = draw(st.one_of(*[st.integers(*place) for place in places]))
    before, after = content[:at], content[at:]
    kind = draw(
        st.sampled_from(["flip", "cut", "number", "splice", "remove", "insert", "repeat"])
    )
    if kind == "flip":
        return before + bytes(x ^ draw(st.integers(1, 255)) for x in after[:1]) + after[1:]
    if kind == "cut":
        return before
    if kind == "number":
        size, order = draw(st.sampled_from([2, 4, 8])), draw(st.sampled_from("<>"))
        number = struct.pack(f"{order}Q", draw(st.sampled_from(_NUMBERS)))
        return before + (number[:size] if order == "<" else number[-size:]) + after[size:]
    if kind == "splice":
        other = draw(st.sampled_from(valid))
        return before + other[draw(st.integers(0, len(other))) :]
    size = draw(st.integers(1, 40))
    if kind == "remove":
        return before + after[size:]
    if kind == "insert":
        return before + draw(st.binary(min_size=1, max_size=size)) + after
    return content[: at + size] + after


@st.composite
def chunked(draw: st.DrawFn, valid: Sequence[bytes]) -> bytes:
    """Makes PNGs with right checksums, in which one chunk is damaged."""
    content = draw(st.sampled_from(valid))
    chunks, at = [], 8
    while at < len(content):
        size = struct.unpack(">I", content[at : at + 4])[0]
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + size]))
        at += size + 12
    i = draw(st.integers(0, len(chunks) - 1))
    kind, data = chunks[i]
    chunks[i] = (kind, draw(damaged([data])))
    if draw(st.booleans()):
        kinds = [b"eXIf", b"zTXt", b"iTXt", b"tRNS", b"PLTE", b"iCCP", b"IHDR", b"IDAT"]
        chunks.insert(i, (draw(st.sampled_from(kinds)), draw(st.binary(max_size=40))))
    return content[:8] + b"".join(chunk(*each) for each in chunks)


def pictures() -> st.SearchStrategy[bytes]:
    """Makes PNGs of any shape and any pixels; few look like a drawing."""
    shapes = st.one_of(
        array_shapes(min_dims=2, max_dims=2, max_side=12),
        st.sampled_from([(1, 3000), (3000, 1), (2, 1500), (40, 40)]),
    )
    shades = arrays(np.uint8, shapes, fill=st.sampled_from([0, 7, 128, 255]))
    return shades.map(lambda image: encoded(Image.fromarray(image), "PNG"))


def split_header(content: bytes) -> tuple[dict[str, Any], bytes]:
    """Splits a safetensors file into its header and the bytes of its numbers."""
    size = struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def with_header(fields: object, body: bytes = b"") -> bytes:
    """Makes a safetensors file of any header."""
    text = json.dumps(fields).encode()
    return struct.pack("<Q", len(text)) + text + body


@st.composite
def headers(draw: st.DrawFn, valid: bytes) -> bytes:
    """Makes safetensors files with a valid JSON header that is wrong about an array or two."""
    fields, body = split_header(valid)
    sizes = st.one_of(st.integers(-2, 200), st.sampled_from([10**9, 2**31, 2**63, 2**64, 1e9]))
    types = ["F16", "F32", "F64", "BF16", "I64", "U8", "BOOL", "F8_E4M3"]
    values = st.one_of(sizes, st.lists(sizes, max_size=4), st.sampled_from([*types, "", None]))
    for name in draw(st.lists(st.sampled_from(sorted(fields)), max_size=2, unique=True)):
        key = draw(st.sampled_from(["dtype", "shape", "data_offsets", "more", None]))
        if key is None:
            fields[draw(st.text(max_size=20))] = fields.pop(name)
        else:
            fields[name][key] = draw(values)
    return with_header(fields, body)


def zipped(entries: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """Makes a zip of entries by their names."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return file.getvalue()


@st.composite
def archives(draw: st.DrawFn, entries: Mapping[str, bytes]) -> bytes:
    """Makes valid zips in which one entry, most often the pickle, is damaged."""
    pickles = [name for name in entries if name.endswith(".pkl")]
    name = draw(st.sampled_from([*entries, *pickles * 40]))
    return zipped({**entries, name: draw(damaged([entries[name]]))})
