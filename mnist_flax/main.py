"""Trains the network of a config file on MNIST and tests it after every epoch.

Examples:
  python -m mnist_flax.main
  python -m mnist_flax.main --config configs/default.py --workdir runs/first
  python -m mnist_flax.main --workdir runs/first --resume
  python -m mnist_flax.main --config.num_epochs=2 --config.augment.degrees=15

A run writes into its folder: config.json; after every epoch a line of metrics.jsonl and a
checkpoint, of which the latest two and the best stay; at the end curves.png and summary.json;
and an event file, for `tensorboard --logdir runs`.
Ctrl-C and SIGTERM end it at once, and so may a crash: --resume goes on after the last epoch in
metrics.jsonl, and ends as the run would have without the interruption, bit for bit.
Exit status: 0 if the run finished, 2 for bad input, 130 for Ctrl-C, 143 for SIGTERM, 1 for any
other failure.
"""

import contextlib
import re
import signal
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from absl import flags
from ml_collections import ConfigDict

from mnist_flax import config as config_lib
from mnist_flax.cli import arguments, stopping
from mnist_flax.errors import UserError, exit_status, leave
from mnist_flax.runs import workdirs, writers


def main(argv: Sequence[str]) -> int:
    """Runs the command.

    Args:
        argv: The command line without the name of the program.

    Returns:
        The exit status.
    """
    return exit_status(lambda: _train(list(argv)))


def _train(argv: list[str]) -> None:
    if {"-h", "--help", "-help", "--helpfull"} & set(argv):
        print(arguments.help_text(__doc__, _define_flags))
        return
    values = _parse(argv)
    config: ConfigDict = values.config
    config_lib.validate(config)
    if values.workdir == "":
        raise UserError("--workdir is empty; name a folder, or leave it out for a new one")
    made: list[Path] = []
    with stopping.at_once(partial(_last_line, made)):
        if values.coordinator is None:
            _train_in(_workdir(values, made), values)
            return
        from mnist_flax.parallel import processes

        processes.join(values.coordinator, values.processes, values.process)
        if processes.is_first():
            _train_in(_workdir(values, made), values)
        else:
            # It is told which workdir the first one has, and writes nothing there.
            _start(Path(values.workdir or "runs"), values)


def _workdir(values: flags.FlagValues, made: list[Path]) -> Path:
    """The workdir, which is made if none is named; appended to `made`."""
    made.append(Path(values.workdir) if values.workdir else workdirs.make_fresh(Path("runs")))
    return made[0]


def _train_in(workdir: Path, values: flags.FlagValues) -> None:
    fresh = values.workdir is None or not workdir.exists()
    try:
        if values.coordinator is None:
            # Let go of again: train_and_evaluate holds it once the data is there.
            with workdirs.hold(workdir, may_hold_a_run=values.overwrite or values.resume):
                pass
        print(f"Workdir: {workdir}", flush=True)
        _start(workdir, values)
    except UserError:
        if fresh:
            with contextlib.suppress(OSError):  # Not empty: something was worth writing.
                workdir.rmdir()
        raise


def _start(workdir: Path, values: flags.FlagValues) -> None:
    # JAX takes a second to import: bad input has had its answer by now.
    from mnist_flax.cli import compilation_cache
    from mnist_flax.train import train_and_evaluate

    compilation_cache.enable()
    train_and_evaluate(values.config, workdir, overwrite=values.overwrite, resume=values.resume)


def _last_line(made: list[Path], number: signal.Signals) -> str:
    """What a run says that was stopped by a signal; `made` has its workdir, if it has one."""
    what = "interrupted" if number == signal.SIGINT else "terminated"
    if not made:
        return what
    done = f"{what}: epochs done: {writers.epochs_on_record(made[0])}, in {made[0]}"
    return done if number == signal.SIGINT else f"{done}; --resume goes on after them"


def _define_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_string(
        "workdir", None, "Folder of the run. If not given, a new one in runs/.", values
    )
    flags.DEFINE_bool("overwrite", False, "Replace the run that the workdir holds.", values)
    flags.DEFINE_bool(
        "resume", False, "Go on with the run that the workdir holds, if any.", values
    )
    flags.DEFINE_string(
        "coordinator",
        None,
        "For a run on several hosts: HOST:PORT of the first one, or 'auto' on a TPU pod, "
        "Slurm, Open MPI or Kubernetes. The command is the same on each but for --process.",
        values,
    )
    flags.DEFINE_integer(
        "processes", None, "With --coordinator=HOST:PORT: how many there are.", 1, None, values
    )
    flags.DEFINE_integer(
        "process", None, "With --coordinator=HOST:PORT: which this is, from 0.", 0, None, values
    )


def _parse(argv: list[str]) -> flags.FlagValues:
    """Parses the command line.

    Raises:
        UserError: Whatever is wrong with it.
    """
    values = arguments.parse(argv, _define_flags)
    if values.resume and values.overwrite:
        raise UserError("--resume and --overwrite exclude each other; choose one")
    _check_processes(values)
    return values


def _check_processes(values: flags.FlagValues) -> None:
    """Raises UserError unless the flags for several hosts go together."""
    coordinator, count, number = values.coordinator, values.processes, values.process
    numbered = count is not None and number is not None
    if coordinator in (None, "auto"):
        if count is not None or number is not None:
            raise UserError("--processes and --process go with --coordinator=HOST:PORT")
    elif not re.fullmatch(r".+:\d{1,5}", coordinator) or not numbered:
        raise UserError(
            f"--coordinator={coordinator} is not enough; give HOST:PORT of the first process, "
            "--processes=N and --process=I, from 0 to N - 1, or --coordinator=auto alone"
        )
    elif number >= count:
        raise UserError(f"--process={number} is none of --processes={count}; they count from 0")


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
