"""Weights from a file, safetensors or a state_dict of PyTorch. Nothing in it is trusted.

A file of safetensors holds numbers and no code. One of PyTorch's is a zip of a pickle and of
numbers, and a pickle may do anything: it is only read if all that it calls for is what a
state_dict needs, and then by PyTorch's own weights-only reader.
"""

import io
import itertools
import json
import pickletools
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import safetensors.numpy

from mnist_flax import architecture, torch_interop
from mnist_flax.errors import UserError

# A network of fewer than 20,000 parameters has 160 kB in float64.
MAX_BYTES = 2**20

# Before 2.6 the weights-only reader could be made to run code (CVE-2025-32434); before 2.10 it
# took a tensor's size on trust and read past the end of the file's bytes.
_TORCH = (2, 10)

# All that the pickle of a state_dict calls for, and all that may say so.
_GLOBALS = {"collections OrderedDict", "torch._utils _rebuild_tensor_v2"} | {
    f"torch {kind}Storage" for kind in ("Float", "Double", "Half", "BFloat16", "Long")
}
_OPCODES_WITH_HIDDEN_GLOBALS = {"STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX"}
_OPCODES_WITH_HIDDEN_GLOBALS |= {"EXT1", "EXT2", "EXT4"}


def from_file(path: str | Path) -> dict[str, dict[str, dict[str, jax.Array]]]:
    """Variables of `ConvNet` from a file, of the architecture that `architecture_of` names.

    Args:
      path: `.safetensors`, with the names of a PyTorch state_dict ('conv1.weight') or with our
        own ('params/conv1/kernel'); or `.pt` or `.pth`, what torch.save(net.state_dict(), path)
        wrote, for which PyTorch must be installed.

    Returns:
      {'params': ..., 'batch_stats': ...}, float32.

    Raises:
      UserError: the file cannot be read, is larger than MAX_BYTES or not what its name says, or
        does not hold exactly the weights of the network.
    """
    path = Path(path)
    readers = {".safetensors": _read_safetensors, ".pt": _read_torch, ".pth": _read_torch}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UserError(f"{path} is no file of weights; give a .safetensors, .pt or .pth file")
    arrays = reader(path, _read(path))
    layers = architecture_of(path)
    try:
        if any("/" in str(name) for name in arrays):
            arrays = torch_interop.to_state_dict(arrays, layers)
        return torch_interop.from_state_dict(arrays, layers)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def architecture_of(path: str | Path) -> str:
    """The layers of the network in a file: as `export` notes them, or else the assignment's.

    Args:
      path: see `from_file`. Only our own safetensors files have such a note.

    Raises:
      UserError: the file cannot be read or is too large.
    """
    data = _read(Path(path))
    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        description = json.loads(header["__metadata__"]["mnist_flax"])
        found = description["config"]["model"]["architecture"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return architecture.DEFAULT
    known = isinstance(found, str) and architecture.is_valid(found)
    return found if known else architecture.DEFAULT


def _read(path: Path) -> bytes:
    """The bytes of a small file.

    Raises:
      UserError: it cannot be read, or is not small.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise UserError(
            f"{path} is larger than {MAX_BYTES:,} bytes, and the network's weights are not; "
            "save the state_dict alone, without an optimizer's"
        )
    return data


def _read_safetensors(path: Path, data: bytes) -> dict[str, np.ndarray]:
    try:
        return safetensors.numpy.load(data)
    except KeyError as error:  # The type of a tensor that NumPy does not know.
        why = f"it holds numbers of type {error}, and not of float32"
    except Exception as error:  # SafetensorError, and whatever NumPy makes of the numbers.
        why = str(error)
    raise _unusable(path, "safetensors file", why)


def _read_torch(path: Path, data: bytes) -> Mapping[str, Any]:
    checked = _checked_zip(path, data)
    try:
        import torch
    except ImportError:
        raise UserError(
            f"{path} can only be read where PyTorch is installed (pip install torch); or "
            "convert it there with safetensors.torch.save_file(state_dict, 'net.safetensors')"
        ) from None
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < _TORCH:
        raise UserError(
            f"{path} is not read by PyTorch {torch.__version__}, which files can attack; "
            f"install {'.'.join(map(str, _TORCH))} or later, or convert it to .safetensors"
        )
    try:
        with warnings.catch_warnings():
            # Of a pickle that PyTorch would not write; what is in it is checked all the same.
            warnings.simplefilter("ignore")
            state_dict = torch.load(checked, map_location="cpu", weights_only=True)
    except Exception as error:  # Whatever the pickle makes the functions that it calls raise.
        raise _unusable(path, "state_dict", str(error)) from None
    if not isinstance(state_dict, Mapping):
        raise _unusable(path, "state_dict", f"it is a {type(state_dict).__name__}")
    return state_dict


def _checked_zip(path: Path, data: bytes) -> io.BytesIO:
    """The zip written anew, so that PyTorch's reader sees in it what was checked here.

    Raises:
      UserError: it is none, claims to be larger than MAX_BYTES once it is unpacked, or its
        pickle calls for more than a state_dict does.
    """
    copy = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(copy, "w") as target:
            entries = source.infolist()
            # zlib is tame; the other methods may allocate what the file tells them to.
            if any(x.compress_type not in (0, zipfile.ZIP_DEFLATED) for x in entries):
                raise ValueError("it is compressed in an unusual way")
            if sum(entry.file_size for entry in entries) > MAX_BYTES:
                raise ValueError(f"it unpacks to more than {MAX_BYTES:,} bytes")
            for entry in entries:
                content = source.read(entry)
                if entry.filename.lower().endswith(".pkl"):
                    _check_pickle(content)
                target.writestr(entry.filename, content)
    except Exception as error:  # zipfile and pickletools raise whatever they happen to.
        raise _unusable(path, "state_dict", str(error)) from None
    copy.seek(0)
    return copy


def _check_pickle(content: bytes) -> None:
    """Raises ValueError if a pickle calls for anything that a state_dict does not."""
    for opcode, argument, _ in pickletools.genops(content):
        hidden = opcode.name in _OPCODES_WITH_HIDDEN_GLOBALS
        if hidden or (opcode.name == "GLOBAL" and argument not in _GLOBALS):
            raise ValueError(f"it calls for {argument or opcode.name}")


def _unusable(path: Path, what: str, why: str) -> UserError:
    reason = " ".join(itertools.islice(why.split(), 40)) or "it is damaged"
    advice = "; save one by torch.save(net.state_dict(), path)" if what == "state_dict" else ""
    return UserError(f"{path} is not a {what} that can be used: {reason}{advice}")
