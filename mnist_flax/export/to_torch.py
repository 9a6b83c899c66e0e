"""Writes the weights of a network as PyTorch does: torch.save(net.state_dict(), path).

With the assignment's architecture, `net` is the PyTorch original; with another, the module that
`_network` makes.
"""

import io
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
import torch
from torch import nn

from mnist_flax import architecture as architecture_lib
from mnist_flax import augment, torch_interop
from mnist_flax.export.network import Network, Program


def encode(network: Network) -> tuple[bytes, Program]:
    """Makes the file, which torch.load reads with weights_only=True.

    The description is left out: load_state_dict(strict=True) accepts nothing but weights.
    """
    arrays = torch_interop.to_state_dict(network.variables, network.architecture)
    file = io.BytesIO()
    torch.save({name: torch.from_numpy(x) for name, x in arrays.items()}, file)
    data = file.getvalue()
    return data, read(data, network.architecture)


def read(data: bytes, architecture: str) -> Program:
    """Makes a program of the file's content, in PyTorch on the CPU.

    Args:
      data: the file's content.
      architecture: the network's; the file holds its weights only.
    """
    state_dict = torch.load(io.BytesIO(data), weights_only=True)
    net = _network(state_dict, architecture)
    net.load_state_dict(state_dict, strict=True)
    net.eval()

    def logits(images: np.ndarray) -> np.ndarray:
        pixels = np.array(augment.normalize(jnp.asarray(images))).transpose(0, 3, 1, 2)
        with torch.no_grad():
            return net(torch.from_numpy(pixels)).numpy()

    return logits


def _network(state_dict: Mapping[str, Any], architecture: str) -> Any:
    """Makes the network, as wide as the weights are, with the assignment's names."""
    net = nn.Sequential()
    for i, block in enumerate(architecture_lib.parse(architecture), 1):
        if block.kernel == i:
            outputs, inputs, size, _ = state_dict[f"conv{i}.weight"].shape
            conv = nn.Conv2d(inputs, outputs, size, padding=size // 2)
            net.add_module(f"conv{i}", conv)
        else:
            # The state_dict holds a shared kernel once, so this module must hold no weights.
            again = nn.Module()
            again.forward = conv.forward
            net.add_module(f"conv{i}", again)
        net.add_module(f"bn{i}", nn.BatchNorm2d(outputs))
        net.add_module(f"relu{i}", nn.ReLU())
        if block.pool:
            net.add_module(f"pool{i}", nn.MaxPool2d(2, 2))
    net.add_module("gap", nn.AdaptiveAvgPool2d(1))
    net.add_module("flatten", nn.Flatten())
    net.add_module("fc", nn.Linear(*reversed(state_dict["fc.weight"].shape)))
    return net
