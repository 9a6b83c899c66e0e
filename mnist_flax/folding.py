"""Batch norm as part of the convolution before it, as it can be once training is over."""

from collections.abc import Mapping

import numpy as np

from mnist_flax import layers


def convolution(state_dict: Mapping[str, np.ndarray], i: int) -> tuple[np.ndarray, np.ndarray]:
    """Weight and bias of convolution i with the batch norm after it.

    Computed in float64: folding then costs one rounding of each number.

    Args:
      state_dict: see `torch_interop.to_state_dict`.
      i: from 1.

    Returns:
      float32[O,I,H,W] and float32[O].
    """
    conv_weight, conv_bias, scale, bias, mean, var = (
        state_dict[name].astype(np.float64)
        for name in (
            *(f"conv{i}.{name}" for name in ("weight", "bias")),
            *(f"bn{i}.{name}" for name in ("weight", "bias", "running_mean", "running_var")),
        )
    )
    factor = scale / np.sqrt(var + layers.EPSILON)
    weight = conv_weight * factor[:, np.newaxis, np.newaxis, np.newaxis]
    return weight.astype(np.float32), ((conv_bias - mean) * factor + bias).astype(np.float32)
