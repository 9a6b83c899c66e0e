"""Compiled programs are kept in the user's cache folder, so that a second run starts sooner."""

import os
from pathlib import Path

import jax


def enable() -> None:
    """Turns on JAX's persistent compilation cache for this process.

    Its folder is what the environment variable JAX_COMPILATION_CACHE_DIR says, else
    mnist_flax/xla in XDG_CACHE_HOME or ~/.cache. A folder that cannot be used is no error.
    """
    if jax.config.jax_compilation_cache_dir is None:  # type: ignore[attr-defined]
        root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        jax.config.update("jax_compilation_cache_dir", str(Path(root, "mnist_flax", "xla")))
    # By default JAX keeps nothing that takes less than a second to compile.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
