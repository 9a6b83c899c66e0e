"""Weights are read from files that may hold anything.

fixtures/trained.safetensors are the weights of configs/default.py after its 20 epochs, seed 0:
    python -m mnist_flax.main --workdir runs/0
    python -m mnist_flax.export --workdir runs/0 --format safetensors \
      --output tests/fixtures/trained.safetensors
"""

import json
import pickle
import struct
import sys
import types
import zipfile
from pathlib import Path

import jax
import numpy as np
import pytest
import safetensors.numpy
from flax import traverse_util
from helpers.mutations import with_header, zipped
from helpers.trained_runs import WEIGHTS

from mnist_flax import input_pipeline, network_arrays, torch_interop
from mnist_flax.errors import UserError
from mnist_flax.trained import loading, weights


def raises(message: str):
    return pytest.raises(UserError, match=message)


def short(value: bytes | str) -> str:
    """A part of a test's name."""
    return value if isinstance(value, str) else f"{len(value)} bytes"


def assert_trained(path: Path) -> None:
    """A file has the weights and the architecture of the fixture."""
    jax.tree.map(np.testing.assert_array_equal, weights.read(path), weights.read(WEIGHTS))


def test_the_fixture_is_trained(data_dir) -> None:
    split = input_pipeline.load("test[:1000]", data_dir)
    answers = loading.logits(loading.from_weights(WEIGHTS), split.images).argmax(1)
    assert (answers == split.labels).mean() > 0.99


