"""Knows what the bits of a run depend on besides its config: the devices, and JAX's version."""

from collections.abc import Mapping
from typing import Any

import jax

_WORDS = {"device": "device", "device_count": "number of devices", "jax": "version of JAX"}


def here() -> dict[str, Any]:
    """Says what this process computes with, as checkpoints note it.

    Returns:
      'device', such as 'cpu' or 'Tesla T4'; 'device_count', of all processes; 'jax', a version.
    """
    return {
        "device": jax.devices()[0].device_kind,
        "device_count": jax.device_count(),
        "jax": jax.__version__,
    }


def in_words() -> str:
    """Names the devices, such as 'Tesla T4' or '8 x TPU v5 lite'."""
    found = here()
    many = f"{found['device_count']} x " if found["device_count"] > 1 else ""
    return f"{many}{found['device']}"


def changes(began: Mapping[str, Any]) -> str:
    """Says in what a run began otherwise than it would go on here; '' if in nothing.

    Args:
      began: what `here` was; without what an older version did not note.
    """
    now = here()
    return "; ".join(
        f"the {words} was {began[key]} and is {now[key]}"
        for key, words in _WORDS.items()
        if key in began and began[key] != now[key]
    )
