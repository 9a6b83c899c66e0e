"""Parses a command line: one parser for all commands, and one way to name a config.

A command that trains or measures takes `--config FILE` and `--config.KEY=VALUE`. Every command
takes `--help`, and a flag's words may be joined by '-' or by '_'.
"""

import argparse
import difflib
import re
from collections.abc import Callable, Sequence
from typing import Any

from mnist_flax import config as config_lib
from mnist_flax.errors import UserError
from mnist_flax.system.paths import local_path

_HELP = frozenset({"-h", "--help"})


class Parser(argparse.ArgumentParser):
    """argparse's parser, which raises UserError instead of ending the process."""

    def error(self, message: str) -> Any:
        """Raises UserError with argparse's own message."""
        raise UserError(f"{message} (--help lists the flags)")

    def add_path(self, flag: str, help: str) -> None:
        """Adds a flag that names a local file or folder; its value is a Path, or None."""
        self.add_argument(
            flag, metavar="PATH", type=lambda text: local_path(flag, text), help=help
        )

    def add_network(self) -> None:
        """Adds the two flags that name a trained network: a run, or a file of weights."""
        self.add_path("--workdir", "folder of the run that trained the network")
        self.add_path("--weights", "instead of --workdir: a .safetensors, .pt or .pth file")
        self.add_data_dir()

    def add_data_dir(self) -> None:
        """Adds the flag for the folder of the prepared datasets."""
        self.add_path("--data-dir", "folder of the prepared datasets, if it has moved")

    def add_config(self) -> None:
        """Adds --config FILE, and --config.KEY=VALUE for each field of a config."""
        default = config_lib.default_path()
        fields = config_lib.flatten(config_lib.load(default))
        # argparse formats a help text with %.
        shown = str(default).replace("%", "%%")
        self.add_path("--config", f"config file, {shown} by default")
        for name in config_lib.RULES:
            self.add_argument(
                f"--config.{name}", default=argparse.SUPPRESS, help=argparse.SUPPRESS
            )
        lines = [
            f"  --config.{name}={fields[name]!r}".ljust(42) + "  " + rule.allowed
            for name, rule in config_lib.RULES.items()
        ]
        self.epilog = "\n".join(
            [f"fields of a config, as in {default}, which explains them:", *lines]
        )


def parse(
    argv: Sequence[str], doc: str, add_flags: Callable[[Parser], None]
) -> argparse.Namespace | None:
    """Parses a command line, or prints the help if it asks for it.

    Args:
      argv: the command line without the name of the program.
      doc: what --help prints above the flags.
      add_flags: adds the command's own flags.

    Returns:
      The values of the flags. Where `add_flags` called `add_config`, `config` is the ConfigDict
      of the file and the --config.KEY=VALUE flags, validated. None if the help was printed.

    Raises:
      UserError: whatever is wrong with the command line.
    """
    parser = Parser(
        usage=argparse.SUPPRESS,
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        add_help=False,
    )
    parser.add_argument("-h", "--help", action="store_true", help="print this text")
    add_flags(parser)
    if _HELP & set(argv):
        print(parser.format_help().rstrip())
        return None
    takes_config = "--config" in parser._option_string_actions
    if takes_config:
        for argument in argv:
            if field := re.match(r"--config\.([^=]*)", argument):
                config_lib.check_known(field[1])
    args, rest = parser.parse_known_intermixed_args(_with_dashes(argv))
    if rest:
        raise _unexpected(rest[0], parser, takes_config)
    if takes_config:
        path = args.config or config_lib.default_path()
        fields = {key[7:]: x for key, x in vars(args).items() if key.startswith("config.")}
        args.config = config_lib.override(config_lib.load(path), fields)
    return args


def _with_dashes(argv: Sequence[str]) -> list[str]:
    """Spells --save_preview as --save-preview; fields of a config stay as they are."""
    end = argv.index("--") if "--" in argv else len(argv)
    flags = [
        re.sub(r"^--[a-z_-]+(?=$|=)", lambda name: name[0].replace("_", "-"), word)
        for word in argv[:end]
    ]
    return [*flags, *argv[end:]]


def _unexpected(argument: str, parser: Parser, takes_config: bool) -> UserError:
    """Makes the error for an argument that no flag takes."""
    if not argument.startswith("-"):
        advice = (
            "a config file goes after --config" if takes_config else "--help lists the flags"
        )
        return UserError(f"unexpected argument {argument!r}; {advice}")
    name = argument.partition("=")[0]
    known = [flag for flag in parser._option_string_actions if flag.startswith("--")]
    near = difflib.get_close_matches(name, known, n=1)
    advice = f"did you mean {near[0]}?" if near else "--help lists the flags"
    return UserError(f"unknown flag {name}; {advice}")
