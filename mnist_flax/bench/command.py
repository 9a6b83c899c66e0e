"""Measures what a training run costs on this machine, beside stock Flax or PyTorch if asked to.

Examples:
  python -m mnist_flax.bench
  python -m mnist_flax.bench --config configs/fast.py --config.model.dtype=bfloat16 --json
  python -m mnist_flax.bench --compare plain --compare torch

It measures the default config, or the one that --config and --config.KEY=VALUE name. It takes
all times once a round, in turns, for several rounds. Read the minimum, and the median beside
it: where the two are far apart, the machine was busy.

import          all that a training run imports before its first step
data            reading both splits, once they are prepared
device          starting the device and putting the data on it
compile         the programs of a run, the first time; the second time, from the compilation
                cache (in a temporary folder, so that the user's own does not count)
step            a training step on fixed batches on the device, dropout on, not augmented, in a
                loop of 10 in one dispatch: the time of that, divided by 10. Training itself has
                a whole epoch in such a loop
step alone      the same, dispatched alone
augmentation    gathering, augmenting and normalizing images
epoch           the training of an epoch: its order, augmentation, steps and metrics
GFLOP/s         the matrix products of a step by the time of a step, beside those of one large
                matrix product of the config's dtype
peak memory     up to the end of the first epoch

--compare plain measures the assignment's network in stock Linen (mnist_flax/plain.py) in the
same loop, with JAX's default compiler options. On CPU a step of it takes over a second in a
loop: the loop has 2 steps, and is timed twice a round.

--compare torch measures the assignment's recipe in PyTorch, in its own process, in each of its
modes: both memory layouts (contiguous, channels_last), float32 and bfloat16 under autocast, and
the step also with torch.compile, where that works. The fastest counts; those in bfloat16 count
if the config computes in bfloat16. Its step is a single step on a fixed batch. Its epoch is the
first 50 steps, with torchvision's transforms on PIL images and num_workers=0, scaled to a whole
epoch.

Both are the assignment's: if the config asks for other work, a line names the fields that
differ.

Exit status: 0 if it finished, 2 for bad input, 130 for Ctrl-C, 1 for any other failure.
"""

import argparse
import contextlib
import importlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from ml_collections import ConfigDict

import mnist_flax
from mnist_flax import config as config_lib
from mnist_flax.bench import results, torch_process
from mnist_flax.bench.torch_process import host_threads
from mnist_flax.cli import arguments, exit_status
from mnist_flax.errors import UserError
from mnist_flax.system import cpu, progress

# The fields, or groups of fields, that change the work of a step or an epoch here, but not that
# of what is compared with.
_NOT_FOLLOWED = {
    "plain": ("model.architecture", "model.dtype"),
    "torch": (
        *("train_split", "batch_size", "optimizer", "augment"),
        *("model.architecture", "model.dropout_rate"),
    ),
}


def main(argv: Sequence[str]) -> int:
    """Runs the command with the arguments `argv`; returns its exit status."""
    return exit_status.run(argv, __doc__, _add_flags, _run)


def _run(args: argparse.Namespace) -> None:
    if args.rounds < 1:
        raise UserError(f"--rounds is {args.rounds}; it must be at least 1")
    measured = measure(
        args.config,
        rounds=args.rounds,
        plain="plain" in args.compare,
        torch_python=args.torch_python if "torch" in args.compare else None,
    )
    print(json.dumps(measured) if args.json else results.table(measured))


def _add_flags(parser: arguments.Parser) -> None:
    parser.add_config()
    parser.add_argument("--json", action="store_true", help="print one line of JSON, no table")
    parser.add_argument(
        "--compare",
        choices=list(_NOT_FOLLOWED),
        action="append",
        default=[],
        help="measure stock Linen or PyTorch as well, in turns; may be given twice",
    )
    parser.add_argument(
        "--torch-python",
        metavar="PATH",
        default=sys.executable,
        help="the Python that has torch and torchvision, if they are in another environment",
    )
    parser.add_argument(
        "--rounds", type=int, default=5, help="5 by default; more for a busy machine"
    )


