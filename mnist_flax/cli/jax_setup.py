"""Sets JAX up for a command: its settings, and a cache of compiled programs."""

import contextlib
import os
import re
import warnings
from pathlib import Path
from typing import Any

import jax

from mnist_flax import paths
from mnist_flax.errors import UserError
from mnist_flax.ops import jax_settings

_show = warnings.showwarning
# What JAX says of an entry that was cut off, when a kill came while it was written.
_UNREADABLE = re.compile(r"Error reading persistent compilation cache entry for '([\w.-]+)'")


def prepare() -> None:
    """Pins JAX's settings, starts its devices and turns on its compilation cache.

    The folder of the cache is what the environment variable JAX_COMPILATION_CACHE_DIR says,
    else mnist_flax/xla in XDG_CACHE_HOME or ~/.cache. A folder that cannot be used is no
    error. An entry that cannot be read is replaced: JAX alone would keep it, and warn at every
    start.

    Raises:
      UserError: JAX finds no device, or not the one that JAX_PLATFORMS asks for.
    """
    jax_settings.pin()
    try:
        jax.devices()
    except Exception as error:  # Whatever a plugin of JAX and a driver happen to raise.
        asked = os.environ.get("JAX_PLATFORMS", "")
        reason = str(error) or "JAX has no plugin for it"
        raise UserError(
            f"JAX cannot start a device (JAX_PLATFORMS={asked!r}): {reason}; unset "
            "JAX_PLATFORMS, or install what the device needs, such as pip install '.[cuda]'"
        ) from None
    if jax.config.jax_compilation_cache_dir is None:  # type: ignore[attr-defined]
        root = os.environ.get("XDG_CACHE_HOME") or paths.home_folder(".cache")
        jax.config.update("jax_compilation_cache_dir", str(Path(root, "mnist_flax", "xla")))
    # By default JAX keeps nothing that takes less than a second to compile.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    warnings.showwarning = _remove_or_show


def _remove_or_show(message: Warning | str, *args: Any, **kwargs: Any) -> None:
    if not _remove_unreadable(str(message)):
        _show(message, *args, **kwargs)


def _remove_unreadable(message: str) -> bool:
    """Removes the cache entries that a warning of JAX names as unreadable.

    Returns:
      Whether it was such a warning.
    """
    found = _UNREADABLE.match(message)
    if found:
        folder = Path(jax.config.jax_compilation_cache_dir)  # type: ignore[attr-defined]
        for path in folder.glob(f"{found[1]}-*"):
            with contextlib.suppress(OSError):
                path.unlink()
    return found is not None
