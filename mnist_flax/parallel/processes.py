"""Lets several processes train together, one on each host.

Each computes its share of every batch. Only the first one prints and writes into the workdir,
which has to be on a disk that all of them see, since all of them save and load with Orbax.
"""

import contextlib
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from mnist_flax.errors import TrainingError, UserError
from mnist_flax.parallel import rendezvous

T = TypeVar("T")

# How long to wait for the other processes at the start, and for a sign of life later.
_START_SECONDS, _SILENCE_SECONDS = 45, 30
# The share of the first in which they find each other; the rest is for JAX to connect them.
_MEETING_SHARE = 0.75


def join(coordinator: str, count: int | None = None, number: int | None = None) -> None:
    """Waits for the other processes. Call it before anything asks for devices.

    Args:
      coordinator: host:port, on which process 0 listens; 'auto' on Cloud TPU, Slurm, Open MPI
        and Kubernetes, where the machines know who they are.
      count: how many processes there are; None with 'auto'.
      number: which of them this is, from 0; None with 'auto'.

    If the processes do not meet within _START_SECONDS, this one ends with a line on stderr and
    status 2. JAX alone would abort it with a stack trace of C++.

    Raises:
      UserError: processes are missing or too many (see `rendezvous`), or JAX refuses the
        arguments.
    """
    wrong = f"the processes of this run did not meet by --coordinator={coordinator}"
    advice = (
        "start all at the same time, with the same --processes and a --process of its own each"
    )

    def give_up() -> None:
        os.write(2, f"error: {wrong} within {_START_SECONDS} seconds; {advice}\n".encode())
        os._exit(2)

    timer = threading.Timer(_START_SECONDS, give_up)
    timer.daemon = True
    timer.start()
    if count is not None and number is not None:
        rendezvous.meet(coordinator, count, number, _MEETING_SHARE * _START_SECONDS)
    # JAX's service would catch SIGTERM, which the command answers itself.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            None if coordinator == "auto" else coordinator,
            count,
            number,
            initialization_timeout=2 * _START_SECONDS,
            heartbeat_timeout_seconds=_SILENCE_SECONDS,
            shutdown_timeout_seconds=_SILENCE_SECONDS,
        )
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{wrong} ({reason}); {advice}") from None
    finally:
        timer.cancel()


def is_first() -> bool:
    """Says whether this is the process that writes and prints."""
    return jax.process_index() == 0


def told_by_first(tell: Callable[[], Any]) -> Any:
    """Calls `tell` on the first process, and returns its result on every process.

    Args:
      tell: returns what JSON can hold.

    Raises:
      UserError: `tell` did, on the first process.
    """
    if jax.process_count() == 1:
        return tell()
    answer: dict[str, Any] = {}
    if is_first():
        try:
            answer = {"value": tell()}
        except UserError as error:
            answer = {"error": str(error)}
    message = json.dumps(answer).encode()
    size = int(multihost_utils.broadcast_one_to_all(np.int32(len(message))))
    padded = np.frombuffer(message.ljust(size), np.uint8)[:size]
    answer = json.loads(np.asarray(multihost_utils.broadcast_one_to_all(padded)).tobytes())
    if "error" in answer:
        raise UserError(answer["error"])
    return answer["value"]


def agree(work: Callable[[], T]) -> T:
    """Calls `work` on each process, and returns its result if it succeeds on all.

    Raises:
      UserError: `work` did, on this process or on another. All raise, because each would
        otherwise wait for the others.
    """
    if jax.process_count() == 1:
        return work()
    done: list[T] = []
    wrong = None
    try:
        done.append(work())
    except UserError as error:
        wrong = error
    failed = multihost_utils.process_allgather(np.array([wrong is not None]))
    if wrong:
        raise wrong
    if failed.any():
        raise UserError(
            "another process of this run has bad input; its own last line says what"
        )
    return done[0]


def check_same(what: str, values: Mapping[str, Any]) -> None:
    """Raises UserError on all processes if the values differ; `what` names them."""
    if jax.process_count() == 1:
        return
    first = told_by_first(lambda: dict(values))
    different = [
        f"{what}.{key} is {value!r} and on the first process {first.get(key)!r}"
        for key, value in json.loads(json.dumps(dict(values))).items()
        if value != first.get(key)
    ]

    def check() -> None:
        if different:
            raise UserError(f"{'; '.join(different)}; start all with the same {what}")

    agree(check)


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Turns the loss of another process into a TrainingError of one line.

    Raises:
      TrainingError: another process has stopped.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        # This process itself may have too little memory.
        if jax.process_count() == 1 or "RESOURCE_EXHAUSTED" in str(error):
            raise
        raise TrainingError(
            f"another process of this run has stopped or cannot be reached "
            f"({' '.join(str(error).split())[:200]}); start all of them again with --resume"
        ) from None
