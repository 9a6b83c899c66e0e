"""Measures all that we want to know about a new machine, such as a GPU borrowed for an hour.

    python benchmarks/accelerator.py --output DIR [--config FILE ...] [--seeds 64]

It runs these parts, each in a process of its own: whether the augmentations have the CPU's
bytes; the bench, also of the stock network; the profile of a training step; for each config a
whole training run in float32 and one in bfloat16, each with an empty compilation cache and then
again with a full one; a sweep of many seeds at once. The bench, the profile and the sweep are
of the first config. By default the configs are default.py and fast.py. DIR gets report.json and
the log of each part.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from mnist_flax import config as config_lib
from mnist_flax.sweep import results
from mnist_flax.sweep.records import LINES

DTYPES = ("float32", "bfloat16")


def run(command: list[str], log: Path, cache: Path) -> str:
    """Runs a Python command in a process of its own; returns its stdout.

    Args:
      command: what follows `python` on the command line.
      log: the file for its stderr.
      cache: the folder of its compilation cache.

    Raises:
      SystemExit: the command failed; the message names its log.
    """
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(cache)}
    with log.open("w") as errors:
        finished = subprocess.run(
            [sys.executable, *command],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            check=False,
        )
    if finished.returncode:
        sys.exit(f"{' '.join(command)} ended with {finished.returncode}; see {log}")
    return finished.stdout


def training(config: Path, dtype: str, output: Path, *, compiled: bool) -> dict[str, Any]:
    """Trains a whole run: the wall time of the command, and some of summary.json."""
    name = f"{config.stem}-{dtype}-{'compiled' if compiled else 'fresh'}"
    workdir = output / f"run-{name}"
    command = ["-m", "mnist_flax.main", "--config", str(config), "--workdir", str(workdir)]
    begin = time.perf_counter()
    run(
        [*command, f"--config.model.dtype={dtype}"],
        output / f"{name}.log",
        output / f"{config.stem}-{dtype}",
    )
    wall = time.perf_counter() - begin
    summary = json.loads((workdir / "summary.json").read_bytes())
    keys = ("final_test_accuracy", "first_epoch_at_target", "total_seconds", "compile_seconds")
    return {"run": name, "wall_seconds": wall} | {key: summary[key] for key in keys}


def seeds(config: Path, count: int, output: Path) -> dict[str, Any]:
    """Trains many seeds by one command: its wall time, and statistics of the accuracies."""
    workdir = output / "seeds"
    command = ["-m", "mnist_flax.sweep", "--config", str(config), "--seeds", str(count)]
    begin = time.perf_counter()
    run([*command, "--workdir", str(workdir)], output / "seeds.log", output / "seeds-cache")
    wall = time.perf_counter() - begin
    lines = [json.loads(line) for line in (workdir / LINES).read_text().splitlines()]
    summary = results.summarize(lines)
    return {
        "seeds": count,
        "at_once": lines[0]["parallel"],
        "wall_seconds": wall,
        "training_seconds": sum(line["seconds"] for line in lines),
        "mean": summary.mean,
        "sd": summary.sd,
    }


def main() -> None:
    """Writes the report and prints it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, required=True, help="a folder to make")
    default = config_lib.default_path()
    configs = [default, default.with_name("fast.py")]
    parser.add_argument("--config", type=Path, nargs="+", default=configs)
    parser.add_argument("--seeds", type=int, default=64, help="64 by default, at least 2")
    options = parser.parse_args()
    output = options.output.absolute()
    output.mkdir(parents=True)
    here = Path(__file__).parent
    config = ["--config", str(options.config[0])]
    report: dict[str, Any] = {}

    def part(name: str, result: Any) -> None:
        report[name] = result
        (output / "report.json").write_text(json.dumps(report, indent=2))
        print(json.dumps({name: result}, indent=2), flush=True)

    same = [str(here / "same_bytes.py"), "--json"]
    part("augmentations", json.loads(run(same, output / "same.log", output / "same")))
    bench = ["-m", "mnist_flax.bench", *config, "--json", "--compare", "plain"]
    part("bench", json.loads(run(bench, output / "bench.log", output / "bench")))
    profile = [str(here / "profile_step.py"), *config, "--json"]
    part("profile", json.loads(run(profile, output / "profile.log", output / "profile")))
    part(
        "training",
        [
            training(each, dtype, output, compiled=compiled)
            for each in options.config
            for dtype in DTYPES
            for compiled in (False, True)
        ],
    )
    part("seeds", seeds(options.config[0], options.seeds, output))


if __name__ == "__main__":
    main()
