"""Converts weights from and to the PyTorch original, by the names of its state_dict.

This module does not import PyTorch: a state_dict is a mapping of names to arrays. Two layouts
differ: a convolution's weight is [O,I,H,W] in PyTorch and [H,W,I,O] in Flax, a linear layer's
[O,I] and [I,O]. Batch norm's arrays are the same; the running variance is unbiased in both.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from mnist_flax import architecture as architecture_lib
from mnist_flax import network_arrays

# Collection and name in Flax, name in PyTorch.
_NAMES = (
    ("params", "kernel", "weight"),
    ("params", "scale", "weight"),
    ("params", "bias", "bias"),
    ("batch_stats", "mean", "running_mean"),
    ("batch_stats", "var", "running_var"),
)
_COUNTER = "num_batches_tracked"
# By the number of dimensions: the axes of one layout in the order of the other.
_TO_TORCH = {1: (0,), 2: (1, 0), 4: (3, 2, 0, 1)}
_FROM_TORCH = {1: (0,), 2: (1, 0), 4: (2, 3, 1, 0)}


class _Entry(NamedTuple):
    """One array of the state_dict, and the path that it has here: '' for a counter."""

    torch_name: str
    torch_type: jax.ShapeDtypeStruct
    path: str


def from_state_dict(
    state_dict: Mapping[str, Any],
    architecture: str = architecture_lib.DEFAULT,
) -> dict[str, dict[str, dict[str, jax.Array]]]:
    """Converts the state_dict of the PyTorch original to variables of `ConvNet`.

    Args:
      state_dict: every array of the original by its name, `bnN.num_batches_tracked` included.
        An array is anything that `np.asarray` takes, such as a tensor on the CPU, of any float
        type.
      architecture: the network's; the default is the original's.

    Returns:
      {'params': ..., 'batch_stats': ...}, float32; no memory is shared with the state_dict.

    Raises:
      UserError: an entry is missing, has another shape or type, or holds NaN or infinity; or
        there is an entry that the original does not have. The message names the first one.
    """
    entries = _entries(architecture)
    expected = {entry.torch_name: entry.torch_type for entry in entries}
    arrays = network_arrays.check("state_dict", state_dict, expected)
    flat = {}
    for entry in entries:
        if entry.path:
            array = arrays[entry.torch_name]
            flat[entry.path] = jnp.asarray(array.transpose(_FROM_TORCH[array.ndim]))
    return traverse_util.unflatten_dict(flat, sep="/")


def to_state_dict(
    variables: Mapping[str, Any], architecture: str = architecture_lib.DEFAULT
) -> dict[str, np.ndarray]:
    """Converts variables of `ConvNet` to the state_dict of the PyTorch original.

    Args:
      variables: {'params': ..., 'batch_stats': ...}, arrays of any float type.
      architecture: the network's; the default is the original's.

    Returns:
      Every entry of the original, in its order, as float32, but `bnN.num_batches_tracked` as
      int64[] of zero: Flax does not count batches, and PyTorch uses the count only without a
      fixed momentum. The arrays are C-contiguous and writable: after `torch.from_numpy` on
      each, the state_dict loads with strict=True.

    Raises:
      UserError: as for `from_state_dict`.
    """
    leaves, _ = jax.tree.flatten_with_path(variables)
    found = {jax.tree_util.keystr(path, simple=True, separator="/"): x for path, x in leaves}
    entries = _entries(architecture)
    types = network_arrays.expected(architecture)
    expected = {entry.path: types[entry.path] for entry in entries if entry.path}
    arrays = network_arrays.check("variables", found, expected)
    state_dict = {}
    for entry in entries:
        if entry.path:
            array = arrays[entry.path]
            state_dict[entry.torch_name] = array.transpose(_TO_TORCH[array.ndim]).copy("C")
        else:
            state_dict[entry.torch_name] = np.zeros((), np.int64)
    return state_dict


@cache
def _entries(architecture: str) -> list[_Entry]:
    """Every array, in the order of PyTorch's state_dict."""
    types = network_arrays.expected(architecture)
    numbers = range(1, len(architecture_lib.parse(architecture)) + 1)
    entries = []
    for layer in (*(f"{kind}{i}" for i in numbers for kind in ("conv", "bn")), "fc"):
        for collection, name, torch_name in _NAMES:
            path = f"{collection}/{layer}/{name}"
            if path in types:
                shape = types[path].shape
                shape = tuple(shape[axis] for axis in _TO_TORCH[len(shape)])
                torch_type = jax.ShapeDtypeStruct(shape, np.float32)
                entries.append(_Entry(f"{layer}.{torch_name}", torch_type, path))
        if f"batch_stats/{layer}/mean" in types:
            counter = jax.ShapeDtypeStruct((), np.int64)
            entries.append(_Entry(f"{layer}.{_COUNTER}", counter, ""))
    return entries
