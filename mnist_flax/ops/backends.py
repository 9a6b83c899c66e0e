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