def test_the_names_of_pytorch_and_our_own(tmp_path) -> None:
    path = tmp_path / "net.SafeTensors"
    state_dict = torch_interop.to_state_dict(weights.read(WEIGHTS).variables)
    safetensors.numpy.save_file(state_dict, path)
    assert_trained(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "too small"),
        (b"nonsense, and not a short one", "header too large"),
        (struct.pack("<Q", 2**62) + b"{}", "header too large"),
        (with_header([]), "invalid JSON"),
        (
            with_header(
                {"a": {"dtype": "F32", "shape": [10**9], "data_offsets": [0, 4 * 10**9]}}
            ),
            "not fully",
        ),
        (
            with_header({"a": {"dtype": "F32", "shape": [2**40] * 2, "data_offsets": [0, 0]}}),
            "overflow",
        ),
        (
            with_header({"a": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}}, b"ab"),
            "BF16",
        ),
        (with_header({}), r"state_dict: 'conv1.weight' of shape \[8, 1, 3, 3\] is missing"),
        (WEIGHTS.read_bytes()[:-1], "not fully covered"),
        (bytes(weights.MAX_BYTES + 1), "larger than 1,048,576 bytes"),
    ],
    ids=short,
)
@pytest.mark.filterwarnings("error")
def test_no_safetensors_of_this_network(tmp_path, content, message) -> None:
    path = tmp_path / "net.safetensors"
    path.write_bytes(content)
    with raises(message) as error:
        weights.read(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_one_array_too_many_or_of_another_shape(tmp_path) -> None:
    arrays = safetensors.numpy.load_file(WEIGHTS)
    path = tmp_path / "net.safetensors"
    safetensors.numpy.save_file(arrays | {"params/fc2/bias": np.zeros(3)}, path)
    with raises("variables: 'params/fc2/bias' is no entry of this network"):
        weights.read(path)
    safetensors.numpy.save_file(arrays | {"params/fc/bias": np.zeros(3)}, path)
    with raises(r"variables: 'params/fc/bias' has shape \[3\], expected \[10\]"):
        weights.read(path)


def noted(architecture: object) -> str:
    """The part of an export's description that names the architecture."""
    return json.dumps({"config": {"model": {"architecture": architecture}}})


def test_layers_that_a_file_notes(tmp_path) -> None:
    path = tmp_path / "net.safetensors"
    layers = "8 16 pool 16 same"
    note = {"mnist_flax": noted(layers)}
    expected = network_arrays.expected(layers)
    arrays = {name: np.full(x.shape, i, "f4") for i, (name, x) in enumerate(expected.items())}
    safetensors.numpy.save_file(arrays, path, note)
    variables, architecture = weights.read(path)
    assert architecture == layers
    found = traverse_util.flatten_dict(variables, sep="/")
    jax.tree.map(np.testing.assert_array_equal, found, arrays)
    safetensors.numpy.save_file(safetensors.numpy.load_file(WEIGHTS), path, note)
    with raises(r"variables: 'batch_stats/bn4/mean' has shape \[32\], expected \[16\]"):
        weights.read(path)


@pytest.mark.parametrize(
    "note",
    ["", "{", "[" * 100_000, "3", "{}", '{"config": []}', noted("8k2"), noted(["8"]), noted(8)],
    ids=lambda note: note[:20],
)
def test_a_note_that_says_nothing(tmp_path, note) -> None:
    path = tmp_path / "net.safetensors"
    arrays = safetensors.numpy.load_file(WEIGHTS)
    safetensors.numpy.save_file(arrays, path, {"mnist_flax": note})
    assert_trained(path)


def test_no_file(tmp_path) -> None:
    with raises("net.safetensors cannot be read: No such file"):
        weights.read(tmp_path / "net.safetensors")
    (tmp_path / "net.pt").mkdir()
    with raises("net.pt cannot be read: Is a directory"):
        weights.read(tmp_path / "net.pt")
    with raises("net.npz is not a file of weights; give a .safetensors, .pt or .pth file"):
        weights.read(tmp_path / "net.npz")


class Malicious:
    """Python's own unpickler makes a file of this name when it reads it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return open, (str(self.path), "w")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_runs_no_code(tmp_path, protocol) -> None:
    content = pickle.dumps(Malicious(tmp_path / "made"), protocol)
    path = tmp_path / "net.pt"
    path.write_bytes(zipped({"net/data.pkl": content, "net/version": b"3"}))
    with raises(r"it calls for (\S+ open|STACK_GLOBAL); save one by torch.save"):
        weights.read(path)
    assert [x.name for x in tmp_path.iterdir()] == ["net.pt"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "File is not a zip file"),
        (pickle.dumps({"conv1.weight": [1.0]}), "File is not a zip file"),
        (zipped({"net/data/0": bytes(2**20 + 1)}, zipfile.ZIP_DEFLATED), "it unpacks to more"),
        (zipped({"net/data/0": b"1"}, zipfile.ZIP_LZMA), "it is compressed in an unusual way"),
        (zipped({"net/data.pkl": b"\x80\x02i"}), "not a state_dict"),
    ],
    ids=short,
)
def test_no_state_dict(tmp_path, content, message) -> None:
    path = tmp_path / "net.pth"
    path.write_bytes(content)
    with raises(message):
        weights.read(path)


def test_an_entry_that_claims_to_be_small(tmp_path) -> None:
    content = bytearray(zipped({"net/data/0": bytes(2**24)}, zipfile.ZIP_DEFLATED))
    at = content.index(b"PK\x01\x02") + 24
    assert content[at : at + 4] == struct.pack("<I", 2**24)
    content[at : at + 4] = struct.pack("<I", 4)
    path = tmp_path / "net.pt"
    path.write_bytes(content)
    with raises("Bad CRC-32"):
        weights.read(path)


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (None, "only be read where PyTorch is installed"),
        ("2.9.1+cpu", "can attack PyTorch 2.9.1"),
    ],
)
def test_no_pytorch_or_an_old_one(tmp_path, monkeypatch, version, message) -> None:
    module = types.ModuleType("torch")
    module.__version__ = version  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", module if version else None)
    path = tmp_path / "net.pt"
    path.write_bytes(zipped({"net/data.pkl": b"\x80\x02}."}))
    with raises(message):
        weights.read(path)


@pytest.fixture
def torch():
    return pytest.importorskip(
        "torch", reason="PyTorch is not a dependency; install it to run this"
    )


@pytest.fixture
def state_dict(torch) -> dict:
    arrays = torch_interop.to_state_dict(weights.read(WEIGHTS).variables)
    return {name: torch.from_numpy(x) for name, x in arrays.items()}


def test_a_state_dict_that_pytorch_saved(tmp_path, torch, state_dict) -> None:
    for name in ("net.pt", "net.pth"):
        torch.save(state_dict, tmp_path / name)
        assert_trained(tmp_path / name)


@pytest.mark.filterwarnings("error")
def test_a_pickle_that_pytorch_would_warn_of(tmp_path, torch, state_dict) -> None:
    path = tmp_path / "net.pt"
    torch.save(state_dict, path)
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    name = next(name for name in entries if name.endswith("data.pkl"))
    assert entries[name].startswith(b"\x80\x02")
    entries[name] = b"\x80\x03" + entries[name][2:]
    path.write_bytes(zipped(entries))
    assert_trained(path)


def test_what_else_pytorch_saves(tmp_path, torch, state_dict) -> None:
    path = tmp_path / "net.pt"
    torch.save(state_dict, path, _use_new_zipfile_serialization=False)
    with raises("File is not a zip file"):
        weights.read(path)
    torch.save(torch.nn.Linear(2, 2), path)
    with raises("it calls for torch.nn.modules.linear Linear; save one by"):
        weights.read(path)
    torch.save({"net": state_dict}, path)
    with raises("is missing; it has 'net' instead"):
        weights.read(path)
    torch.save([1], path)
    with raises("not a state_dict that can be used: it is a list"):
        weights.read(path)


def test_a_tensor_that_claims_to_be_large(tmp_path, torch, state_dict) -> None:
    path = tmp_path / "net.pt"
    # A billion entries that are all the same four bytes.
    torch.save(state_dict | {"fc.bias": torch.zeros(1).expand(10**9)}, path)
    with raises(r"'fc.bias' has shape \[1000000000\], expected \[10\]"):
        weights.read(path)
    # A storage with more numbers than the file has.
    torch.save(state_dict, path)
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    name = next(name for name in entries if name.endswith("data.pkl"))
    numbers = b"K\x48t"  # 72, the size of the first storage
    assert entries[name].count(numbers) == 1
    entries[name] = entries[name].replace(numbers, b"J" + struct.pack("<i", 10**9) + b"t")
    path.write_bytes(zipped(entries))
    with raises("does not match expected size"):
        weights.read(path)