def measure(
    config: ConfigDict, *, rounds: int, plain: bool = False, torch_python: str | None = None
) -> dict[str, Any]:
    """Measures a training run on the default device.

    It is to be called once, in a process that has not imported JAX: it times the imports, and
    moves the compilation cache.

    Args:
      config: what to measure; num_epochs is not used.
      rounds: how often to take each time.
      plain: whether to measure the stock network, too.
      torch_python: the interpreter that runs PyTorch; None: no comparison with it.

    Returns:
      The results by name, in the units of their names, ready for JSON.

    Raises:
      UserError: the data, or PyTorch, cannot be used.
      TrainingError: the process that runs PyTorch ended before its work was done.
    """
    measured: dict[str, Any] = {"load_average": os.getloadavg()[0]}
    measured["import_seconds"] = _seconds(_import)
    import jax

    from mnist_flax.bench import measurements
    from mnist_flax.cli import jax_setup

    measured["device_seconds"] = _seconds(jax_setup.start_devices)
    device = jax.devices()[0]
    measured |= {
        "mnist_flax_version": mnist_flax.__version__,
        "jax_version": jax.__version__,
        "backend": device.platform,
        "device": device.device_kind,
        "threads": host_threads(),
        "cpu": cpu.here().name,
        "cpu_units": cpu.here().units,
        "rounds": rounds,
        "batch_size": config.batch_size,
        "dtype": config.model.dtype,
        "config": config.to_dict(),
    }
    samples: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as cache, contextlib.ExitStack() as stack:
        torch = torch_process.Torch({}, {}, {})
        if torch_python:
            with progress.shown("Starting PyTorch"):
                torch = stack.enter_context(torch_process.start(torch_python, device.platform))
            measured |= torch.versions | {"torch_differs_in": differs_in(config, "torch")}
        jax.config.update("jax_compilation_cache_dir", cache)
        jax_setup.prepare()
        ours = measurements.Measurements(config)
        works = {
            "epoch_seconds": ours.epoch_seconds,
            **torch.epochs,
            "step_ms": ours.step.in_loop_ms,
            **torch.steps,
            "step_alone_ms": ours.step.alone_ms,
            "augmentation_batch_ms": ours.augmentation_ms,
            "matmul_ms": ours.matmul_ms,
        }
        if plain:
            measured["plain_differs_in"] = differs_in(config, "plain")
            works["plain_step_ms"] = ours.plain_step.in_loop_ms
            works["plain_step_alone_ms"] = ours.plain_step.alone_ms
        with progress.bar(rounds * len(works), "measurements") as bar:
            for number in range(1, rounds + 1):
                for name, work in works.items():
                    with bar.part(1, f"round {number} of {rounds}: {name}"):
                        samples[name] += work()
        measured |= {
            "params": ours.params,
            "train_images": ours.train_images,
            "data_seconds": ours.data_seconds,
            "compile_seconds": ours.compile_seconds,
            "compile_cached_seconds": ours.compile_again(),
            **ours.peak_memory_mb,
            "step_gflop": measurements.step_flops(config) / 1e9,
            "matmul_gflop": ours.matmul_flops / 1e9,
        }
    for name, values in samples.items():
        measured[f"{name}_min"] = min(values)
        measured[f"{name}_median"] = statistics.median(values)
    return measured | results.derive(measured)


def differs_in(config: ConfigDict, other: str) -> list[str]:
    """Lists the fields by which a config asks for other work than what it is compared with.

    Args:
      config: a valid config.
      other: 'plain' or 'torch'.
    """
    default = config_lib.flatten(config_lib.load(config_lib.default_path()))
    fields = config_lib.flatten(config)
    return [
        key
        for key in config_lib.RULES
        if fields[key] != default[key]
        and any(key == name or key.startswith(f"{name}.") for name in _NOT_FOLLOWED[other])
    ]


def _import() -> None:
    """Imports what a training run imports before its first step, JAX first of all."""
    for name in ("jax", "tensorflow_datasets", "mnist_flax.train"):
        importlib.import_module(name)


def _seconds(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin
