"""What the commands that use a trained network share: --help, flags, and the exit status.

main.py and sweep.py take a config besides; see command_line.py.
"""

import re
from collections.abc import Callable, Sequence

from absl import flags

from mnist_flax.errors import UserError, exit_status

_HELP = frozenset({"-h", "--help", "-help", "--helpfull"})

DefineFlags = Callable[[flags.FlagValues], None]


def run(
    argv: Sequence[str],
    text: str,
    define_flags: DefineFlags,
    command: Callable[[flags.FlagValues, list[str]], None],
) -> int:
    """Runs a command, or prints its help.

    Args:
      argv: the command line without the name of the program. '--save-preview' and
        '--save_preview' are the same.
      text: what --help prints above the flags.
      define_flags: defines them.
      command: given the flags and the other arguments.

    Returns:
      The exit status; see `errors.exit_status`.
    """

    def body() -> None:
        values = flags.FlagValues()
        define_flags(values)
        if _HELP & set(argv):
            defined = values.get_help(include_special_flags=False).strip().partition("\n")[2]
            print("\n".join([text, "Flags:", defined]))
            return
        command(values, _parse(argv, values))

    return exit_status(body)


def define_network(values: flags.FlagValues) -> None:
    """The two flags that name a network; `trained.choose` checks them."""
    flags.DEFINE_string("workdir", None, "Folder of the run that trained the network.", values)
    flags.DEFINE_string(
        "weights", None, "Instead of --workdir: a .safetensors, .pt or .pth file.", values
    )


def no_arguments(rest: list[str]) -> None:
    """Raises UserError if there are arguments that belong to no flag."""
    if rest:
        raise UserError(f"unexpected argument {rest[0]!r} (--help lists the flags)")


def _parse(argv: Sequence[str], values: flags.FlagValues) -> list[str]:
    """Reads the flags of a command line, and returns its other arguments."""
    end = argv.index("--") if "--" in argv else len(argv)
    names = [
        re.sub(r"^--?[a-z-]+", lambda name: name[0][:2] + name[0][2:].replace("-", "_"), word)
        for word in argv[:end]
    ]
    try:
        # absl takes the first for the name of the program.
        return values(["mnist_flax", *names, *argv[end:]])[1:]
    except flags.Error as error:
        raise UserError(f"{error} (--help lists the flags)") from None
