"""What the commands share: flags with dashes, --help, and one line for what is wrong."""

import pytest
from absl import flags

from mnist_flax.cli import command


def define(values: flags.FlagValues) -> None:
    flags.DEFINE_string("save_to", None, "Where.", values)
    flags.DEFINE_bool("json", False, "How.", values)


@pytest.mark.parametrize("flag", ["--save-to=a-b", "--save_to=a-b", "-save-to=a-b"])
def test_dashes_in_a_flag(flag: str) -> None:
    found = []
    argv = [flag, "c-d", "--json", "--", "--e-f", "-"]
    status = command.run(argv, "", define, lambda *both: found.append(both))
    assert status == 0
    ((values, rest),) = found
    assert (values.save_to, values.json, rest) == ("a-b", True, ["c-d", "--e-f", "-"])


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--save-tow=x"], "Unknown command line flag 'save_tow'"),
        (["--save-to"], "Missing value for flag --save_to"),
        (["--json=perhaps"], "flag --json=perhaps"),
        (["more"], "unexpected argument 'more'"),
    ],
)
def test_what_is_wrong_is_one_line(argv: list[str], words: str, capsys) -> None:
    status = command.run(argv, "", define, lambda _, rest: command.no_arguments(rest))
    assert status == 2
    out, err = capsys.readouterr()
    assert words in err
    assert err.count("\n") == 1
    assert not out


@pytest.mark.parametrize("flag", ["-h", "--help", "--helpfull"])
def test_help_runs_nothing(flag: str, capsys) -> None:
    def command(values: flags.FlagValues, rest: list[str]) -> None:
        raise AssertionError

    assert command.run(["--json", flag], "A text.", define, command) == 0
    out = capsys.readouterr().out
    assert out.startswith("A text.\nFlags:")
    assert "--save_to" in out
