"""A convolution with batch norm folded in gives what the two give one after the other."""

from pathlib import Path

import numpy as np
import pytest
from scipy import signal

from mnist_flax import torch_interop
from mnist_flax.trained import folding, weights

WEIGHTS = Path(__file__).parents[1] / "fixtures" / "trained.safetensors"
STATE_DICT = torch_interop.to_state_dict(weights.from_file(WEIGHTS))
FOLDED = folding.convolutions(STATE_DICT)


def convolve(images: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """float64[O,H,W] of float64[I,H,W]."""
    return np.stack(
        [
            sum(
                signal.correlate2d(image, kernel, "same")
                for image, kernel in zip(images, kernels, strict=True)
            )
            + shift
            for kernels, shift in zip(weight, bias, strict=True)
        ]
    )


@pytest.mark.parametrize("i", range(1, 7))
def test_one_after_the_other(i) -> None:
    """Batch norm by its definition, in float64 (Ioffe and Szegedy, 2015)."""
    conv = [STATE_DICT[f"conv{i}.{name}"].astype(float) for name in ("weight", "bias")]
    scale, bias, mean, var = (
        STATE_DICT[f"bn{i}.{name}"].astype(float)[:, None, None]
        for name in ("weight", "bias", "running_mean", "running_var")
    )
    images = np.random.default_rng(i).normal(size=(conv[0].shape[1], 9, 9))
    expected = (convolve(images, *conv) - mean) / np.sqrt(var + 1e-5) * scale + bias
    found = convolve(images, FOLDED[i - 1].weight, FOLDED[i - 1].bias)
    np.testing.assert_allclose(found, expected, atol=1e-6 * np.abs(expected).max())


def test_all_of_them() -> None:
    """Each takes what the one before it gives; the assignment pools after the 2nd and 4th."""
    assert [array.dtype for layer in FOLDED for array in layer[:2]] == [np.float32] * 12
    outputs = [layer.weight.shape[0] for layer in FOLDED]
    assert [layer.weight.shape[1] for layer in FOLDED] == [1, *outputs[:-1]]
    assert outputs[-1] == STATE_DICT["fc.weight"].shape[1]
    assert [layer.pooled for layer in FOLDED] == [False, True, False, True, False, False]
