"""The part of a command line that names a config: --config FILE and --config.KEY=VALUE."""

import re
from collections.abc import Callable
from pathlib import Path

from absl import flags
from ml_collections import ConfigDict, config_flags

from mnist_flax import config as config_lib
from mnist_flax.errors import UserError


class _ConfigFileParser(flags.ArgumentParser):
    """Reads the file that --config names; the parser of config_flags shows its traceback."""

    def parse(self, argument: str) -> ConfigDict:
        return config_lib.load(argument)


def _define(
    define_others: Callable[[flags.FlagValues], None], command: list[str]
) -> flags.FlagValues:
    """All flags, and one for each --config.KEY in a command; not yet parsed."""
    values = flags.FlagValues()
    config_flags.DEFINE_config_file(
        "config", None, "Config file.", flag_values=values, sys_argv=command
    )
    values["config"].parser = _ConfigFileParser()
    values.set_default("config", str(config_lib.default_path()))
    define_others(values)
    return values


def parse(
    argv: list[str], define_others: Callable[[flags.FlagValues], None]
) -> flags.FlagValues:
    """Parses a command line.

    Args:
      argv: without the name of the program.
      define_others: defines the command's own flags.

    Returns:
      The flags; `config` is a ConfigDict, of which each field that was given is of its own
      type. It is not yet validated.

    Raises:
      UserError: whatever is wrong with it.
    """
    for argument in argv:
        override = re.match(r"--?(?:no)?config\.([^=]*)", argument)
        if override:
            config_lib.check_known(override[1])
    # absl takes the first for the name of the program.
    command = ["mnist_flax", *argv]
    try:
        values = _define(define_others, command)
        rest = values(command)[1:]
    except flags.IllegalFlagValueError as error:
        override = re.match(r"flag --config\.([\w.]+)=(.*?): ", str(error), re.DOTALL)
        if override:
            raise config_lib.bad_value(*override.groups()) from None
        raise UserError(f"{error}") from None
    except flags.Error as error:
        raise UserError(f"{error} (--help lists the flags)") from None
    if rest:
        raise UserError(f"unexpected argument {rest[0]!r}; a config file goes after --config")
    return values


def help_text(text: str, define_others: Callable[[flags.FlagValues], None]) -> str:
    """A command's own text, its flags, and the fields of a config."""
    path: Path = config_lib.default_path()
    fields = config_lib.flatten(config_lib.load(path))
    lines = [
        f"  --config.{name}={fields[name]!r}".ljust(42) + "  " + rule.allowed
        for name, rule in config_lib.RULES.items()
    ]
    defined = _define(define_others, []).get_help(include_special_flags=False)
    return "\n".join(
        [
            text,
            "Flags:",
            defined.strip().partition("\n")[2],
            "",
            f"Fields of a config, as in {path}, which explains them:",
            *lines,
        ]
    )
