"""Trains the network of a config file on MNIST and tests it after every epoch.

Examples:
  python -m mnist_flax.main
  python -m mnist_flax.main --config configs/default.py --workdir runs/first
  python -m mnist_flax.main --workdir runs/first --resume
  python -m mnist_flax.main --config.num_epochs=2 --config.augment.degrees=15

A run writes into its folder: config.json; after every epoch a line of metrics.jsonl and a
checkpoint, of which the latest two and the best stay; at the end summary.json and curves.png;
and an event file, for `tensorboard --logdir runs`.
Ctrl-C and SIGTERM end it at once. After that, or after a crash, --resume continues from the
latest good checkpoint, and ends as the run would have without the interruption, bit for bit.
Exit status: 0 if the run finished, 2 for bad input, 130 for Ctrl-C, 143 for SIGTERM, 1 for any
other failure.
"""

import argparse
import re
import signal
from collections.abc import Sequence

from mnist_flax.cli import arguments, exit_status, stopping
from mnist_flax.errors import UserError
from mnist_flax.runs import files, workdirs


def main(argv: Sequence[str]) -> int:
    """Runs the command with the arguments `argv`; returns its exit status."""
    return exit_status.run(argv, __doc__, _add_flags, _train)


def _train(args: argparse.Namespace) -> None:
    if args.resume and args.overwrite:
        raise UserError("--resume and --overwrite exclude each other; choose one")
    _check_processes(args)
    with stopping.at_once(_last_line, files.in_one_piece):
        # JAX takes a second to import: a bad command line has been answered before that.
        from mnist_flax.cli import jax_setup
        from mnist_flax.parallel import processes
        from mnist_flax.train import train_and_evaluate

        if args.coordinator is not None:
            processes.join(args.coordinator, args.processes, args.process)
        jax_setup.prepare()
        jax_setup.warn_if_slow(args.config.model.dtype)
        train_and_evaluate(
            args.config, args.workdir, overwrite=args.overwrite, resume=args.resume
        )


def _last_line(number: signal.Signals) -> str:
    """Makes the line that a run prints when a signal ends it."""
    what = "interrupted" if number == signal.SIGINT else "terminated"
    if not workdirs.held:
        return what
    (workdir,) = workdirs.held
    done = f"{what}: epochs done: {workdirs.epochs_on_record(workdir)}, in {workdir}"
    return done if number == signal.SIGINT else f"{done}; --resume continues after them"


def _add_flags(parser: arguments.Parser) -> None:
    parser.add_config()
    parser.add_path("--workdir", "folder of the run, a new one in runs/ by default")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the run that the workdir holds"
    )
    parser.add_argument(
        "--resume", action="store_true", help="continue the run that the workdir holds, if any"
    )
    parser.add_argument(
        "--coordinator",
        metavar="HOST:PORT",
        help="for a run on several hosts: the first one's, or 'auto' on a TPU pod, Slurm, Open "
        "MPI or Kubernetes; give each host the same command, except for --process",
    )
    parser.add_argument(
        "--processes", type=int, help="with --coordinator=HOST:PORT: how many there are"
    )
    parser.add_argument(
        "--process", type=int, help="with --coordinator=HOST:PORT: which this is, from 0"
    )


def _check_processes(args: argparse.Namespace) -> None:
    """Raises UserError unless the flags for several hosts go together."""
    coordinator, count, number = args.coordinator, args.processes, args.process
    if coordinator in (None, "auto"):
        if count is not None or number is not None:
            raise UserError("--processes and --process go with --coordinator=HOST:PORT")
    elif not re.fullmatch(r".+:\d{1,5}", coordinator) or count is None or number is None:
        raise UserError(
            f"--coordinator={coordinator} is not enough; give HOST:PORT of the first process, "
            "--processes=N and --process=I, from 0 to N - 1, or --coordinator=auto alone"
        )
    elif count < 1:
        raise UserError(f"--processes is {count}; it must be at least 1")
    elif not 0 <= number < count:
        raise UserError(
            f"--process={number} does not fit --processes={count}; they count from 0"
        )


if __name__ == "__main__":
    exit_status.entry(main)
