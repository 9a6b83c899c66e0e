"""Knows whether a command is the whole of its process, and what the process was given.

A command may also run inside other code: a notebook, a debugger, a measurement of coverage, a
thread. There it must not end the process, and signals are not its own.
"""

import io
import os
import sys
import threading
from typing import Any

_PINNED_VARIABLES = frozenset(
    {
        *("JAX_ENABLE_X64", "JAX_DEFAULT_PRNG_IMPL", "JAX_THREEFRY_PARTITIONABLE"),
        *("JAX_DISABLE_JIT", "JAX_NUMPY_DTYPE_PROMOTION", "JAX_RANDOM_SEED_OFFSET"),
        *("JAX_DEFAULT_DEVICE", "JAX_TRANSFER_GUARD", "JAX_NO_TRACING", "JAX_NO_EXECUTION"),
        *("JAX_RAISE_PERSISTENT_CACHE_ERRORS", "FLAX_FIX_RNG_SEPARATOR", "FLAX_PROFILE"),
    }
)

# Whether this process is here for one command alone; `exit_status.entry` sets it.
whole_process = False


def is_hosted() -> bool:
    """Says whether this process is another program's, or one watches it.

    Such as IPython, a debugger, a profiler or coverage.
    """
    ipython: Any = sys.modules.get("IPython")
    coverage: Any = sys.modules.get("coverage")
    main: Any = sys.modules["__main__"]
    started = getattr(getattr(main, "__spec__", None), "name", "").partition(".")[0]
    return (
        # Another program may run the module of a command, too.
        started != "mnist_flax"
        or sys.flags.interactive != 0
        or "PYTHONINSPECT" in os.environ
        or threading.current_thread() is not threading.main_thread()
        or sys.gettrace() is not None
        or sys.getprofile() is not None
        or _has_monitoring_tool()
        or (ipython is not None and ipython.get_ipython() is not None)
        or (coverage is not None and coverage.Coverage.current() is not None)
    )


def _has_monitoring_tool() -> bool:
    """Says whether a debugger, coverage or a profiler uses the interface of Python 3.12."""
    monitoring: Any = getattr(sys, "monitoring", None)
    if monitoring is None:
        return False
    tools = (monitoring.DEBUGGER_ID, monitoring.COVERAGE_ID, monitoring.PROFILER_ID)
    return any(monitoring.get_tool(tool) is not None for tool in tools)


def forget_settings() -> None:
    """Removes environment variables that set libraries up as no command can use them.

    JAX, Flax and tqdm read them when they are imported, and raise for a value that they do not
    know. What they set of JAX and Flax is pinned in any case; see `ops.jax_settings`.
    """
    for name in list(os.environ):
        of_tqdm = name.startswith("TQDM_") and name != "TQDM_DISABLE"
        if name in _PINNED_VARIABLES or of_tqdm:
            del os.environ[name]


def prepare_streams() -> None:
    """Makes stdin, stdout and stderr usable, whatever the process was started with.

    A closed one becomes /dev/null: otherwise the next file that is opened would get its
    descriptor, and receive what libraries write to it. Characters that the encoding of the
    terminal lacks are escaped.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number, which is this one.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
