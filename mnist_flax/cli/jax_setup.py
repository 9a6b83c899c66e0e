"""Sets JAX up for a command: its settings, and a cache of compiled programs."""

import contextlib
import functools
import logging
import os
import re
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax

from mnist_flax import accelerators
from mnist_flax.errors import UserError, one_line, warn
from mnist_flax.ops import jax_settings
from mnist_flax.system import cpu, paths

_show = warnings.showwarning
# What JAX says of an entry that was cut off, when a kill came while it was written; and of one
# that it could not write, which does not matter.
_OF_THE_CACHE = re.compile(
    r"Error (?:reading|writing) persistent compilation cache entry for '([\w.-]+)'"
)


def prepare(also_cpu: bool = False) -> None:
    """Pins JAX's settings, starts its devices and turns on its compilation cache.

    The folder of the cache is what the environment variable JAX_COMPILATION_CACHE_DIR says,
    else mnist_flax/xla in XDG_CACHE_HOME or ~/.cache. There each kind of CPU has a folder of
    its own: a home folder may be on several machines, and JAX would run a program that was
    compiled for another CPU. Without a folder that can be used there is no cache. An entry that
    cannot be read is replaced: JAX alone would keep it, and warn at every start.

    Args:
      also_cpu: see `start_devices`.

    Raises:
      UserError: see `start_devices`.
    """
    start_devices(also_cpu)
    folder = _cache_folder(jax.config.jax_compilation_cache_dir)  # type: ignore[attr-defined]
    jax.config.update("jax_compilation_cache_dir", folder and str(folder))
    # By default JAX keeps nothing that takes less than a second to compile.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    # Also where the user has warnings raised as errors.
    warnings.filterwarnings("always", message="Error (reading|writing) persistent compilation")
    warnings.showwarning = _remove_or_show


def start_devices(also_cpu: bool = False) -> None:
    """Pins JAX's settings and starts its devices.

    If JAX uses the CPU although there is a GPU or TPU, and JAX_PLATFORMS does not ask for that,
    a warning says what to do.

    Args:
      also_cpu: whether the CPU is needed beside the device that JAX_PLATFORMS asks for.

    Raises:
      UserError: JAX finds no device, or not the one that JAX_PLATFORMS asks for.
    """
    jax_settings.pin()
    asked = jax.config.jax_platforms or ""  # type: ignore[attr-defined]
    add_cpu = also_cpu and bool(asked) and "cpu" not in asked.split(",")
    if add_cpu:
        # The first of them stays the one that JAX uses by default.
        jax.config.update("jax_platforms", f"{asked},cpu")
    said: list[str] = []
    try:
        with _listening(said):
            jax.devices()
        if add_cpu and jax.default_backend() == "cpu":
            # JAX alone would be content with the CPU.
            raise RuntimeError("only the CPU has started")
    except Exception as error:  # Whatever a plugin of JAX and a driver happen to raise.
        reason = "; ".join(filter(None, [*said, one_line(str(error))])) or "it has no plugin"
        found = accelerators.find()
        advice = "unset JAX_PLATFORMS, or install what the device needs: '.[cuda]' or '.[tpu]'"
        if found:
            advice = f"here is a {found.name}: {found.advice}, or set JAX_PLATFORMS=cpu"
        raise UserError(
            f"JAX cannot start a device (JAX_PLATFORMS={asked!r}): {reason}; {advice}"
        ) from None
    _warn_once(tuple(said), chosen=bool(asked) or jax.default_backend() != "cpu")


def warn_if_slow(dtype: str) -> None:
    """Warns if JAX uses a CPU that has no unit for the type of a network's products.

    Args:
      dtype: 'float32' or 'bfloat16'.
    """
    if dtype == "bfloat16" and jax.default_backend() == "cpu" and cpu.here().lacks_bfloat16:
        warn(
            "config.model.dtype='bfloat16' may be slower than 'float32' here: this CPU "
            f"({cpu.here().name}) has neither AMX nor AVX512-BF16"
        )


@contextlib.contextmanager
def _listening(said: list[str]) -> Iterator[None]:
    """Collects what JAX logs while it starts, which may be tracebacks, a line of each."""

    def keep(record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        cause = record.exc_info[1] if record.exc_info else None
        said.append(one_line(f"{record.getMessage()} {cause or ''}"))
        return False

    logger = logging.getLogger("jax._src.xla_bridge")
    logger.addFilter(keep)
    try:
        yield
    finally:
        logger.removeFilter(keep)


@functools.cache
def _warn_once(said: tuple[str, ...], chosen: bool) -> None:
    """Prints what JAX logged, and what to do about a GPU or TPU that it does not use.

    Args:
      said: what JAX logged.
      chosen: whether the device is the one that the user, or JAX, has chosen.
    """
    found = None if chosen else accelerators.find()
    if found:
        reason = f" (JAX: {'; '.join(said)})" if said else ""
        warn(f"JAX uses the CPU, and here is a {found.name}: {found.advice}{reason}")
        return
    for line in said:
        warn(f"JAX: {line}")


def _cache_folder(asked: str | None) -> Path | None:
    """Chooses the folder of the cache, and makes it; None if it cannot be used."""
    try:
        if asked is not None:
            folder = Path(asked).expanduser()
        else:
            # By the rule of XDG a relative path counts for nothing.
            root = Path(os.environ.get("XDG_CACHE_HOME", ""))
            root = root if root.is_absolute() else paths.home_folder(".cache")
            folder = root / "mnist_flax" / "xla" / cpu.here().key
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
