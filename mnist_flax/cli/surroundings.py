"""Knows whether a command is the whole of its process, and what the process was given.

A command may also run inside other code: a notebook, a debugger, a measurement of coverage, a
thread. There it must not end the process, and signals are not its own.
"""

import io
import os
import sys
import threading
from typing import Any

# Whether this process is here for one command alone; `exit_status.entry` sets it.
whole_process = False


def is_hosted() -> bool:
    """Says whether IPython, a debugger, a profiler or coverage watches this process."""
    ipython: Any = sys.modules.get("IPython")
    coverage: Any = sys.modules.get("coverage")
    return (
        threading.current_thread() is not threading.main_thread()
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
