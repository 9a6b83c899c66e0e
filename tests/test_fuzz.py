"""Thousands of damaged files and values: each is read rightly, or is a UserError of one line.

How many of each kind: `python -m pytest tests/test_fuzz.py -rP`.
Files are read in a process with little memory, so that one that claims much is not given it.
"""

import contextlib
import gzip
import io
import json
import math
import multiprocessing
import resource
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import safetensors.numpy
from drawings import printed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from idx_files import idx_bytes
from mutations import chunk, damaged
from PIL import Image

from mnist_flax import config as config_lib
from mnist_flax import images, main, torch_interop, weights
from mnist_flax.datasets import idx
from mnist_flax.errors import UserError

TRAINED = Path(__file__).parent / "fixtures" / "trained.safetensors"

SHAPE = (6, 5, 4)


# By the suffix of a file.
READERS: dict[str, Callable[[Path], Any]] = {
    ".gz": lambda path: idx.read(path, SHAPE),
    ".safetensors": weights.from_file,
    ".pt": weights.from_file,
    ".png": images.read,
    ".jpeg": images.read,
    ".bmp": images.read,
}


class Reached(Exception):  # noqa: N818, it is no error
    """What a valid command line leads to: the beginning of the run."""


def prepare_worker() -> None:
    """From here on, the process gets at most 512 MiB more than it has."""
    if find_spec("torch"):
        import torch  # noqa: F401
    # JAX makes its threads and its one program.
    weights.from_file(TRAINED)
    # The names and shapes of a network are found once: it takes JAX longer than all else.
    entries = torch_interop._entries()
    torch_interop._entries = lambda: entries
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limit = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (used + 512 * 2**20, limit))


def read(path: Path) -> Any:
    """What is read of a file, as NumPy arrays; runs in the worker."""
    return jax.tree.map(np.asarray, READERS[path.suffix](path))


