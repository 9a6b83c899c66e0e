"""A convolution with batch norm folded in gives what both give one after the other."""

import numpy as np
import pytest
from helpers.trained_runs import WEIGHTS
from scipy import signal

from mnist_flax import torch_interop
from mnist_flax.trained import folding, loading

pytestmark = pytest.mark.usefixtures("exact_products")

VARIABLES = loading.from_weights(WEIGHTS).variables
STATE_DICT = torch_interop.to_state_dict(VARIABLES)
CONVOLUTIONS, *FC = folding.fold(VARIABLES)


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
    found = convolve(images, CONVOLUTIONS[i - 1].weight, CONVOLUTIONS[i - 1].bias)
    np.testing.assert_allclose(found, expected, atol=1e-6 * np.abs(expected).max())


def test_all_of_them() -> None:
    """The assignment pools after the second and the fourth convolution."""
    arrays = [*(array for layer in CONVOLUTIONS for array in layer[:2]), *FC]
    assert all(array.dtype == np.float32 and array.flags.c_contiguous for array in arrays)
    assert [layer.weight.shape[:2] for layer in CONVOLUTIONS] == [
        (8, 1),
        (16, 8),
        (16, 16),
        (32, 16),
        (32, 32),
        (32, 32),
    ]
    assert [layer.pooled for layer in CONVOLUTIONS] == [False, True, False, True, False, False]
    np.testing.assert_array_equal(FC[0], STATE_DICT["fc.weight"])
    np.testing.assert_array_equal(FC[1], STATE_DICT["fc.bias"])


def test_what_float32_cannot_hold_becomes_infinite() -> None:
    conv1 = VARIABLES["params"]["conv1"] | {"bias": np.full(8, 1e38, np.float32)}
    bn1 = VARIABLES["params"]["bn1"] | {"scale": np.full(8, 100, np.float32)}
    params = VARIABLES["params"] | {"conv1": conv1, "bn1": bn1}
    found = folding.fold(VARIABLES | {"params": params}).convolutions[0]
    assert np.isposinf(found.bias).all()
