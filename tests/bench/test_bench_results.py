"""Tests the rates and ratios of the bench, and its table."""

import pytest

from mnist_flax.bench import results


@pytest.mark.parametrize(
    ("dtype", "low", "middle"), [("float32", 25, 50), ("bfloat16", 16, 40)]
)
def test_derived_rates_and_ratios(dtype: str, low: float, middle: float) -> None:
    """PyTorch's fastest mode counts, chosen separately for minimum and median."""
    measured = {
        "dtype": dtype,
        "torch_version": "2",
        "batch_size": 128,
        "step_gflop": 2.0,
        "matmul_gflop": 16.0,
    }
    times = {
        "augmentation_batch_ms": (1.0, 2.0),
        "matmul_ms": (40.0, 80.0),
        "step_ms": (20.0, 40.0),
        "epoch_seconds": (12.0, 15.0),
        "torch_contiguous_step_ms": (40.0, 50.0),
        "torch_channels_last_step_ms": (25.0, 80.0),
        "torch_channels_last_bfloat16_compiled_step_ms": (16.0, 40.0),
        "torch_contiguous_epoch_seconds": (30.0, 30.0),
        "torch_channels_last_epoch_seconds": (40.0, 60.0),
    }
    for name, (least, median) in times.items():
        measured |= {f"{name}_min": least, f"{name}_median": median}
    assert results.derive(measured) == {
        "augmentation_images_per_second_max": 128_000,
        "augmentation_images_per_second_median": 64_000,
        "step_gflop_per_second_max": 100,
        "step_gflop_per_second_median": 50,
        "matmul_gflop_per_second_max": 400,
        "matmul_gflop_per_second_median": 200,
        "torch_step_ms_min": low,
        "torch_step_ms_median": middle,
        "torch_epoch_seconds_min": 30,
        "torch_epoch_seconds_median": 30,
        "ratio_step_ms_min": 20 / low,
        "ratio_step_ms_median": 40 / middle,
        "ratio_epoch_seconds_min": 0.4,
        "ratio_epoch_seconds_median": 0.5,
    }


def test_ratios_to_the_stock_network() -> None:
    measured = {"batch_size": 128, "step_gflop": 2.0, "matmul_gflop": 16.0}
    times = {
        "augmentation_batch_ms": (1.0, 2.0),
        "matmul_ms": (40.0, 80.0),
        "step_ms": (20.0, 40.0),
        "step_alone_ms": (30.0, 50.0),
        "plain_step_ms": (1000.0, 1600.0),
        "plain_step_alone_ms": (60.0, 125.0),
    }
    for name, (low, middle) in times.items():
        measured |= {f"{name}_min": low, f"{name}_median": middle}
    derived = results.derive(measured)
    assert {name: x for name, x in derived.items() if name.startswith("ratio")} == {
        "ratio_plain_step_ms_min": 0.02,
        "ratio_plain_step_ms_median": 0.025,
        "ratio_plain_step_alone_ms_min": 0.5,
        "ratio_plain_step_alone_ms_median": 0.4,
    }
