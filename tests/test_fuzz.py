"""Reads thousands of damaged files and values: correctly, or with a UserError of one line.

`python -m pytest tests/test_fuzz.py -m long -rP` tries all of them, and prints how many of each
kind were read and refused. By default it is one of 10.
Files are read in a process with limited memory, where allocating what a file claims fails.
"""

import contextlib
import gzip
import io
import itertools
import math
import multiprocessing
import resource
import struct
import zipfile
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
from flax import traverse_util
from helpers.idx_files import idx_bytes
from helpers.large_claims import large_claims
from helpers.mutations import archives, chunked, damaged, headers, pictures
from helpers.sample_images import image_files
from helpers.trained_runs import WEIGHTS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mnist_flax import architecture, main, network_arrays, torch_interop
from mnist_flax import config as config_lib
from mnist_flax.datasets import idx
from mnist_flax.errors import UserError
from mnist_flax.predict import images
from mnist_flax.trained import weights

SHAPE = (6, 5, 4)

# By the suffix of a file.
READERS: dict[str, Callable[[Path], Any]] = {
    ".gz": lambda path: idx.read(path, SHAPE),
    ".safetensors": lambda path: weights.read(path).variables,
    ".pt": lambda path: weights.read(path).variables,
    ".png": images.read,
    ".jpeg": images.read,
    ".bmp": images.read,
    ".webp": images.read,
    ".tiff": images.read,
    ".heif": images.read,
}


class Reached(Exception):  # noqa: N818, it is no error
    """Raised instead of starting a run, when the command line is valid."""


def prepare_worker() -> None:
    """Limits the process to 768 MiB more than it uses now."""
    if find_spec("torch"):
        import torch  # noqa: F401
    # JAX starts its threads now, before the limit.
    weights.read(WEIGHTS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limit = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (used + 768 * 2**20, limit))


def read(path: Path) -> Any:
    """Reads a file into NumPy arrays; runs in the worker."""
    return jax.tree.map(np.asarray, READERS[path.suffix](path))


