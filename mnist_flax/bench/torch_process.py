"""Starts torch_peer.py, and asks it for work.

The docstring of torch_peer.py describes the messages between the two.
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

# The memory layouts that PyTorch is measured in.
LAYOUTS = ("contiguous", "channels_last")
# And with them the type of the products and, of a step, whether torch.compile is used. A mode
# without a word for it computes in float32, or is not compiled.
EPOCH_MODES = tuple(f"{layout}{dtype}" for dtype in ("", "_bfloat16") for layout in LAYOUTS)
STEP_MODES = EPOCH_MODES + tuple(f"{mode}_compiled" for mode in EPOCH_MODES)
# Steps at a time: some seconds, about as long as ours take in a round.
STEPS = 50


class Torch(NamedTuple):
    """PyTorch in another process.

    Attributes:
      versions: what the process says at its start, ready for JSON.
      epochs: by the name of the result, a function that measures epochs, in seconds.
      steps: by the name of the result, a function that measures steps, in milliseconds.
    """

    versions: dict[str, Any]
    epochs: Mapping[str, Callable[[], list[float]]]
    steps: Mapping[str, Callable[[], list[float]]]


@contextlib.contextmanager
def start(python: str, platform: str) -> Iterator[Torch]:
    """Starts torch_peer.py; ends it when the context ends.

    Args:
      python: the interpreter that runs it.
      platform: JAX's; PyTorch gets the GPU if it is 'gpu', and the CPU otherwise.

    Raises:
      UserError: the interpreter cannot be started, or has no torch or no torchvision.
      TrainingError: by the functions: the process ended before its work was done.
    """
    device = "cuda" if platform == "gpu" else "cpu"
    script = str(Path(__file__).with_name("torch_peer.py"))
    command = [python, "-W", "ignore", script]
    command += ["--threads", str(host_threads()), "--device", device]
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # Modules beside the script must not be found under their bare names.
            env={**os.environ, "PYTHONSAFEPATH": "1"},
        )
    except OSError as error:
        raise UserError(f"--torch-python: {python}: {error.strerror}") from error
    assert process.stdin
    assert process.stdout
    requests, answers = process.stdin, process.stdout

    def work(kind: str, mode: str) -> list[float]:
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps([kind, mode, STEPS]), file=requests, flush=True)
        answer = answers.readline()
        if not answer:
            raise TrainingError(f"{python}, which runs PyTorch, ended before its work was done")
        return json.loads(answer)

    try:
        try:
            versions = json.loads(answers.readline())
        except ValueError as error:
            raise UserError(f"--torch-python: {python} cannot run {script}") from error
        if "error" in versions:
            raise UserError(
                f"--compare torch: {python}: {versions['error']}; `pip install torch "
                "torchvision` there, or name a Python that has them with --torch-python"
            )
        epochs = {f"torch_{x}_epoch_seconds": partial(work, "epoch", x) for x in EPOCH_MODES}
        step_modes = STEP_MODES if versions.get("torch_compiles") else EPOCH_MODES
        steps = {f"torch_{x}_step_ms": partial(work, "steps", x) for x in step_modes}
        yield Torch(versions, epochs, steps)
    finally:
        process.kill()
        process.wait()
        answers.close()
        with contextlib.suppress(BrokenPipeError):
            requests.close()


def host_threads() -> int:
    """Counts the CPU cores this process may use: XLA has, and PyTorch gets, as many threads."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
