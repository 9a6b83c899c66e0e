"""Writes the weights of a network as a safetensors file, which `trained.weights` reads.

Its arrays have their paths as names, such as 'params/conv1/kernel', float32[3,3,1,8], and
'batch_stats/bn1/mean', float32[8]; their layouts are those of `models.ConvNet`. The file's
metadata says how to compute with them; docs/USING.md has a reader that needs nothing else.
"""

import json
from functools import partial
from typing import Any

import numpy as np
import safetensors.numpy
from flax import traverse_util

from mnist_flax import architecture as architecture_lib
from mnist_flax import augment, inference
from mnist_flax.export.network import Network, Program
from mnist_flax.models import ConvNet
from mnist_flax.ops import layers
from mnist_flax.trained import weights


def encode(network: Network) -> tuple[bytes, Program]:
    """Makes the file; its metadata has the description, with 'network', as 'mnist_flax'."""
    flat = traverse_util.flatten_dict(network.variables, sep="/")
    arrays = {name: np.ascontiguousarray(x) for name, x in flat.items()}
    description = json.loads(network.description) | {"network": _explain(network.architecture)}
    text = json.dumps(description, sort_keys=True)
    data = safetensors.numpy.save(arrays, {"mnist_flax": text})
    return data, read(data)


def read(data: bytes) -> Program:
    """Makes a program of the file's content, as the commands do for --weights."""
    variables, architecture = weights.from_safetensors(data)
    return partial(inference.logits, ConvNet(architecture=architecture), variables)


def _explain(architecture: str) -> dict[str, Any]:
    """Says how to compute the logits, for programs that do not know this package."""
    return {
        "input": "(pixels / 255 - mean) / std, float32[N,28,28,1]; pixels are 0 (black) to 255",
        "mean": augment.MEAN,
        "std": augment.STD,
        "layer": "convolution with bias, stride 1, zero padding that keeps height and width; "
        "batch norm with the running mean and var; ReLU; 2x2 max pooling if pool",
        "kernel_layout": "HWIO",
        "batch_norm_epsilon": layers.EPSILON,
        "layers": [
            {"conv": f"conv{block.kernel}", "batch_norm": f"bn{i}", "pool": block.pool}
            for i, block in enumerate(architecture_lib.parse(architecture), 1)
        ],
        "logits": "mean over height and width, then fc: @ kernel[features,10] + bias",
    }
