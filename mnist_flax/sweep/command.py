"""Trains a config with several seeds, and says how good it is on average.

Examples:
  python -m mnist_flax.sweep --config configs/default.py --seeds 5
  python -m mnist_flax.sweep --seeds 3 --grid learning_rate=1e-3,3e-3 --workdir runs/rates
  python -m mnist_flax.sweep --seeds 10 --config.num_epochs=4

It prints a table with a row for each setting, about the accuracy after the last epoch, never
about the best one: n, mean ± sd (of the sample), min, max, the 95 % interval of the mean
(Student's t), the share of the seeds that met the target before the last epoch, and the first
epoch at the target of each seed. Below it, the smallest difference that two settings with so
many seeds and such an sd show in 80 % of cases (Welch's test, two-sided 5 %).

--against OTHER, another sweep's folder or its sweep.jsonl, also prints by how much the mean of
each setting differs from the mean of that one, with Welch's 95 % interval.

The seeds are config.seed, config.seed + 1, ... Each --grid FIELD=VALUE,VALUE,... is tried with
all seeds, in every combination. To choose a setting, keep the test set out of it:
  --config.train_split='train[:55000]' --config.test_split='train[55000:]'

--tta adds a column: the mean ± sd of the accuracies with test-time augmentation, as `evaluate
--tta` computes them, after the last epoch.

A seed whose loss stops being finite has diverged. The other seeds are still trained, and the
statistics are of those; the table says how many diverged.

The workdir gets sweep.jsonl, a line for each seed with its whole curve; sweep.png, every seed's
curve and the band of mean ± sd; sweep.json, the config and the grid. The same command with the
same workdir resumes: it trains the seeds that sweep.jsonl does not have yet.
Exit status: 0 if every seed finished, 1 if some diverged or something else failed, 2 for bad
input, 130 for Ctrl-C, 143 for SIGTERM.
"""

import argparse
import itertools
import re
import shlex
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from mnist_flax import config as config_lib
from mnist_flax import errors
from mnist_flax.cli import arguments, exit_status, stopping
from mnist_flax.errors import TrainingError, UserError
from mnist_flax.runs import files, summary, workdirs, writers
from mnist_flax.runs.terminal import say
from mnist_flax.sweep import comparison, records
from mnist_flax.sweep.records import LINES
from mnist_flax.system import progress

PICTURE = "sweep.png"


def main(argv: Sequence[str]) -> int:
    """Runs the command with the arguments `argv`; returns its exit status."""
    return exit_status.run(argv, __doc__, _add_flags, _sweep)


def _sweep(args: argparse.Namespace) -> None:
    for flag in ("seeds", "parallel"):
        value = getattr(args, flag)
        if value is not None and value < 1:
            raise UserError(f"--{flag} is {value}; it must be at least 1")
    settings = _settings(args.config, args.grid)
    if args.against and args.seeds < 2:
        raise UserError("--against needs --seeds of at least 2: one seed has no spread")
    other = comparison.read(args.against, settings) if args.against else None
    # JAX takes a second to import: report bad input of other kinds before that.
    from mnist_flax.cli import jax_setup

    jax_setup.prepare()
    for _, config in settings:
        _check_data(config)
    with (
        stopping.at_once(_last_line, files.in_one_piece),
        workdirs.hold(args.workdir, may_hold_a_run=False, prefix="sweep-") as workdir,
    ):
        lines = records.begin(workdir, settings)
        say(f"Workdir: {workdir}")
        seeds = range(args.config.seed, args.config.seed + args.seeds)
        done = {(line["setting"], line["seed"]) for line in lines}
        todo = {name: [x for x in seeds if (name, x) not in done] for name, _ in settings}
        epochs = sum(len(todo[name]) * config.num_epochs for name, config in settings)
        with progress.bar(epochs, "epochs") as bar:
            for name, config in settings:
                for line in _train(config, name, todo[name], args.parallel, args.tta, bar):
                    with files.in_one_piece:
                        files.append(workdir / LINES, writers.to_json(line))
                    lines.append(line)
                    say(records.describe(line))
        asked = [line for line in lines if line["seed"] in seeds]
        groups = {
            name or "the config": [line for line in asked if line["setting"] == name]
            for name, _ in settings
        }
        _finish(workdir, groups, settings[0][1].target_accuracy, other)


