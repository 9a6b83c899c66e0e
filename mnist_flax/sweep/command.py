"""Trains a config with several seeds, and says how good it is on average.

Examples:
  python -m mnist_flax.sweep --config configs/default.py --seeds 5
  python -m mnist_flax.sweep --seeds 3 --grid learning_rate=1e-3,3e-3 --workdir runs/rates
  python -m mnist_flax.sweep --seeds 10 --config.num_epochs=4

What it prints, of the accuracy after the last epoch, never of the best: n, mean ± sd (of the
sample), min, max, the 95 % interval of the mean (Student's t); the share of the seeds that met
the target before the last epoch; the first epoch at the target of each seed.

Seeds are config.seed, config.seed + 1, ... Each --grid FIELD=VALUE,VALUE,... is tried with all
seeds, in every combination. To choose by it, keep the test set out of it:
  --config.train_split='train[:55000]' --config.test_split='train[55000:]'

A seed whose loss stops being finite has diverged: the others go on, and the figures are of
those that came to their end; the table says how many did not.

The workdir gets sweep.jsonl, a line a seed with its whole curve; sweep.png, every seed's curve
and the band of mean ± sd; sweep.json, the config and the grid. The same command with the same
workdir goes on after the seeds that are in sweep.jsonl.
Exit status: 0 if all seeds were trained to their end, 1 if some diverged or something else
failed, 2 for bad input, 130 for Ctrl-C, 143 for SIGTERM.
"""

import argparse
import itertools
import re
import signal
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from mnist_flax import config as config_lib
from mnist_flax.cli import arguments, exit_status, stopping
from mnist_flax.errors import TrainingError, UserError
from mnist_flax.runs import files, summary, workdirs, writers
from mnist_flax.sweep import records
from mnist_flax.sweep.records import LINES

PICTURE = "sweep.png"


def main(argv: Sequence[str]) -> int:
    """Runs the command.

    Args:
      argv: the command line without the name of the program.

    Returns:
      The exit status.
    """
    return exit_status.run(argv, __doc__, _add_flags, _sweep)


def _sweep(args: argparse.Namespace) -> None:
    for flag in ("seeds", "parallel"):
        value = getattr(args, flag)
        if value is not None and value < 1:
            raise UserError(f"--{flag} is {value}; it must be at least 1")
    points = _points(args.config, args.grid)
    for config in points:
        _check_data(config)
    workdir = args.workdir or workdirs.make_fresh(Path("runs"), "sweep-")
    with (
        stopping.at_once(partial(_last_line, workdir), files.in_one_piece),
        workdirs.hold(workdir, may_hold_a_run=False),
    ):
        names = [_name(config, args.grid) for config in points]
        lines = records.begin(workdir, names, points)
        print(f"Workdir: {workdir}", flush=True)
        for name, config in zip(names, points, strict=True):
            done = {line["seed"] for line in lines if line["setting"] == name}
            seeds = [config.seed + i for i in range(args.seeds)]
            for line in _train(
                config, name, [s for s in seeds if s not in done], args.parallel
            ):
                with files.in_one_piece:
                    files.append(workdir / LINES, writers.to_json(line))
                lines.append(line)
                print(records.shown(line), flush=True)
        last = points[0].seed + args.seeds
        asked = [line for line in lines if points[0].seed <= line["seed"] < last]
        _finish(workdir, names, asked, points[0].target_accuracy)


def _points(config: ConfigDict, grid: list[str]) -> list[ConfigDict]:
    """The configs of a grid, in every combination.

    Raises:
      UserError: a part of the grid is malformed, or no field of a config.
    """
    axes = []
    for part in grid:
        match = re.fullmatch(r"([\w.]+)=(.+)", part)
        if not match:
            raise UserError(f"--grid {part} is not FIELD=VALUE,VALUE,...")
        config_lib.check_known(match[1])
        if match[1] == "seed":
            raise UserError("--grid cannot vary the seed; --seeds says how many there are")
        axes.append([(match[1], value) for value in match[2].split(",")])
    if len({axis[0][0] for axis in axes}) < len(axes):
        raise UserError("--grid has a field twice; name all its values in one")
    return [config_lib.override(config, dict(point)) for point in itertools.product(*axes)]


