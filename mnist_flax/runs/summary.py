"""Sums up a run: the content of summary.json."""

import importlib.metadata
import platform
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

import mnist_flax
from mnist_flax import metrics

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy")


def summarize(
    config: ConfigDict,
    history: Sequence[Mapping[str, Any]],
    params: int,
    num_test: int,
    seconds: float,
    *,
    compile_seconds: float,
    backend: str,
    device_count: int,
) -> dict[str, Any]:
    """Makes the content of summary.json.

    Args:
      config: the run's.
      history: the lines of metrics.jsonl, at least one.
      params: number of the network's parameters.
      num_test: number of test images.
      seconds: how long the run has taken, the epochs before a resume included.
      compile_seconds: how much of that went into compilation before the first epoch.
      backend: jax.default_backend().
      device_count: jax.device_count().
    """
    correct = [metrics.count_correct(line["test_accuracy"], num_test) for line in history]
    epochs = [line["epoch"] for line in history]
    target = config.target_accuracy
    return {
        "params": params,
        "epochs": len(epochs),
        "final_test_accuracy": correct[-1] / num_test,
        "best_test_accuracy": max(correct) / num_test,
        "best_epoch": epochs[correct.index(max(correct))],
        "first_epoch_at_target": metrics.first_epoch_at_target(correct, num_test, target),
        "target_accuracy": target,
        "total_seconds": seconds,
        "compile_seconds": compile_seconds,
        "backend": backend,
        "device_count": device_count,
        "seed": config.seed,
        "versions": versions(),
        "config": config.to_dict(),
    }


def versions() -> dict[str, str]:
    """Returns the versions of whatever may change a result."""
    return {
        "mnist_flax": mnist_flax.__version__,
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in _PACKAGES},
    }
