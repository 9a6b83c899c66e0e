"""Reads weights from a file of safetensors or of PyTorch, and trusts nothing in it.

A safetensors file holds numbers and no code. A PyTorch file is a zip of a pickle and of
numbers, and a pickle may run any code: it is only read if it names nothing but what a
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
from typing import NamedTuple

import jax
import jax.numpy as jnp
import safetensors.numpy
from flax import traverse_util

from mnist_flax import architecture as architecture_lib
from mnist_flax import network_arrays, torch_interop
from mnist_flax.errors import UserError
from mnist_flax.system.paths import check_not_a_pipe

# A network of fewer than 20,000 parameters has 160 kB in float64.
MAX_BYTES = 2**20

# Before 2.6 the weights-only reader could be made to run code (CVE-2025-32434); before 2.10 it
# took a tensor's size on trust and read past the end of the file's bytes.
_TORCH = (2, 10)

# All that the pickle of a state_dict names. It uses the opcode GLOBAL, which spells a name out,
# and none of the others that can name something.
_GLOBALS = {"collections OrderedDict", "torch._utils _rebuild_tensor_v2"} | {
    f"torch {kind}Storage" for kind in ("Float", "Double", "Half", "BFloat16", "Long")
}
_OPCODES_WITH_HIDDEN_GLOBALS = {"STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX"}
_OPCODES_WITH_HIDDEN_GLOBALS |= {"EXT1", "EXT2", "EXT4"}


class Weights(NamedTuple):
    """The weights of a `ConvNet`.

    Attributes:
      variables: {'params': ..., 'batch_stats': ...}, float32.
      architecture: the network's.
    """

    variables: dict[str, dict[str, dict[str, jax.Array]]]
    architecture: str


def read(path: str | Path) -> Weights:
    """Reads a file of weights.

    Args:
      path: `.safetensors`, see `from_safetensors`; or `.pt` or `.pth`, as written by
        torch.save(net.state_dict(), path) for the assignment's network. PyTorch must be
        installed to read those.

    Raises:
      UserError: the file cannot be read, is larger than MAX_BYTES or is not of its suffix's
        format, or does not hold exactly the weights of the network.
    """
    path = Path(path)
    readers = {".safetensors": from_safetensors, ".pt": _from_torch, ".pth": _from_torch}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UserError(
            f"{path} is not a file of weights; give a .safetensors, .pt or .pth file"
        )
    data = _content(path)
    try:
        return reader(data)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def from_safetensors(data: bytes) -> Weights:
    """Reads the content of a safetensors file.

    Args:
      data: arrays with the names that `export` gives them, such as 'params/conv1/kernel', or
        with those of a PyTorch state_dict, such as 'conv1.weight'. The network's architecture
        is the one that `export` noted in the file, else the assignment's.

    Raises:
      UserError: it is not the content of such a file.
    """
    try:
        arrays = safetensors.numpy.load(data)
    except Exception as error:  # SafetensorError, and whatever NumPy makes of the numbers.
        # KeyError: a type that NumPy does not have.
        unknown = f"it holds numbers of type {error}, and not of float32"
        why = unknown if isinstance(error, KeyError) else str(error)
        raise _unusable("safetensors file", why) from None
    architecture = _noted_architecture(data)
    if not any("/" in name for name in arrays):
        return Weights(torch_interop.from_state_dict(arrays, architecture), architecture)
    arrays = network_arrays.check("variables", arrays, network_arrays.expected(architecture))
    tree = traverse_util.unflatten_dict(arrays, sep="/")
    return Weights(jax.tree.map(jnp.asarray, tree), architecture)


def _noted_architecture(data: bytes) -> str:
    """Reads the architecture that `export` noted in a safetensors file.

    A file without a valid note is taken to be of the assignment's architecture.
    """
    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        description = json.loads(header["__metadata__"]["mnist_flax"])
        found = description["config"]["model"]["architecture"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return architecture_lib.DEFAULT
    known = isinstance(found, str) and architecture_lib.is_valid(found)
    return found if known else architecture_lib.DEFAULT


def _content(path: Path) -> bytes:
    """Reads a small file.

    Raises:
      UserError: it cannot be read, or is larger than MAX_BYTES.
    """
    check_not_a_pipe(path)
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


def _from_torch(data: bytes) -> Weights:
    """Reads the content of a PyTorch file."""
    checked = _checked_zip(data)
    try:
        import torch

        version = torch.__version__
    except (ImportError, AttributeError):  # The latter where a folder here has that name.
        raise UserError(
            "it can only be read where PyTorch is installed (pip install torch); or "
            "convert it there with safetensors.torch.save_file(state_dict, 'net.safetensors')"
        ) from None
    if tuple(int(part) for part in version.split(".")[:2]) < _TORCH:
        raise UserError(
            f"a damaged or malicious file can attack PyTorch {version}; install "
            f"{'.'.join(map(str, _TORCH))} or later, or convert the file to .safetensors"
        )
    try:
        with warnings.catch_warnings():
            # PyTorch warns of a pickle that it would not write; this one has been checked.
            warnings.simplefilter("ignore")
            state_dict = torch.load(checked, map_location="cpu", weights_only=True)
    except Exception as error:  # Whatever the functions raise that the pickle calls.
        raise _unusable("state_dict", str(error)) from None
    if not isinstance(state_dict, Mapping):
        raise _unusable("state_dict", f"it is a {type(state_dict).__name__}")
    return Weights(torch_interop.from_state_dict(state_dict), architecture_lib.DEFAULT)


def _checked_zip(data: bytes) -> io.BytesIO:
    """Checks a zip and writes its entries into a new one, for PyTorch to read.

    In a malformed zip two readers may see different entries; in the new one PyTorch sees what
    was checked here.

    Raises:
      UserError: it is no zip, claims to be larger than MAX_BYTES once it is unpacked, or its
        pickle names something that a state_dict does not need.
    """
    copy = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(copy, "w") as target:
            entries = source.infolist()
            # The other methods may allocate what the file tells them to; zlib does not.
            if any(x.compress_type not in (0, zipfile.ZIP_DEFLATED) for x in entries):
                raise ValueError("it is compressed in an unusual way")
            if sum(entry.file_size for entry in entries) > MAX_BYTES:
                raise ValueError(f"it unpacks to more than {MAX_BYTES:,} bytes")
            for entry in entries:
                content = source.read(entry)
                if entry.filename.lower().endswith(".pkl"):
                    _check_pickle(content)
                target.writestr(entry.filename, content)
    except Exception as error:  # Malformed input makes zipfile and pickletools raise anything.
        raise _unusable("state_dict", str(error)) from None
    copy.seek(0)
    return copy


def _check_pickle(content: bytes) -> None:
    """Raises ValueError if a pickle names something that a state_dict does not need."""
    for opcode, argument, _ in pickletools.genops(content):
        hidden = opcode.name in _OPCODES_WITH_HIDDEN_GLOBALS
        if hidden or (opcode.name == "GLOBAL" and argument not in _GLOBALS):
            raise ValueError(f"it calls for {argument or opcode.name}")


def _unusable(what: str, why: str) -> UserError:
    reason = " ".join(itertools.islice(why.split(), 40)) or "it is damaged"
    advice = "; save one by torch.save(net.state_dict(), path)" if what == "state_dict" else ""
    return UserError(f"not a {what} that can be used: {reason}{advice}")