def _check_data(config: ConfigDict) -> None:
    """Raises UserError if a config's splits cannot be used; prepares the data if need be."""
    # They take a second to import: bad input of other kinds has had its answer by now.
    from mnist_flax import input_pipeline
    from mnist_flax.parallel import sharding

    for key in ("test_split", "train_split"):
        try:
            source = input_pipeline.Source(config[key], config.data_dir, config.dataset)
        except input_pipeline.SplitError as error:
            raise UserError(f"config.{key} {error}") from None
    config_lib.check_batch_size(config, source.size)
    sharding.check_divisible(config.batch_size, source.size)


def _name(config: ConfigDict, grid: list[str]) -> str:
    """What tells a setting from the others of a grid: 'learning_rate=0.003'."""
    fields = config_lib.flatten(config)
    keys = [part.partition("=")[0] for part in grid]
    return " ".join(f"{key}={fields[key]}" for key in keys)


def _train(
    config: ConfigDict, name: str, todo: list[int], parallel: int | None
) -> Iterator[dict[str, Any]]:
    """Trains seeds of a config, and gives the line of each as it is done."""
    if not todo:
        return
    import jax

    from mnist_flax import input_pipeline
    from mnist_flax.cli import compilation_cache
    from mnist_flax.parallel import sharding
    from mnist_flax.sweep import seeds

    compilation_cache.enable()
    mesh = sharding.make_mesh()
    train, test = (
        input_pipeline.load_on_devices(config[key], config.data_dir, config.dataset, mesh)
        for key in ("train_split", "test_split")
    )
    if parallel is None:
        parallel = seeds.most_at_once(config, train, test, len(todo))
    parallel = min(parallel, len(todo))
    programs = seeds.SeedPrograms(config, train, test, parallel)
    for i in range(0, len(todo), parallel):
        some = todo[i : i + parallel]
        outcomes, seconds = programs.train(some)
        for seed, outcome in zip(some, outcomes, strict=True):
            yield {
                "setting": name,
                "seed": seed,
                "epochs": config.num_epochs,
                **records.figures(outcome, test.size, config.target_accuracy),
                "seconds": seconds / len(some),
                "parallel": parallel,
                **outcome.curves._asdict(),
                "backend": jax.default_backend(),
                "device": jax.devices()[0].device_kind,
                "device_count": jax.device_count(),
                "versions": summary.versions(),
            }


def _finish(
    workdir: Path, names: list[str], lines: list[dict[str, Any]], target: float
) -> None:
    """Prints the table and draws the picture."""
    # SciPy and Matplotlib take a second to import.
    from mnist_flax.sweep import results

    groups = {name: [line for line in lines if line["setting"] == name] for name in names}
    files.replace(workdir / PICTURE, results.draw(groups, target))
    print(results.table(groups))
    print(f"Results: {workdir} ({LINES}, {PICTURE})", flush=True)
    diverged = [line for line in lines if line["diverged_at"] is not None]
    if diverged:
        raise TrainingError(
            f"{len(diverged)} of {len(lines)} seeds diverged, the first at step "
            f"{diverged[0]['diverged_at']}; the figures are of the others. Try a smaller "
            "config.learning_rate"
        )


def _last_line(workdir: Path, number: signal.Signals) -> str:
    """What a sweep says that was stopped by a signal."""
    what = "interrupted" if number == signal.SIGINT else "terminated"
    path = workdir / LINES
    done = path.read_bytes().count(b"\n") if path.exists() else 0
    return f"{what}: seeds done: {done}; the same command with --workdir {workdir} goes on"


def _add_flags(parser: arguments.Parser) -> None:
    parser.add_config()
    parser.add_argument("--seeds", type=int, default=5, help="how many seeds, 5 by default")
    parser.add_argument(
        "--grid",
        action="append",
        default=[],
        metavar="FIELD=VALUE,VALUE",
        help="a field of the config and its values; may be given more than once",
    )
    parser.add_argument(
        "--parallel",
        type=int,
        help="how many seeds to train at once; by default one on CPU, else what memory holds",
    )
    parser.add_path("--workdir", "folder of the sweep, a new one in runs/ by default")
