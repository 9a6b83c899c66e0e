"""The weights of a network as a state_dict of the PyTorch original, as torch.save writes it.

PyTorch is imported by these functions and not with this module.
"""

import importlib
import io
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from mnist_flax import augment, torch_interop, trained


def encode(run: trained.Trained, description: str) -> bytes:
    """The file, which torch.load reads with weights_only=True.

    Args:
      run: the network.
      description: left out; load_state_dict(strict=True) takes weights and nothing else.
    """
    torch = importlib.import_module("torch")
    arrays = torch_interop.to_state_dict(run.variables)
    file = io.BytesIO()
    torch.save({name: torch.from_numpy(x) for name, x in arrays.items()}, file)
    return file.getvalue()


def read(data: bytes) -> Callable[[np.ndarray], np.ndarray]:
    """From uint8[N,28,28] to float32[N,10], by PyTorch on the CPU."""
    torch = importlib.import_module("torch")
    state_dict = torch.load(io.BytesIO(data), weights_only=True)
    net = _network(torch.nn, state_dict)
    net.load_state_dict(state_dict, strict=True)
    net.eval()

    def logits(images: np.ndarray) -> np.ndarray:
        pixels = np.array(augment.normalize(jnp.asarray(images))).transpose(0, 3, 1, 2)
        with torch.no_grad():
            return net(torch.from_numpy(pixels)).numpy()

    return logits


def _network(nn: Any, state_dict: Mapping[str, Any]) -> Any:
    """The assignment's network, as wide as the weights are, under the assignment's names."""
    net = nn.Sequential()
    for i in range(1, 7):
        outputs, inputs, size, _ = state_dict[f"conv{i}.weight"].shape
        net.add_module(f"conv{i}", nn.Conv2d(inputs, outputs, size, padding=size // 2))
        net.add_module(f"bn{i}", nn.BatchNorm2d(outputs))
        net.add_module(f"relu{i}", nn.ReLU())
        if i in (2, 4):
            net.add_module(f"pool{i}", nn.MaxPool2d(2, 2))
    net.add_module("gap", nn.AdaptiveAvgPool2d(1))
    net.add_module("flatten", nn.Flatten())
    net.add_module("fc", nn.Linear(*reversed(state_dict["fc.weight"].shape)))
    return net
