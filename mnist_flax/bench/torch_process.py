"""Starts torch_peer.py for bench.py, and asks it for work.

The text at the head of torch_peer.py says what goes back and forth.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from mnist_flax.errors import TrainingError, UserError

# The memory layouts PyTorch is measured in.
LAYOUTS = ("contiguous", "channels_last")
# Steps at a time: a few seconds of them, as long as ours take.
STEPS = 50


class Torch(NamedTuple):
    """PyTorch in another process: its versions, and the work it does when it is called."""

    versions: dict[str, Any]
    epochs: Mapping[str, Callable[[], list[float]]]
    steps: Mapping[str, Callable[[], list[float]]]


@contextlib.contextmanager
def start(python: str, platform: str) -> Iterator[Torch]:
    """Starts torch_peer.py, and ends it.

    Args:
      python: the interpreter to run it.
      platform: JAX's: PyTorch gets the GPU if JAX has one.

    Raises:
      UserError: the interpreter cannot be started, or has no torch or no torchvision.
      TrainingError: the process ended before its work was done; raised by the work.
    """
    device = "cuda" if platform == "gpu" else "cpu"
    script = str(Path(__file__).with_name("torch_peer.py"))
    command = [
        python,
        "-W",
        "ignore",
        script,
        "--threads",
        str(host_threads()),
        "--device",
        device,
    ]
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # The modules beside the script are not to be found under their bare names.
            env={**os.environ, "PYTHONSAFEPATH": "1"},
        )
    except OSError as error:
        raise UserError(f"--torch_python: {python}: {error.strerror}") from error
    assert process.stdin
    assert process.stdout
    requests, answers = process.stdin, process.stdout

    def work(kind: str, layout: str) -> list[float]:
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps([kind, layout, STEPS]), file=requests, flush=True)
        answer = answers.readline()
        if not answer:
            raise TrainingError(f"{python}, which runs PyTorch, ended before its work was done")
        return json.loads(answer)

    try:
        try:
            versions = json.loads(answers.readline())
        except ValueError as error:
            raise UserError(f"--torch_python: {python} cannot run {script}") from error
        if "error" in versions:
            raise UserError(
                f"--compare torch: {python}: {versions['error']}; `pip install torch "
                "torchvision` there, or name a Python that has them with --torch_python"
            )
        epochs = {f"torch_{x}_epoch_seconds": partial(work, "epoch", x) for x in LAYOUTS}
        steps = {f"torch_{x}_step_ms": partial(work, "steps", x) for x in LAYOUTS}
        yield Torch(versions, epochs, steps)
    finally:
        process.kill()
        process.wait()
        answers.close()
        with contextlib.suppress(BrokenPipeError):
            requests.close()


def host_threads() -> int:
    """CPU cores this process may use: as many threads as XLA has, and PyTorch is given."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
