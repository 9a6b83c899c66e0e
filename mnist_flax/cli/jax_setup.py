"""Sets JAX up for a command: its settings, and a cache of compiled programs."""

import contextlib
import os
import re
import tempfile
import warnings
from pathlib import Path
from typing import Any

import jax

from mnist_flax import paths
from mnist_flax.errors import UserError
from mnist_flax.ops import jax_settings

_show = warnings.showwarning
# What JAX says of an entry that was cut off, when a kill came while it was written; and of one
# that it could not write, which does not matter.
_OF_THE_CACHE = re.compile(
    r"Error (?:reading|writing) persistent compilation cache entry for '([\w.-]+)'"
)


def prepare() -> None:
    """Pins JAX's settings, starts its devices and turns on its compilation cache.

    The folder of the cache is what the environment variable JAX_COMPILATION_CACHE_DIR says,
    else mnist_flax/xla in XDG_CACHE_HOME or ~/.cache. Without a folder that can be used there
    is no cache. An entry that cannot be read is replaced: JAX alone would keep it, and warn at
    every start.

    Raises:
      UserError: see `start_devices`.
    """
    start_devices()
    folder = _cache_folder(jax.config.jax_compilation_cache_dir)  # type: ignore[attr-defined]
    jax.config.update("jax_compilation_cache_dir", folder and str(folder))
    # By default JAX keeps nothing that takes less than a second to compile.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    # Also where the user has warnings raised as errors.
    warnings.filterwarnings("always", message="Error (reading|writing) persistent compilation")
    warnings.showwarning = _remove_or_show


def start_devices() -> None:
    """Pins JAX's settings and starts its devices.

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


def _cache_folder(asked: str | None) -> Path | None:
    """Chooses the folder of the cache, and makes it; None if it cannot be used."""
    try:
        if asked is not None:
            folder = Path(asked).expanduser()
        else:
            # By the rule of XDG a relative path counts for nothing.
            root = Path(os.environ.get("XDG_CACHE_HOME", ""))
            root = root if root.is_absolute() else paths.home_folder(".cache")
            folder = root / "mnist_flax" / "xla"
        str(folder).encode()  # C++ takes UTF-8 only.
        folder.mkdir(parents=True, exist_ok=True)
        os.listdir(folder)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except (OSError, RuntimeError, UnicodeEncodeError):
        return None


def _remove_or_show(message: Warning | str, *args: Any, **kwargs: Any) -> None:
    if not _remove_unreadable(str(message)):
        _show(message, *args, **kwargs)


def _remove_unreadable(message: str) -> bool:
    """Removes the cache entries that a warning of JAX is about.

    Returns:
      Whether it was a warning about the cache.
    """
    found = _OF_THE_CACHE.match(message)
    if found:
        folder = Path(jax.config.jax_compilation_cache_dir)  # type: ignore[attr-defined]
        with contextlib.suppress(OSError):
            for path in folder.glob(f"{found[1]}-*"):
                path.unlink()
    return found is not None
