"""Pins the settings of JAX that a run depends on."""

import contextlib
from collections.abc import Iterator

import flax
import jax

# A user may have set others, by an environment variable or for a program of their own. With
# some of these a run would have other random numbers or dtypes, with others it would not
# compile.
_PINNED = {
    "jax_enable_x64": False,
    "jax_default_prng_impl": "threefry2x32",
    "jax_threefry_partitionable": True,
    "jax_disable_jit": False,
    "jax_numpy_dtype_promotion": "standard",
    "jax_random_seed_offset": 0,
    "jax_default_device": None,
    "jax_transfer_guard": None,
    "jax_no_tracing": False,
    "jax_no_execution": False,
    "jax_raise_persistent_cache_errors": False,
}
_FLAX = "flax_fix_rng_separator"


def pin() -> None:
    """Sets JAX up as a run needs it, for the rest of this process."""
    for name, value in _PINNED.items():
        jax.config.update(name, value)
    flax.config.update(_FLAX, False)


@contextlib.contextmanager
def pinned() -> Iterator[None]:
    """Sets JAX up as a run needs it, and back to what it was at the end."""
    before = {name: getattr(jax.config, name) for name in _PINNED}
    flax_before = getattr(flax.config, _FLAX)
    pin()
    try:
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
        flax.config.update(_FLAX, flax_before)
