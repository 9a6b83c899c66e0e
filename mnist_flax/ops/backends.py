"""Chooses the form of an operation for the platform that a program is lowered for.

The forms of an operation compute the same, to rounding. Tests run each of them on a CPU: see
tests/helpers/backend_forms.py.
"""

from collections.abc import Callable
from typing import Any

from jax import lax


def choose(
    *operands: Any,
    cpu: Callable[..., Any],
    gpu: Callable[..., Any],
    tpu: Callable[..., Any],
) -> Any:
    """Calls the form for the platform; a program for one platform holds no other form.

    All are traced, so each has to accept the operands and return arrays of the same shapes and
    types. A program that is exported for several platforms holds all of them and chooses when
    it runs.

    Args:
      *operands: arrays.
      cpu: form for CPUs.
      gpu: form for GPUs, of any maker.
      tpu: form for TPUs.
    """
    return lax.platform_dependent(*operands, cpu=cpu, tpu=tpu, default=gpu)


# Images for which a small operation of a GPU or TPU takes about as long as for one.
_TOGETHER = 1024


def batches_ahead(platform: str, batch_size: int) -> int:
    """Chooses how many batches are drawn and augmented at a time.

    Augmenting starts dozens of operations, most of them on a few numbers for each image. A GPU
    or TPU takes as long to start one as to train a layer, so it does it for several steps at
    once. A CPU starts them for nothing, and keeps one batch in its cache.

    Args:
      platform: of the devices, such as 'cpu' or 'tpu'.
      batch_size: images in a step.
    """
    return 1 if platform == "cpu" else max(1, _TOGETHER // batch_size)