@pytest.fixture(scope="module")
def worker() -> Iterator[Executor]:
    """A process with little memory; one that crashes fails the test."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, prepare_worker) as pool:
        yield pool


@pytest.fixture
def fuzz(worker, tmp_path) -> Callable[..., None]:
    """Reads files of what a strategy makes."""

    def run(
        name: str,
        suffix: str,
        contents: st.SearchStrategy[bytes],
        check: Callable[[Any, bytes], None],
        cases: int,
    ) -> None:
        path = tmp_path / f"a{suffix}"

        def one(content: bytes) -> None:
            path.write_bytes(content)
            check(worker.submit(read, path).result(), content)

        count(name, contents, one, cases)

    return run


def count(
    name: str, inputs: st.SearchStrategy[Any], check: Callable[[Any], None], cases: int
) -> None:
    """Runs `check` on so many inputs, and counts those that are read and those refused."""
    seen: Counter[str] = Counter()

    @settings(
        max_examples=cases,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs)
    def one(value: Any) -> None:
        try:
            check(value)
        except UserError as error:
            assert_one_line(str(error))
            seen["refused"] += 1
        else:
            seen["read"] += 1

    one()
    print(f"{name}: {seen.total()} cases, {seen['read']} read, {seen['refused']} refused")
    assert seen.total() >= cases
    # Neither is so rare that it is not tested.
    assert min(seen["read"], seen["refused"]) >= cases / 50


def assert_one_line(message: str) -> None:
    assert message.strip()
    assert "\n" not in message
    assert "MemoryError" not in message
    assert len(message) < 1500


# -------------------------------------------------------------------------------- IDX files


def idx_file(shape: tuple[int, ...] = SHAPE) -> bytes:
    return idx_bytes(shape, bytes(range(math.prod(shape))))


def check_idx(found: np.ndarray, content: bytes) -> None:
    assert found.dtype == np.uint8
    assert found.shape == SHAPE
    whole = gzip.decompress(content)
    assert whole[:16] == struct.pack(">4I", 0x803, *SHAPE)
    assert found.tobytes() == whole[16:]


def test_idx_files(fuzz) -> None:
    others = [idx_file((6, 4, 5)), idx_file((7,)), idx_file((7, 5, 4))]
    compressed = [gzip.compress(x, mtime=0) for x in [idx_file(), *others]]
    fuzz("IDX files, as gzip", ".gz", damaged(compressed), check_idx, 2000)
    inside = damaged([idx_file(), *others]).map(gzip.compress)
    fuzz("IDX files, inside gzip", ".gz", inside, check_idx, 2000)


# ---------------------------------------------------------------------------------- weights


def check_weights(found: Any, _: bytes) -> None:
    flat, _ = jax.tree.flatten_with_path(found)
    shapes = {tuple(key.key for key in path): x.shape for path, x in flat}
    entries = torch_interop._entries()
    assert shapes == {entry.path: entry.shape for entry in entries if entry.path}
    for _, array in flat:
        assert array.dtype == np.float32
        assert np.isfinite(array).all()


def split_header(content: bytes) -> tuple[dict[str, Any], bytes]:
    size = struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8 : 8 + size]), content[8 + size :]


@st.composite
def headers(draw: st.DrawFn) -> bytes:
    """Weights whose header is whole, and says something else of an array or two."""
    fields, body = split_header(TRAINED.read_bytes())
    sizes = st.one_of(st.integers(-2, 200), st.sampled_from([10**9, 2**31, 2**63, 2**64, 1e9]))
    values = st.one_of(
        sizes,
        st.lists(sizes, max_size=4),
        st.sampled_from(
            ["F16", "F32", "F64", "BF16", "I64", "U8", "BOOL", "F8_E4M3", "", None]
        ),
    )
    for name in draw(st.lists(st.sampled_from(sorted(fields)), max_size=2, unique=True)):
        key = draw(st.sampled_from(["dtype", "shape", "data_offsets", "more", None]))
        if key is None:
            fields[draw(st.text(max_size=20))] = fields.pop(name)
        else:
            fields[name][key] = draw(values)
    text = json.dumps(fields).encode()
    return struct.pack("<Q", len(text)) + text + body


def test_safetensors(fuzz) -> None:
    as_torch = torch_interop.to_state_dict(weights.from_file(TRAINED))
    whole = [TRAINED.read_bytes(), safetensors.numpy.save(as_torch)]
    fuzz("safetensors, bytes", ".safetensors", damaged(whole), check_weights, 1200)
    fuzz("safetensors, headers", ".safetensors", headers(), check_weights, 800)


@st.composite
def archives(draw: st.DrawFn, entries: dict[str, bytes]) -> bytes:
    """A zip that is whole, one of whose entries is not."""
    name = draw(st.sampled_from([*entries, *[x for x in entries if x.endswith(".pkl")] * 40]))
    changed = entries | {name: draw(damaged([entries[name]]))}
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for key, value in changed.items():
            archive.writestr(key, value)
    return file.getvalue()


def test_state_dicts(fuzz) -> None:
    torch = pytest.importorskip(
        "torch", reason="PyTorch is no dependency; install it to run this"
    )
    arrays = torch_interop.to_state_dict(weights.from_file(TRAINED))
    file = io.BytesIO()
    torch.save({name: torch.from_numpy(x) for name, x in arrays.items()}, file)
    whole = file.getvalue()
    with zipfile.ZipFile(file) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    fuzz("state_dicts, bytes", ".pt", damaged([whole]), check_weights, 800)
    fuzz("state_dicts, pickles", ".pt", archives(entries), check_weights, 1200)


# ----------------------------------------------------------------------------------- images


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


def check_image(found: np.ndarray, _: bytes) -> None:
    assert found.dtype == np.uint8
    assert found.shape == (28, 28)
    assert found.max() == 255


@st.composite
def chunked(draw: st.DrawFn) -> bytes:
    """A PNG whose checksums are right, and one of whose chunks is not."""
    content = draw(st.sampled_from(image_files("PNG")))
    chunks, at = [], 8
    while at < len(content):
        size = struct.unpack(">I", content[at : at + 4])[0]
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + size]))
        at += size + 12
    i = draw(st.integers(0, len(chunks) - 1))
    kind, data = chunks[i]
    chunks[i] = (kind, draw(damaged([data])))
    if draw(st.booleans()):
        kinds = [
            b"eXIf",
            b"zTXt",
            b"iTXt",
            b"tRNS",
            b"PLTE",
            b"iCCP",
            b"acTL",
            b"IHDR",
            b"IDAT",
        ]
        chunks.insert(i, (draw(st.sampled_from(kinds)), draw(st.binary(max_size=40))))
    return content[:8] + b"".join(chunk(*each) for each in chunks)


def test_images(fuzz) -> None:
    for form in ("PNG", "JPEG", "BMP"):
        fuzz(
            f"{form} images", f".{form.lower()}", damaged(image_files(form)), check_image, 1200
        )
    fuzz("PNG images with right checksums", ".png", chunked(), check_image, 1200)


# ----------------------------------------------------------------------------- large claims


def large_claims() -> dict[str, bytes]:
    """Small files that claim to be large, by what they claim, each after its suffix."""
    zeros = gzip.compress(bytes(2**20)) * 2000
    compressor = zlib.compressobj()
    gigabyte = b"".join(compressor.compress(bytes(2**20)) for _ in range(1024))
    gigabyte += compressor.flush()
    fields, body = split_header(TRAINED.read_bytes())
    name = "params/fc/bias"
    claim = fields | {name: {"dtype": "F32", "shape": [10**9], "data_offsets": [0, 4 * 10**9]}}
    text = json.dumps(claim).encode()
    side = struct.pack("<ii", 30_000, 30_000)
    bmp = encoded(Image.new("L", (9, 9)), "BMP")
    jpeg = encoded(Image.new("L", (9, 9)), "JPEG")
    at = jpeg.index(b"\xff\xc0") + 5
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 6, 0, 0, 0)
    small = struct.pack(">IIBBBBB", 9, 9, 8, 0, 0, 0, 0)
    much = b"a\0\0" + gigabyte
    empty = chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    png = b"\x89PNG\r\n\x1a\n"
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("net/data.pkl", "w") as entry:
            for _ in range(1024):
                entry.write(bytes(2**20))
    images_header = struct.pack(">4I", 0x803, *SHAPE)
    return {
        ".gz: a billion images": gzip.compress(struct.pack(">4I", 0x803, 10**9, 28, 28)),
        ".gz: 2 GB of zeros": zeros,
        ".gz: all that there should be, and 2 GB more": gzip.compress(images_header) + zeros,
        ".safetensors: a header of 4 EB": struct.pack("<Q", 2**62) + text,
        ".safetensors: a billion numbers": struct.pack("<Q", len(text)) + text + body,
        ".pt: a gigabyte of zeros": bomb.getvalue(),
        ".png: 900 megapixels": png + chunk(b"IHDR", header) + empty,
        ".png: a gigabyte of text": png + chunk(b"IHDR", small) + chunk(b"zTXt", much) + empty,
        ".jpeg: 4,295 megapixels": jpeg[:at] + b"\xff" * 4 + jpeg[at + 4 :],
        ".bmp: 900 megapixels": bmp[:18] + side + bmp[26:],
    }


@pytest.mark.parametrize("name", large_claims())
def test_what_claims_to_be_large_is_not_given_memory(tmp_path, worker, name) -> None:
    with pytest.raises(MemoryError):
        worker.submit(bytearray, 2**29).result()
    path = tmp_path / f"a{name.partition(':')[0]}"
    path.write_bytes(large_claims()[name])
    with pytest.raises(UserError) as error:
        worker.submit(read, path).result()
    assert_one_line(str(error.value))


# ------------------------------------------------------------------------- config overrides


def overrides() -> st.SearchStrategy[list[str]]:
    # What a command line can hold: anything but NUL, and bytes that are no text.
    text = st.text(st.characters(exclude_characters="\0", exclude_categories=()), max_size=12)
    keys = st.one_of(
        *[st.sampled_from(sorted(config_lib.RULES))] * 4,
        st.sampled_from(
            ["augment", "model", "seeds", "augment.degree", "lock", "__class__", ""]
        ),
        text,
    )
    numbers = st.one_of(st.integers(0, 100), st.integers(), st.floats(), st.floats(0, 1))
    words = ["true", "None", "nan", "-inf", "1e999", "1_000", "0x10", "(1, 2)", "[1]", "{}", ""]
    words += [
        "train",
        "train[:5%]+test",
        "train[9:",
        "float32",
        "adam",
        "mnist",
        "'",
        "\\",
        "\u0661",
    ]
    values = st.one_of(numbers.map(str), numbers.map(str), st.sampled_from(words), text)
    forms = st.sampled_from(["--config.{}={}"] * 8 + ["-config.{}={}", "--noconfig.{}={}"])
    one = st.builds(str.format, forms, keys, values)
    bare = st.builds("--config.{}".format, keys)
    return st.lists(st.one_of(*[one] * 9, bare), min_size=1, max_size=2)


def test_config_overrides(monkeypatch, tmp_path) -> None:
    configs = []

    def validate(config) -> None:
        validate_config(config)
        configs.append(config)

    def stop(_) -> None:
        raise Reached

    validate_config = config_lib.validate
    monkeypatch.setattr(config_lib, "validate", validate)
    monkeypatch.setattr(main.stopping, "at_once", stop)

    def check(argv: list[str]) -> None:
        errors = io.StringIO()
        try:
            with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(errors):
                status = main.main(["--workdir", str(tmp_path / "run"), *argv])
        except Reached:
            fields = config_lib.flatten(configs[-1])
            assert set(fields) == set(config_lib.RULES)
            assert all(type(fields[key]) is rule.kind for key, rule in config_lib.RULES.items())
            assert not errors.getvalue()
            return
        assert status == 2
        lines = errors.getvalue()
        assert lines.startswith("error: ")
        assert lines.endswith("\n")
        raise UserError(lines[:-1])

    count("config overrides", overrides(), check, 3000)
    assert not list(tmp_path.iterdir())
