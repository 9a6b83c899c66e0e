"""Measures what a training run costs on this machine; compares it with PyTorch if asked to.

Examples:
  python -m mnist_flax.bench
  python -m mnist_flax.bench --json
  python -m mnist_flax.bench --compare torch

Of the default config, or of the one that --config and --config.KEY=VALUE name. Everything is
measured once a round, in turns, for several rounds: read the minimum, and the median beside
it; where the two are far apart, the machine was busy.

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
GFLOP/s         what the matrix products of a step make of its minimum, beside those of one
                large float32 matrix product
peak memory     up to the end of the first epoch

PyTorch, with --compare torch: the same recipe in its own process, in turns with this one, in
eager mode in both memory layouts (contiguous, channels_last); the better one counts. Its step
is a single step on a fixed batch; its epoch the first 50 steps with torchvision's transforms
on PIL images, num_workers=0, scaled to a whole epoch.

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
from mnist_flax.bench import torch_process
from mnist_flax.bench.torch_process import LAYOUTS, host_threads
from mnist_flax.cli import arguments, exit_status
from mnist_flax.errors import UserError


def main(argv: Sequence[str]) -> int:
    """Runs the command.

    Args:
      argv: the command line without the name of the program.

    Returns:
      The exit status.
    """
    return exit_status.run(argv, __doc__, _add_flags, _run)


def _run(args: argparse.Namespace) -> None:
    if args.rounds < 1:
        raise UserError(f"--rounds is {args.rounds}; it must be at least 1")
    torch_python = args.torch_python if args.compare else None
    figures = measure(args.config, rounds=args.rounds, torch_python=torch_python)
    print(json.dumps(figures) if args.json else table(figures))


def _add_flags(parser: arguments.Parser) -> None:
    parser.add_config()
    parser.add_argument("--json", action="store_true", help="print one line of JSON, no table")
    parser.add_argument(
        "--compare", choices=["torch"], help="measure PyTorch as well, in turns"
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
    config: ConfigDict, *, rounds: int, torch_python: str | None = None
) -> dict[str, Any]:
    """Measures a training run on the default device.

    To be called once, in a process that has not imported JAX: the imports are timed, and the
    compilation cache is moved.

    Args:
      config: what to run; num_epochs is not used.
      rounds: how often everything is measured.
      torch_python: the interpreter to run PyTorch with; None: no comparison.

    Returns:
      The figures by name, in the units of their names, ready for JSON.

    Raises:
      UserError: the data cannot be read; PyTorch is to be compared with and cannot be used.
      TrainingError: the process that runs PyTorch ended before its work was done.
    """
    figures: dict[str, Any] = {"load_average": os.getloadavg()[0]}
    figures["import_seconds"] = _seconds(_import)
    import jax

    from mnist_flax.bench import measurements
    from mnist_flax.cli import compilation_cache

    figures["device_seconds"] = _seconds(jax.devices)
    device = jax.devices()[0]
    figures |= {
        "mnist_flax_version": mnist_flax.__version__,
        "jax_version": jax.__version__,
        "backend": device.platform,
        "device": device.device_kind,
        "threads": host_threads(),
        "rounds": rounds,
        "batch_size": config.batch_size,
    }
    samples: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as cache, contextlib.ExitStack() as stack:
        torch = torch_process.Torch({}, {}, {})
        if torch_python:
            torch = stack.enter_context(torch_process.start(torch_python, device.platform))
            figures |= torch.versions
        jax.config.update("jax_compilation_cache_dir", cache)
        compilation_cache.enable()
        ours = measurements.Measurements(config)
        works = {
            "epoch_seconds": ours.epoch_seconds,
            **torch.epochs,
            "step_ms": ours.step_ms,
            **torch.steps,
            "step_alone_ms": ours.step_alone_ms,
            "augmentation_batch_ms": ours.augmentation_ms,
            "matmul_ms": ours.matmul_ms,
        }
        for number in range(1, rounds + 1):
            print(f"round {number} of {rounds}", file=sys.stderr)
            for name, work in works.items():
                samples[name] += work()
        figures |= {
            "data_seconds": ours.data_seconds,
            "compile_seconds": ours.compile_seconds,
            "compile_cached_seconds": ours.compile_again(),
            **ours.peak_memory_mb,
            "step_gflop": measurements.step_flops(config) / 1e9,
            "matmul_gflop": ours.matmul_flops / 1e9,
        }
    for name, values in samples.items():
        figures[f"{name}_min"] = min(values)
        figures[f"{name}_median"] = statistics.median(values)
    return figures | _derived(figures)


def _import() -> None:
    """Imports what a training run imports before its first step, JAX first of all."""
    for name in ("jax", "tensorflow_datasets", "mnist_flax.train"):
        importlib.import_module(name)


def _seconds(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def _derived(figures: dict[str, Any]) -> dict[str, Any]:
    """Rates and ratios, from minimum and median; of PyTorch the better layout counts."""
    more: dict[str, Any] = {}
    for time_end, rate_end in (("min", "max"), ("median", "median")):
        batch_ms = figures[f"augmentation_batch_ms_{time_end}"]
        more[f"augmentation_images_per_second_{rate_end}"] = (
            1e3 * figures["batch_size"] / batch_ms
        )
        for name in ("step", "matmul"):
            rate = 1e3 * figures[f"{name}_gflop"] / figures[f"{name}_ms_{time_end}"]
            more[f"{name}_gflop_per_second_{rate_end}"] = rate
        for name in ("step_ms", "epoch_seconds") if "torch_version" in figures else ():
            layouts = [figures[f"torch_{layout}_{name}_{time_end}"] for layout in LAYOUTS]
            more[f"torch_{name}_{time_end}"] = min(layouts)
            more[f"ratio_{name}_{time_end}"] = figures[f"{name}_{time_end}"] / min(layouts)
    return more


def table(figures: dict[str, Any]) -> str:
    """The figures of `measure`, for people."""

    def line(label: str, *cells: str) -> str:
        return f"{label:<26}" + "".join(f"{cell:>16}" for cell in cells)

    def cell(name: str, unit: str) -> str:
        value = figures[name]
        return (f"{value:,.0f}" if value >= 100 else f"{value:.3g}") + unit

    def pair(label: str, name: str, unit: str, best: str = "min") -> str:
        return line(label, *(cell(f"{name}_{end}", unit) for end in (best, "median")))

    f = figures
    lines = [
        f"mnist_flax {f['mnist_flax_version']}, jax {f['jax_version']}, {f['backend']} "
        f"({f['device']}), {f['threads']} threads on the host",
        f"batch {f['batch_size']}, rounds: {f['rounds']}, load average {f['load_average']:.2f} "
        "at the start",
        "",
        line("import", cell("import_seconds", " s")),
        line("device", cell("device_seconds", " s")),
        line("data", cell("data_seconds", " s")),
        line("compile", cell("compile_seconds", " s")),
        line("compile, from the cache", cell("compile_cached_seconds", " s")),
        line("peak memory", cell("peak_host_mb", " MB")),
        *(
            [line("  of the device", cell("peak_device_mb", " MB"))]
            if f["peak_device_mb"]
            else []
        ),
        "",
        line("", "best", "median"),
        pair("step", "step_ms", " ms"),
        pair("step alone", "step_alone_ms", " ms"),
        pair("augmentation, images/s", "augmentation_images_per_second", "", "max"),
        pair("epoch", "epoch_seconds", " s"),
        pair("GFLOP/s of a step", "step_gflop_per_second", "", "max"),
        pair("  of a matrix product", "matmul_gflop_per_second", "", "max"),
    ]
    if "torch_version" in f:
        lines += [
            "",
            f"PyTorch {f['torch_version']}, torchvision {f['torchvision_version']}, "
            f"{f['torch_device']}, {f['torch_threads']} threads",
            "",
            line("", "mnist_flax", "PyTorch", "ratio"),
        ]
        for label, name, unit in (("step", "step_ms", " ms"), ("epoch", "epoch_seconds", " s")):
            for end in ("min", "median"):
                both = cell(f"{name}_{end}", unit), cell(f"torch_{name}_{end}", unit)
                ratio = f"{f[f'ratio_{name}_{end}']:.2f}"
                lines.append(line(f"{label}, {end}", *both, ratio))
        lines += ["", line("PyTorch by layout", "best", "median")]
        lines += [
            pair(f"{label}, {layout}", f"torch_{layout}_{name}", unit)
            for label, name, unit in (
                ("step", "step_ms", " ms"),
                ("epoch", "epoch_seconds", " s"),
            )
            for layout in LAYOUTS
        ]
    return "\n".join(text.rstrip() for text in lines)
