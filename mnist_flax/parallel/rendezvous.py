"""Lets the processes of a run find each other before JAX connects them.

When two processes have the same number, JAX aborts all of them, those of a running job
included. So process 0 first hears from each of the others, on the port that JAX uses later: a
process sends one line of JSON with its number and the count that it was given, and gets one
line back. A process that comes too late meets JAX on that port, which does not speak these
lines.
"""

import contextlib
import json
import socket
import time
from typing import Any

from mnist_flax.errors import UserError

# A stranger may connect and send nothing, or send without end.
_PATIENCE_SECONDS, _LONGEST_LINE = 5.0, 4096


def meet(coordinator: str, count: int, number: int, seconds: float) -> None:
    """Waits until every process is there exactly once.

    Args:
      coordinator: host:port; process 0 listens on the port.
      count: how many processes there are.
      number: which of them this is, from 0.
      seconds: how long to wait.

    Raises:
      UserError: processes are missing or too many, or process 0 cannot be reached. All that
        are there get the same answer.
    """
    host, _, port = coordinator.rpartition(":")
    deadline = time.monotonic() + seconds
    if number == 0:
        _gather(int(port), count, deadline)
    else:
        _report(host.strip("[]"), int(port), count, number, deadline)


def _gather(port: int, count: int, deadline: float) -> None:
    """Hears from all other processes and answers them; called by process 0."""
    dual = socket.has_dualstack_ipv6()
    try:
        server = socket.create_server(
            ("", port),
            family=socket.AF_INET6 if dual else socket.AF_INET,
            backlog=max(128, count),
            dualstack_ipv6=dual,
        )
    except (OSError, OverflowError) as error:
        raise UserError(
            f"process 0 cannot listen on port {port} ({error}); if another process 0 runs "
            "here, stop it, or choose another port in --coordinator"
        ) from None
    with contextlib.ExitStack() as stack:
        stack.enter_context(server)
        here: set[int] = set()
        connections = []
        wrong = ""
        while not wrong and len(here) < count - 1:
            server.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                connection = stack.enter_context(server.accept()[0])
            except TimeoutError:
                missing = ", ".join(str(i) for i in range(1, count) if i not in here)
                wrong = f"process {missing} of {count} did not come"
                break
            said = _hear(connection, _PATIENCE_SECONDS)
            if not isinstance(said, dict) or not {"number", "count"} <= said.keys():
                continue  # Not one of ours.
            connections.append(connection)
            if said["count"] != count:
                wrong = f"one has --processes={said['count']}, and process 0 has {count}"
            elif said["number"] in (0, *here):
                wrong = f"there are two with --process={said['number']}"
            else:
                here.add(said["number"])
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.sendall(json.dumps({"wrong": wrong}).encode() + b"\n")
    if wrong:
        raise _not_together(wrong)


def _report(host: str, port: int, count: int, number: int, deadline: float) -> None:
    """Tells process 0 who this is, and hears its answer; called by the others."""
    while True:
        try:
            connection = socket.create_connection((host, port), timeout=_PATIENCE_SECONDS)
            break
        except (OSError, UnicodeError, OverflowError) as error:
            if time.monotonic() > deadline:
                raise _not_together(f"process 0 is not at {host}:{port} ({error})") from None
            time.sleep(0.2)
    with connection:
        said = {"number": number, "count": count}
        with contextlib.suppress(OSError):
            connection.sendall(json.dumps(said).encode() + b"\n")
        answer = _hear(connection, max(0.01, deadline + 1 - time.monotonic()))
    if not isinstance(answer, dict) or "wrong" not in answer:
        raise _not_together(
            f"the program at {host}:{port} is not a process 0 that waits for others; perhaps "
            "their run has begun without this one"
        )
    if answer["wrong"]:
        raise _not_together(answer["wrong"])


def _hear(connection: socket.socket, seconds: float) -> Any:
    """Reads a line of JSON; None if it is something else, or does not come in time."""
    connection.settimeout(seconds)
    with (
        contextlib.suppress(OSError, ValueError, RecursionError),
        connection.makefile("rb") as lines,
    ):
        return json.loads(lines.readline(_LONGEST_LINE))
    return None


def _not_together(what: str) -> UserError:
    return UserError(
        f"the processes of this run did not meet: {what}; start all at the same time, "
        "with the same --coordinator and --processes and a --process of its own each"
    )
