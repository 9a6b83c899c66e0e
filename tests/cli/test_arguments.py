"""The parser that all commands share: flags, paths, a config, and what is wrong in a line."""

import argparse
from pathlib import Path

import pytest

from mnist_flax import config as config_lib
from mnist_flax.cli import arguments, exit_status
from mnist_flax.errors import UserError


def add_flags(parser: arguments.Parser) -> None:
    parser.add_path("--save-to", "where")
    parser.add_argument("--json", action="store_true", help="how")
    parser.add_argument("words", nargs="*")


def parse(*argv: str) -> argparse.Namespace:
    args = arguments.parse(argv, "", add_flags)
    assert args is not None
    return args


@pytest.mark.parametrize("flag", ["--save-to=a-b_c", "--save_to=a-b_c"])
def test_dashes_in_a_flag(flag: str) -> None:
    args = parse(flag, "c-d", "--json", "e_f", "--", "--g-h", "-")
    assert args.save_to == Path("a-b_c")
    assert args.json is True
    assert args.words == ["c-d", "e_f", "--g-h", "-"]


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["--save-tow=x"], "unknown flag --save-tow; did you mean --save-to?"),
        (["--wibble"], "unknown flag --wibble; --help lists the flags"),
        (["--save"], "unknown flag --save; did you mean --save-to?"),
        (["--save-to"], "argument --save-to: expected one argument (--help lists the flags)"),
        (["--json=perhaps"], "argument --json: ignored explicit argument 'perhaps' (--help"),
        (["--save-to="], "--save-to is empty; name a path, or leave it out"),
        (["--save-to=gs://b/r"], "--save-to=gs://b/r is an address; name a local path"),
        (["--save-to=~nobody-of-that-name/x"], "--save-to=~nobody-of-that-name/x: "),
    ],
)
def test_what_is_wrong_is_one_line(
    argv: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(args: argparse.Namespace) -> None:
        raise AssertionError

    assert exit_status.run(argv, "", add_flags, command) == 2
    out, err = capsys.readouterr()
    assert err.startswith(f"error: {line}")
    assert err.count("\n") == 1
    assert not out


def test_an_argument_that_no_flag_takes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="unexpected argument 'more'; --help lists the flags"):
        arguments.parse(["more"], "", lambda parser: None)
    with pytest.raises(UserError, match="'more'; a config file goes after --config"):
        arguments.parse(["more"], "", lambda parser: parser.add_config())


def test_the_users_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert parse("--save-to=~/x").save_to == tmp_path / "x"
    assert parse("--save-to", "~").save_to == tmp_path
    assert parse("--save-to=a~/x").save_to == Path("a~/x")


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_runs_nothing(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    def command(args: argparse.Namespace) -> None:
        raise AssertionError

    assert exit_status.run(["--json", flag], "A text.", add_flags, command) == 0
    out = capsys.readouterr().out
    assert out.startswith("A text.\n")
    assert "--save-to PATH" in out


def parse_config(*argv: str) -> argparse.Namespace:
    args = arguments.parse(argv, "", lambda parser: parser.add_config())
    assert args is not None
    return args


def test_a_config_and_its_fields(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    default = config_lib.default_path().read_text()
    path.write_text(default.replace("config.batch_size = 128", "config.batch_size = 64"))
    before = parse_config(
        "--config.seed=3", "--config", str(path), "--config.augment.degrees", "7"
    )
    assert (before.config.seed, before.config.batch_size) == (3, 64)
    assert before.config.augment.degrees == 7.0
    assert isinstance(before.config.augment.degrees, float)
    assert parse_config().config == config_lib.load(config_lib.default_path())
    assert parse_config("--config.seed=1", "--config.seed=2").config.seed == 2


def test_help_where_the_package_lies_in_an_odd_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "100%d"
    folder.mkdir()
    path = folder / "default.py"
    path.write_text(config_lib.default_path().read_text())
    monkeypatch.setattr(config_lib, "default_path", lambda: path)
    assert arguments.parse(["--help"], "", lambda parser: parser.add_config()) is None
    assert "100%d/default.py" in capsys.readouterr().out.replace("\n", "").replace(" ", "")
