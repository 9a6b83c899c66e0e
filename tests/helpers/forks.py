"""Starts Python as `sys.executable` does, but with JAX and the package imported already.

To import them takes two seconds, and many tests start a command. Here one process imports them
and forks for each command; the fork ends as a Python of its own would. A small process asks for
the fork: it passes on its streams, its folder and its environment, and ends as the fork ends.
If the environment differs in more than what a running command reads, it starts a new Python
after all, because libraries read variables while they are imported.
"""

import functools
import os
import subprocess
import sys
import tempfile
from pathlib import Path

_SCRIPT = Path(__file__).with_name("fork_server.py")


def python(draws: bool = False) -> list[str]:
    """Begins a command line: what follows is -m or -c and so on, as for `sys.executable`.

    Args:
      draws: whether Matplotlib renders figures. A run has a second of them and a report three;
        without, a figure is made and saved, but as one small picture. A new Python draws.
    """
    if not hasattr(os, "pidfd_open"):  # No Linux: forks of large libraries are not safe there.
        return [sys.executable]
    mode = "draw" if draws else "ask"
    # Isolated and without site-packages it starts in ten milliseconds.
    return [sys.executable, "-I", "-S", str(_SCRIPT), mode, _start_server()]


@functools.cache
def _start_server() -> str:
    """Starts the process that forks; it ends when this one has ended.

    Returns:
      The path of its socket.
    """
    # The path of a socket must be short, whatever the folder of the tests is.
    folder = tempfile.mkdtemp(prefix="forks-")
    path = os.path.join(folder, "socket")
    server = subprocess.Popen(
        [sys.executable, str(_SCRIPT), "serve", path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert server.stdout is not None
    assert server.stdout.readline() == b"ready\n"
    _servers.append(server)
    return path


# Its stdin is open as long as this process lives.
_servers: list[subprocess.Popen[bytes]] = []
