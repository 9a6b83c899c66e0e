"""The weights of a network as a file of safetensors, which `weights.from_file` reads.

Its arrays have their paths as names, such as 'params/conv1/kernel', float32[3,3,1,8], and
'batch_stats/bn1/mean', float32[8]; their layouts are those of `models.ConvNet`.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import safetensors.numpy

from mnist_flax.trained import loading


def encode(run: loading.Trained, description: str) -> bytes:
    """The file.

    Args:
      run: the network.
      description: goes into the header's metadata, as 'mnist_flax'.
    """
    leaves, _ = jax.tree.flatten_with_path(run.variables)
    arrays = {
        jax.tree_util.keystr(path, simple=True, separator="/"): np.ascontiguousarray(x)
        for path, x in leaves
    }
    return safetensors.numpy.save(arrays, {"mnist_flax": description})


def read(data: bytes, layers: str) -> Callable[[np.ndarray], np.ndarray]:
    """From uint8[N,28,28] to float32[N,10], as every command reads weights.

    Args:
      data: the file.
      layers: left out; the file says it all.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.safetensors"
        path.write_bytes(data)
        run = loading.from_weights(path)
    return lambda images: loading.logits(run, images)