@pytest.fixture(scope="module")
def worker() -> Iterator[Executor]:
    """A process with limited memory; if it crashes, the test fails."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, prepare_worker) as pool:
        yield pool


@pytest.fixture(params=[10, pytest.param(1, marks=pytest.mark.long)], ids=["few", "all"])
def count(request) -> Callable[..., None]:
    """Runs a check on many inputs; by default on one of 10 of them."""
    return lambda name, inputs, check, cases: run_cases(
        name, inputs, check, cases // request.param
    )


@pytest.fixture
def fuzz(worker, tmp_path, count) -> Callable[..., None]:
    """Reads files whose content a strategy makes."""

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


def run_cases(
    name: str, inputs: st.SearchStrategy[Any], check: Callable[[Any], None], cases: int
) -> None:
    """Runs `check` on this many inputs, and counts those that it reads and refuses."""
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
    # Each happens often enough to be tested.
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


# Most often the right shape.
IDX = [*[idx_file()] * 5, idx_file((6, 4, 5)), idx_file((7,)), idx_file((7, 5, 4))]


def test_idx_files_of_any_bytes(fuzz) -> None:
    compressed = [gzip.compress(content, mtime=0) for content in IDX]
    fuzz("IDX files, as gzip", ".gz", damaged(compressed), check_idx, 2000)


def test_idx_files_of_any_content(fuzz) -> None:
    compressed = damaged(IDX).map(gzip.compress)
    fuzz("IDX files, inside gzip", ".gz", compressed, check_idx, 2000)


# ---------------------------------------------------------------------------------- weights


def check_weights(found: Any, _: bytes) -> None:
    arrays = traverse_util.flatten_dict(found, sep="/")
    expected = network_arrays.expected(architecture.DEFAULT)
    assert arrays.keys() == expected.keys()
    for name, array in arrays.items():
        assert (array.shape, array.dtype) == (expected[name].shape, np.float32)
        assert np.isfinite(array).all()


def test_safetensors_of_any_bytes(fuzz) -> None:
    as_torch = torch_interop.to_state_dict(weights.read(WEIGHTS).variables)
    whole = [WEIGHTS.read_bytes(), safetensors.numpy.save(as_torch)]
    fuzz("safetensors, bytes", ".safetensors", damaged(whole), check_weights, 1200)


def test_safetensors_of_any_header(fuzz) -> None:
    content = WEIGHTS.read_bytes()
    fuzz("safetensors, headers", ".safetensors", headers(content), check_weights, 800)


@pytest.fixture
def state_dict() -> bytes:
    """A file that PyTorch saved."""
    torch = pytest.importorskip(
        "torch", reason="PyTorch is not a dependency; install it to run this"
    )
    arrays = torch_interop.to_state_dict(weights.read(WEIGHTS).variables)
    file = io.BytesIO()
    torch.save({name: torch.from_numpy(x) for name, x in arrays.items()}, file)
    return file.getvalue()


def test_state_dicts_of_any_bytes(fuzz, state_dict) -> None:
    fuzz("state_dicts, bytes", ".pt", damaged([state_dict]), check_weights, 800)


def test_state_dicts_of_any_pickle(fuzz, state_dict) -> None:
    with zipfile.ZipFile(io.BytesIO(state_dict)) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    fuzz("state_dicts, pickles", ".pt", archives(entries), check_weights, 1200)


# ----------------------------------------------------------------------------------- images


def check_image(found: list[list[images.Digit]], _: bytes) -> None:
    assert 1 <= len(found) <= 3
    for digit in itertools.chain(*found):
        assert digit.image.dtype == np.uint8
        assert digit.image.shape == (28, 28)
        assert digit.image.max() == 255
        left, top, right, bottom = digit.box
        assert left < right
        assert top < bottom
    assert all(found)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "BMP", "WEBP", "TIFF", "HEIF"])
def test_images_of_any_bytes(fuzz, form) -> None:
    if form == "HEIF":
        pytest.importorskip(
            "pillow_heif", reason="pillow-heif is not installed; pip install '.[heic]'"
        )
    contents = damaged(image_files(form))
    fuzz(f"{form} images", f".{form.lower()}", contents, check_image, 1200)


def test_images_of_any_chunks(fuzz) -> None:
    contents = chunked(image_files("PNG"))
    fuzz("PNG images with right checksums", ".png", contents, check_image, 1200)


def test_images_of_any_pixels(fuzz) -> None:
    fuzz("PNG images of any pixels", ".png", pictures(), check_image, 1200)


# ----------------------------------------------------------------------------- large claims


def test_what_claims_to_be_large_is_not_given_memory(tmp_path, worker) -> None:
    with pytest.raises(MemoryError):
        worker.submit(bytearray, 2**30).result()
    for name, (content, message) in large_claims(SHAPE, WEIGHTS.read_bytes()).items():
        path = tmp_path / f"a{name.partition(':')[0]}"
        path.write_bytes(content)
        with pytest.raises(UserError, match=message) as error:
            worker.submit(read, path).result()
        assert_one_line(str(error.value))


def test_a_chunk_that_claims_to_be_larger_than_its_file(tmp_path, worker) -> None:
    whole = image_files("PNG")[1]
    at = whole.index(b"IDAT") - 4
    right, path = tmp_path / "right.png", tmp_path / "a.png"
    right.write_bytes(whole)
    path.write_bytes(whole[:at] + struct.pack(">I", 2**31 - 1) + whole[at + 4 :])
    # Pillow reads it: all pixels are there.
    found, expected = (worker.submit(read, each).result() for each in (path, right))
    np.testing.assert_array_equal(found[0][0].image, expected[0][0].image)


# ------------------------------------------------------------------------- config overrides


def overrides() -> st.SearchStrategy[list[str]]:
    # A command line can hold anything but NUL, even bytes that are not text.
    text = st.text(st.characters(exclude_characters="\0", exclude_categories=()), max_size=12)
    keys = st.one_of(
        *[st.sampled_from(sorted(config_lib.RULES))] * 8,
        st.sampled_from(
            ["augment", "model", "seeds", "augment.degree", "lock", "__class__", ""]
        ),
        text,
    )
    numbers = st.one_of(st.integers(0, 28), st.integers(), st.floats(), st.floats(0, 1))
    words = ["true", "None", "nan", "-inf", "1e999", "1_000", "0x10", "(1, 2)", "[1]", "{}", ""]
    words += ["train[9:", "'", "\\", "\u0661"]
    defaults = config_lib.flatten(config_lib.load(config_lib.default_path()))
    words += map(str, defaults.values())
    values = st.one_of(*[numbers.map(str)] * 4, st.sampled_from(words), text)
    forms = st.sampled_from(["--config.{}={}"] * 8 + ["-config.{}={}", "--noconfig.{}={}"])
    one = st.builds(str.format, forms, keys, values)
    right = st.sampled_from([f"--config.{key}={value}" for key, value in defaults.items()])
    bare = st.builds("--config.{}".format, keys)
    return st.lists(st.one_of(*[one] * 8, *[right] * 3, bare), min_size=1, max_size=2)


def test_config_overrides(monkeypatch, tmp_path, count) -> None:
    configs = []

    def validate(config) -> None:
        validate_config(config)
        configs.append(config)

    def stop(*_) -> None:
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
