"""The weights of a network as a state_dict, as torch.save writes it: the PyTorch original's.

Of a run with another architecture, that of the network that `_network` makes.

PyTorch is imported by these functions and not with this module.
"""

import importlib
import io
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from mnist_flax import architecture, augment, torch_interop
from mnist_flax.trained import loading


def encode(run: loading.Trained, description: str) -> bytes:
    """The file, which torch.load reads with weights_only=True.

    Args:
      run: the network.
      description: left out; load_state_dict(strict=True) takes weights and nothing else.
    """
    torch = importlib.import_module("torch")
    arrays = torch_interop.to_state_dict(run.variables, run.config.model.architecture)
    file = io.BytesIO()
    torch.save({name: torch.from_numpy(x) for name, x in arrays.items()}, file)
    return file.getvalue()


def read(data: bytes, layers: str) -> Callable[[np.ndarray], np.ndarray]:
    """From uint8[N,28,28] to float32[N,10], by PyTorch on the CPU.

    Args:
      data: the file.
      layers: the network's, see `architecture`; the file has its weights only.
    """
    torch = importlib.import_module("torch")
    state_dict = torch.load(io.BytesIO(data), weights_only=True)
    net = _network(torch.nn, state_dict, layers)
    net.load_state_dict(state_dict, strict=True)
    net.eval()

    def logits(images: np.ndarray) -> np.ndarray:
        pixels = np.array(augment.normalize(jnp.asarray(images))).transpose(0, 3, 1, 2)
        with torch.no_grad():
            return net(torch.from_numpy(pixels)).numpy()

    return logits


def _network(nn: Any, state_dict: Mapping[str, Any], layers: str) -> Any:
    """The network, as wide as the weights are, under the assignment's names."""
    net = nn.Sequential()
    for i, block in enumerate(architecture.parse(layers), 1):
        if block.kernel == i:
            outputs, inputs, size, _ = state_dict[f"conv{i}.weight"].shape
            conv = nn.Conv2d(inputs, outputs, size, padding=size // 2)
            net.add_module(f"conv{i}", conv)
        else:
            # The weights are in the state_dict once, so this one must hold none.
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
