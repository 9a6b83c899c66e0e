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
import itertools
import re
import signal
import sys
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

from absl import flags
from ml_collections import ConfigDict, config_flags

from mnist_flax import config as config_lib
from mnist_flax import stopping, workdirs, writers
from mnist_flax.errors import UserError, exit_status, leave


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
        print(_help())
        return
    values = _parse(argv)
    config: ConfigDict = values.config
    config_lib.validate(config)
    if values.workdir == "":
        raise UserError("--workdir is empty; name a folder, or leave it out for a new one")
    fresh = values.workdir is None or not Path(values.workdir).exists()
    workdir = Path(values.workdir) if values.workdir else _make_fresh_workdir(Path("runs"))
    with stopping.at_once(partial(_last_line, workdir)):
        try:
            # Let go of again: train_and_evaluate holds it once the data is there.
            with workdirs.hold(workdir, may_hold_a_run=values.overwrite or values.resume):
                print(f"Workdir: {workdir}", flush=True)
            # JAX takes a second to import: bad input has had its answer by now.
            from mnist_flax import compilation_cache
            from mnist_flax.train import train_and_evaluate

            compilation_cache.enable()
            train_and_evaluate(
                config, workdir, overwrite=values.overwrite, resume=values.resume
            )
        except UserError:
            if fresh:
                with contextlib.suppress(OSError):  # Not empty: something was worth writing.
                    workdir.rmdir()
            raise


def _last_line(workdir: Path, number: signal.Signals) -> str:
    """What a run says that was stopped by a signal."""
    done = f"epochs done: {writers.epochs_on_record(workdir)}, in {workdir}"
    if number == signal.SIGINT:
        return f"interrupted: {done}"
    return f"terminated: {done}; --resume goes on after them"


class _ConfigFileParser(flags.ArgumentParser):
    """Reads the file that --config names; the parser of config_flags shows its traceback."""

    def parse(self, argument: str) -> ConfigDict:
        return config_lib.load(argument)


def _define_flags(command: list[str]) -> flags.FlagValues:
    """The flags of a command line, and a flag for each --config.KEY in it; not yet parsed."""
    values = flags.FlagValues()
    config_flags.DEFINE_config_file(
        "config", None, "Config file.", flag_values=values, sys_argv=command
    )
    values["config"].parser = _ConfigFileParser()
    values.set_default("config", str(config_lib.default_path()))
    flags.DEFINE_string(
        "workdir", None, "Folder of the run. If not given, a new one in runs/.", values
    )
    flags.DEFINE_bool("overwrite", False, "Replace the run that the workdir holds.", values)
    flags.DEFINE_bool(
        "resume", False, "Go on with the run that the workdir holds, if any.", values
    )
    return values


def _parse(argv: list[str]) -> flags.FlagValues:
    """Parses the command line.

    Raises:
        UserError: Whatever is wrong with it.
    """
    for argument in argv:
        override = re.match(r"--?(?:no)?config\.([^=]*)", argument)
        if override:
            config_lib.check_known(override[1])
    command = ["mnist_flax.main", *argv]
    try:
        values = _define_flags(command)
        rest = values(command)[1:]
    except flags.IllegalFlagValueError as error:
        override = re.match(r"flag --config\.([\w.]+)=(.*?): ", str(error), re.DOTALL)
        if override:
            raise config_lib.bad_value(*override.groups()) from None
        raise UserError(f"{error}") from None
    except flags.Error as error:
        raise UserError(f"{error} (--help lists the flags)") from None
    if values.resume and values.overwrite:
        raise UserError("--resume and --overwrite exclude each other; choose one")
    if rest:
        raise UserError(f"unexpected argument {rest[0]!r}; a config file goes after --config")
    return values


def _help() -> str:
    """What --help prints: this module's text, the flags, and the fields of a config."""
    path = config_lib.default_path()
    fields = config_lib.flatten(config_lib.load(path))
    lines = [
        f"  --config.{name}={fields[name]!r}".ljust(44) + rule.allowed
        for name, rule in config_lib.RULES.items()
    ]
    text = _define_flags([]).get_help(include_special_flags=False).strip().partition("\n")[2]
    return "\n".join(
        [
            __doc__,
            "Flags:",
            text,
            "",
            f"Fields of a config, as in {path}, which explains them:",
            *lines,
        ]
    )


def _make_fresh_workdir(parent: Path) -> Path:
    """Makes a folder named by the time; two runs that start together get two of them."""
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    try:
        parent.mkdir(exist_ok=True)
        for number in itertools.count(1):
            workdir = parent / (stamp if number == 1 else f"{stamp}-{number}")
            with contextlib.suppress(FileExistsError):
                workdir.mkdir()
                break
    except OSError as error:
        raise UserError(
            f"no folder can be made in {parent} ({error.strerror}); choose one with --workdir"
        ) from None
    return workdir


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
