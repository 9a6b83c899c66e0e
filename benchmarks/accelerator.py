"""All that is to be known of a new machine, in one go: for a GPU that is at hand for an hour.

    python benchmarks/accelerator.py --output DIR [--config FILE]

Runs, each in a process of its own: the bench; the profile of a training step; in float32 and in
bfloat16 a whole training run, with nothing compiled before, and again with all of it compiled.
DIR gets report.json and, of each part, the log.
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

DTYPES = ("float32", "bfloat16")


def run(command: list[str], log: Path, cache: Path) -> str:
    """Runs a Python command with a compilation cache of its own; returns its stdout.

    Raises:
      SystemExit: it failed; its log is where the message says.
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
    """A whole run: wall time of the command, and what its summary says."""
    name = f"{dtype}-{'compiled' if compiled else 'fresh'}"
    workdir = output / f"run-{name}"
    command = ["-m", "mnist_flax.main", "--config", str(config), "--workdir", str(workdir)]
    begin = time.perf_counter()
    run([*command, f"--config.model.dtype={dtype}"], output / f"{name}.log", output / dtype)
    wall = time.perf_counter() - begin
    summary = json.loads((workdir / "summary.json").read_bytes())
    keys = ("final_test_accuracy", "first_epoch_at_target", "total_seconds", "compile_seconds")
    return {"run": name, "wall_seconds": wall} | {key: summary[key] for key in keys}


def main() -> None:
    """Writes the report and prints it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, required=True, help="a folder that is not there")
    parser.add_argument("--config", type=Path, default=config_lib.default_path())
    options = parser.parse_args()
    output = options.output.absolute()
    output.mkdir(parents=True)
    here = Path(__file__).parent
    config = ["--config", str(options.config)]
    report: dict[str, Any] = {}

    def part(name: str, result: Any) -> None:
        report[name] = result
        (output / "report.json").write_text(json.dumps(report, indent=2))
        print(json.dumps({name: result}, indent=2), flush=True)

    bench = run(["-m", "mnist_flax.bench", "--json"], output / "bench.log", output / "bench")
    part("bench", json.loads(bench))
    profile = run(
        [str(here / "profile_step.py"), *config, "--json"], output / "profile.log", output / "p"
    )
    part("profile", json.loads(profile))
    part(
        "training",
        [
            training(options.config, dtype, output, compiled=compiled)
            for dtype in DTYPES
            for compiled in (False, True)
        ],
    )


if __name__ == "__main__":
    main()