def _settings(config: ConfigDict, grid: list[str]) -> list[tuple[str, ConfigDict]]:
    """Combines the values of a grid in every way.

    Args:
      config: what the settings have in common.
      grid: texts such as 'learning_rate=1e-3,3e-3'.

    Returns:
      The name of each setting, such as 'learning_rate=0.003 batch_size=64', and its config.
      Without a grid there is one setting, whose name is ''.

    Raises:
      UserError: a part of the grid is malformed, or does not fit a config.
    """
    axes = {}
    for part in grid:
        match = re.fullmatch(r"([\w.]+)=(.+)", part)
        if not match:
            raise UserError(f"--grid {part} is not FIELD=VALUE,VALUE,...")
        field, values = match.groups()
        config_lib.check_known(field)
        if field == "seed":
            raise UserError("--grid cannot vary the seed; --seeds says how many there are")
        if field in axes:
            raise UserError(f"--grid has {field} twice; name all its values in one")
        axes[field] = values.split(",")
    settings = []
    for values in itertools.product(*axes.values()):
        setting = config_lib.override(config, dict(zip(axes, values, strict=True)))
        fields = config_lib.flatten(setting)
        settings.append((" ".join(f"{field}={fields[field]}" for field in axes), setting))
    return settings


def _check_data(config: ConfigDict) -> None:
    """Checks that the splits of a config can be used, and prepares the data if need be.

    Nothing is read into memory: `train.load_splits` does that when a setting's turn has come.

    Raises:
      UserError: a split cannot be used, or the batch size does not fit it.
    """
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


def _train(
    config: ConfigDict,
    name: str,
    todo: list[int],
    parallel: int | None,
    tta: bool,
    bar: progress.Bar,
) -> Iterator[dict[str, Any]]:
    """Trains seeds of a config, and yields the line of each as soon as it is done.

    The bar counts the epochs of all seeds.
    """
    if not todo:
        return
    import jax

    from mnist_flax.steps import create_recipe
    from mnist_flax.sweep import seeds
    from mnist_flax.train import load_splits

    train, test = load_splits(config)
    recipe = create_recipe(config, train.size)
    if parallel is None:
        parallel = seeds.most_at_once(recipe, train, test, len(todo))
    parallel = min(parallel, len(todo))
    programs = seeds.SeedPrograms(recipe, train, test, parallel)
    for i in range(0, len(todo), parallel):
        some = todo[i : i + parallel]
        work = len(some) * config.num_epochs
        with bar.part(work, records.describe_seeds(name, some)) as move:
            outcomes, seconds = programs.train(some, config.num_epochs, move, tta=tta)
        for seed, outcome in zip(some, outcomes, strict=True):
            yield {
                "setting": name,
                "seed": seed,
                "epochs": config.num_epochs,
                **records.scores(outcome, test.size, config.target_accuracy),
                "seconds": seconds / len(some),
                "parallel": parallel,
                **outcome.curves._asdict(),
                "backend": jax.default_backend(),
                "device": jax.devices()[0].device_kind,
                "device_count": jax.device_count(),
                "versions": summary.versions(),
            }


def _finish(
    workdir: Path,
    groups: dict[str, list[dict[str, Any]]],
    target: float,
    other: comparison.Other | None,
) -> None:
    """Prints the table, then draws the picture.

    Args:
      workdir: the folder of the sweep.
      groups: the lines of sweep.jsonl by the name of their setting.
      target: config.target_accuracy.
      other: the sweep to compare with.

    Raises:
      TrainingError: some seeds diverged.
    """
    # SciPy and Matplotlib take a second to import.
    from mnist_flax.sweep import results

    below = comparison.describe(groups, other)
    say(
        results.table(groups),
        *([below] if below else []),
        f"Results: {workdir} ({LINES}, {PICTURE})",
    )
    try:
        from mnist_flax.plots.seeds import draw_seeds

        curves = {name: results.curves(lines) for name, lines in groups.items()}
        files.replace(workdir / PICTURE, draw_seeds(curves, target))
    except Exception as error:  # Whatever Matplotlib and the disk happen to raise.
        errors.warn(
            f"{PICTURE} could not be drawn ({type(error).__name__}: {error}); the lines are on "
            f"disk, and the same command with --workdir {shlex.quote(str(workdir))} draws it"
        )
    lines = [line for group in groups.values() for line in group]
    diverged = [line for line in lines if line["diverged_at"] is not None]
    if diverged:
        raise TrainingError(
            f"{len(diverged)} of {len(lines)} seeds diverged, the first at step "
            f"{diverged[0]['diverged_at']}; the statistics are of the others. Try a smaller "
            "config.learning_rate"
        )


def _last_line(number: signal.Signals) -> str:
    """Makes the line that a sweep prints when a signal ends it."""
    what = "interrupted" if number == signal.SIGINT else "terminated"
    if not workdirs.held:
        return what
    (workdir,) = workdirs.held
    path = workdir / LINES
    done = path.read_bytes().count(b"\n") if path.exists() else 0
    return f"{what}: seeds done: {done}; the same command with --workdir {workdir} resumes"


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
    parser.add_argument(
        "--tta", action="store_true", help="test with test-time augmentation, too, at the end"
    )
    parser.add_path("--against", "another sweep to compare with: its folder or sweep.jsonl")
    parser.add_path("--workdir", "folder of the sweep, a new one in runs/ by default")
