"""Folds batch norm into convolutions: at inference, both together are one convolution."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from mnist_flax import architecture as architecture_lib
from mnist_flax.ops import layers


class Convolution(NamedTuple):
    """A convolution with stride 1 and zero padding; ReLU follows.

    Attributes:
      weight: float32[O,I,H,W], H = W odd.
      bias: float32[O].
      pooled: whether 2x2 max pooling follows.
    """

    weight: np.ndarray
    bias: np.ndarray
    pooled: bool


class Folded(NamedTuple):
    """A network without batch norm: convolutions, the mean over the pixels, a linear layer.

    Attributes:
      convolutions: in their order.
      fc_weight: float32[10,I].
      fc_bias: float32[10].
    """

    convolutions: list[Convolution]
    fc_weight: np.ndarray
    fc_bias: np.ndarray


def fold(variables: Mapping[str, Any], architecture: str = architecture_lib.DEFAULT) -> Folded:
    """Folds each batch norm into the convolution before it.

    It computes in float64 and rounds each result once, to float32; one that float32 cannot hold
    becomes infinite. A shared kernel is repeated, as each use has its own batch norm.

    Args:
      variables: {'params': ..., 'batch_stats': ...}, of `ConvNet`.
      architecture: the network's.
    """
    params, stats = variables["params"], variables["batch_stats"]
    convolutions = [
        _fold(params[f"conv{block.kernel}"], {**params[f"bn{i}"], **stats[f"bn{i}"]}, block)
        for i, block in enumerate(architecture_lib.parse(architecture), 1)
    ]
    fc_weight, fc_bias = np.asarray(params["fc"]["kernel"]).T, params["fc"]["bias"]
    return Folded(convolutions, _float32(fc_weight), _float32(fc_bias))


def _fold(
    conv: Mapping[str, Any], norm: Mapping[str, Any], block: architecture_lib.Block
) -> Convolution:
    kernel, shift = (np.asarray(conv[name], np.float64) for name in ("kernel", "bias"))
    scale, bias, mean, var = (
        np.asarray(norm[name], np.float64) for name in ("scale", "bias", "mean", "var")
    )
    factor = scale / np.sqrt(var + layers.EPSILON)
    weight = (kernel * factor).transpose(3, 2, 0, 1)
    return Convolution(_float32(weight), _float32((shift - mean) * factor + bias), block.pool)


def _float32(array: Any) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array, np.float32)
