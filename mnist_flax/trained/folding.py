"""Batch norm as part of the convolution before it, as it can be once training is over."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from mnist_flax import architecture as architecture_lib
from mnist_flax.ops import layers


class Convolution(NamedTuple):
    """A convolution with zeros around the image, to be followed by ReLU.

    Attributes:
      weight: float32[O,I,H,W], H = W odd.
      bias: float32[O].
      pooled: whether 2x2 max pooling follows.
    """

    weight: np.ndarray
    bias: np.ndarray
    pooled: bool


def convolutions(
    state_dict: Mapping[str, np.ndarray], architecture: str = architecture_lib.DEFAULT
) -> list[Convolution]:
    """The network's convolutions in their order, each with the batch norm after it.

    Computed in float64: folding then costs one rounding of each number. One that float32 does
    not hold becomes infinite. A kernel that is used again is there again, as each use has its
    own batch norm.

    Args:
      state_dict: see `torch_interop.to_state_dict`.
      architecture: that of the network.
    """
    blocks = architecture_lib.parse(architecture)
    return [_convolution(state_dict, i, block) for i, block in enumerate(blocks, 1)]


def _convolution(
    state_dict: Mapping[str, np.ndarray], i: int, block: architecture_lib.Block
) -> Convolution:
    conv_weight, conv_bias, scale, bias, mean, var = (
        state_dict[name].astype(np.float64)
        for name in (
            *(f"conv{block.kernel}.{name}" for name in ("weight", "bias")),
            *(f"bn{i}.{name}" for name in ("weight", "bias", "running_mean", "running_var")),
        )
    )
    factor = scale / np.sqrt(var + layers.EPSILON)
    weight = conv_weight * factor[:, np.newaxis, np.newaxis, np.newaxis]
    folded_bias = (conv_bias - mean) * factor + bias
    with np.errstate(over="ignore"):
        return Convolution(
            weight.astype(np.float32), folded_bias.astype(np.float32), block.pool
        )
