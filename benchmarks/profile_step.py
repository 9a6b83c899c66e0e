"""Shows where the time of a training step goes, by layer, with XLA's own profiler.

    python benchmarks/profile_step.py [--config FILE] [--json]            on a GPU
    taskset -c 0 python benchmarks/profile_step.py                        on a CPU

It traces a loop of training steps, with augmentation, as an epoch runs them. "Busy" is the
share of the time in which a GPU computes; in the rest, kernels are being launched. On a CPU,
use one core, as the profiler does not see the work that XLA gives to other threads; and read
the shares, not the milliseconds.
"""

import argparse
import collections
import json
import re
import statistics
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.profiler import ProfileData
from ml_collections import ConfigDict

from mnist_flax import architecture, epochs, steps
from mnist_flax import config as config_lib
from mnist_flax.ops import backends, compiler_options
from mnist_flax.train import load_splits

STEPS = 30
COLUMNS = ("forward", "input gradient", "kernel gradient", "backward, both or other")


def list_rows(line: str) -> dict[str, str]:
    """Lists the rows of the table of a network, in the order of a step.

    Args:
      line: config.model.architecture.

    Returns:
      For each row the pattern of the operations in it. What matches none is in "other".
    """
    blocks = list(enumerate(architecture.parse(line), 1))
    convs = [f"conv{i}" for i, block in blocks if block.kernel == i]
    norms = {f"bn{i}, ReLU" + ", pool" * block.pool: f"bn{i}" for i, block in blocks}
    return {
        "augmentation": "augment",
        **{name: rf"\b{name}\b" for name in convs},
        **{row: rf"\b{name}\b" for row, name in norms.items()},
        "dropout, its random bits": "dropout|threefry|random_bits",
        "fc, loss": r"\bfc\b|loss|softmax",
        "optimizer": "optimizer",
        "other": "",
    }


def compile_steps(config: ConfigDict) -> tuple[jax.stages.Compiled, tuple[Any, ...]]:
    """Compiles the steps of an epoch; returns the program and its arguments up to `start`."""
    train, _ = load_splits(config)
    key = jax.random.key(config.seed)
    recipe = steps.create_recipe(config, train.size)
    state = steps.init_state(key, recipe)
    begun, order, key = epochs.start_epoch(state, key, jnp.int32(1), train.size)
    ahead = backends.batches_ahead(jax.default_backend(), recipe.batch_size)
    program = (
        jax.jit(partial(epochs.full_steps, recipe=recipe, ahead=ahead))
        .lower(begun, train, order, key, np.int32(0), np.int32(0))
        .compile(compiler_options.for_loops(recipe.dtype))
    )
    return program, (begun, train, order, key)


def trace(program: jax.stages.Compiled, arguments: tuple[Any, ...]) -> ProfileData:
    """Traces STEPS steps, after as many to warm up."""

    def run() -> None:
        jax.block_until_ready(program(*arguments, np.int32(0), np.int32(STEPS)))

    run()
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            run()
        (path,) = Path(folder).rglob("*.xplane.pb")
        return ProfileData.from_file(str(path))


def op_intervals(profile: ProfileData, names: set[str]) -> dict[str, list[tuple[float, float]]]:
    """Finds the start and end, in milliseconds, of every run of each operation."""
    planes = [p for p in profile.planes if p.name.startswith("/device:")] or profile.planes
    found: dict[str, list[tuple[float, float]]] = collections.defaultdict(list)
    for plane in planes:
        for line in plane.lines:
            if line.name == "python":
                continue
            for event in line.events:
                stats = dict(event.stats)
                name = str(stats.get("hlo_op", event.name))
                if name in names:
                    begin = event.start_ns / 1e6
                    found[name].append((begin, begin + event.duration_ns / 1e6))
    return found


def busy_ms(intervals: list[tuple[float, float]]) -> float:
    """Computes the length of the union of intervals."""
    total, end = 0.0, -float("inf")
    for start, stop in sorted(intervals):
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total


def place(op_name: str, rows: dict[str, str]) -> tuple[str, str]:
    """Finds the row and column of an operation by the names of its scopes and layers."""
    row = next(name for name, pattern in rows.items() if re.search(pattern, op_name))
    for column in ("input gradient", "kernel gradient"):
        if column.replace(" ", "_") in op_name:
            return row, column
    return row, COLUMNS[3] if "transpose(" in op_name else COLUMNS[0]


def measure(config_path: Path) -> dict[str, Any]:
    """Measures the milliseconds of a step by row and column, its busy share and operations."""
    config = config_lib.load(config_path)
    rows = list_rows(config.model.architecture)
    program, arguments = compile_steps(config)
    text = program.as_text() or ""
    sources = dict(re.findall(r'%([\w.\-]+) = [^\n]*?op_name="([^"]*)"', text))
    intervals = op_intervals(trace(program, arguments), set(sources))
    table: dict[str, dict[str, float]] = {}
    for name, runs in intervals.items():
        if "while" in name:
            continue  # The loop itself, which contains the others.
        row, column = place(sources[name], rows)
        # The median: a run that the machine interrupted does not count.
        ms = statistics.median(end - begin for begin, end in runs) * len(runs) / STEPS
        columns = table.setdefault(row, dict.fromkeys(COLUMNS, 0.0))
        columns[column] += ms
    every = [run for runs in intervals.values() for run in runs]
    wall = max(end for _, end in every) - min(begin for begin, _ in every)
    return {
        "backend": jax.default_backend(),
        "device": jax.devices()[0].device_kind,
        "ms_per_step": wall / STEPS,
        "busy_share": busy_ms(every) / wall,
        "operations_per_step": len(every) / STEPS,
        "table_ms": {row: table[row] for row in rows if row in table},
    }


def main() -> None:
    """Prints the table, or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--config", type=Path, default=config_lib.default_path())
    parser.add_argument("--json", action="store_true", help="one JSON object on one line")
    options = parser.parse_args()
    result = measure(options.config)
    if options.json:
        print(json.dumps(result))
        return
    table = result["table_ms"]
    total = sum(sum(columns.values()) for columns in table.values())
    print(
        f"{result['device']}: {result['ms_per_step']:.2f} ms a step while traced, "
        f"busy {result['busy_share']:.0%}, {result['operations_per_step']:.0f} operations"
    )
    print(f"{'share of the time, %':28}" + "".join(f"{c:>26}" for c in COLUMNS))
    for row, columns in table.items():
        print(f"{row:28}" + "".join(f"{100 * columns[c] / total:26.1f}" for c in COLUMNS))
    sums = "".join(f"{100 * sum(r[c] for r in table.values()) / total:26.1f}" for c in COLUMNS)
    print(f"{'all':28}{sums}")


if __name__ == "__main__":
    main()
