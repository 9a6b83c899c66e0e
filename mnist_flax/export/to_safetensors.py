"""Writes the weights of a network as a safetensors file, which `trained.weights` reads.

Its arrays have their paths as names, such as 'params/conv1/kernel', float32[3,3,1,8], and
'batch_stats/bn1/mean', float32[8]; their layouts are those of `models.ConvNet`.
"""

from functools import partial

import numpy as np
import safetensors.numpy
from flax import traverse_util

from mnist_flax import inference
from mnist_flax.export.network import Network, Program
from mnist_flax.models import ConvNet
from mnist_flax.trained import weights


def encode(network: Network) -> tuple[bytes, Program]:
    """Makes the file; the description goes into its metadata, as 'mnist_flax'."""
    flat = traverse_util.flatten_dict(network.variables, sep="/")
    arrays = {name: np.ascontiguousarray(x) for name, x in flat.items()}
    data = safetensors.numpy.save(arrays, {"mnist_flax": network.description})
    return data, read(data)


def read(data: bytes) -> Program:
    """Makes a program of the file's content, as the commands do for --weights."""
    variables, architecture = weights.from_safetensors(data)
    return partial(inference.logits, ConvNet(architecture=architecture), variables)
