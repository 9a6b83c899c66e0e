"""The command: flags, the folder of the run, and the answer to every mistake."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ml_collections import ConfigDict

from mnist_flax import config as config_lib
from mnist_flax.errors import TrainingError, UserError
from mnist_flax.main import main
from mnist_flax.runs import workdirs

Train = Callable[..., dict[str, Any]]
Install = Callable[[Train], None]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def install_train(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts a function in the place of train.train_and_evaluate."""

    def install(train: Train) -> None:
        module = ModuleType("mnist_flax.train")
        module.train_and_evaluate = train  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "mnist_flax.train", module)

    return install


@pytest.fixture
def runs(install_train: Install) -> list[tuple[ConfigDict, Path]]:
    """Replaces training; lists the config and the workdir of every run."""
    runs: list[tuple[ConfigDict, Path]] = []

    def train(
        config: ConfigDict, workdir: Path | None, *, overwrite: bool, resume: bool
    ) -> dict[str, Any]:
        with workdirs.hold(workdir, may_hold_a_run=overwrite or resume) as folder:
            runs.append((config, folder))
            (folder / "notes.txt").touch()
        return {}

    install_train(train)
    return runs


def test_config_workdir_and_overrides(runs: list[tuple[ConfigDict, Path]]) -> None:
    path = str(config_lib.default_path())
    overrides = ["--config.num_epochs=3", "--config.augment.degrees", "15"]
    assert main(["--config", path, "--workdir", "here", *overrides]) == 0
    ((config, workdir),) = runs
    expected = config_lib.load(path)
    expected.num_epochs = 3
    expected.augment.degrees = 15.0
    assert config == expected
    assert workdir == Path("here")
    assert workdir.is_dir()


def test_defaults(runs: list[tuple[ConfigDict, Path]]) -> None:
    assert main([]) == 0
    assert main([]) == 0
    (config, first), (_, second) = runs
    assert config == config_lib.load(config_lib.default_path())
    assert first != second
    assert {first.parent, second.parent} == {Path("runs")}


def test_overrides_of_one_call_do_not_reach_the_next(
    runs: list[tuple[ConfigDict, Path]],
) -> None:
    assert main(["--config.seed=3"]) == 0
    assert main([]) == 0
    assert [config.seed for config, _ in runs] == [3, 0]


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["--config.num_epochs=0"], "config.num_epochs is 0; it must be an integer from 1 to"),
        (["--config.num_epochs=1.5"], "config.num_epochs is '1.5'; it must be an integer"),
        (["--config.num_epochs", "x"], "config.num_epochs is 'x'; it must be an integer"),
        (["--config.learning_rate=nan"], "config.learning_rate is nan; it must be a finite"),
        (["--config.num_epoch=3"], "is unknown; did you mean config.num_epochs?"),
        (["--config.get=3"], "config.get is unknown; --help lists the fields"),
        (["--config.augment={}"], "config.augment is a group; its fields are"),
        (["--config.augment.degrees.x=3"], "did you mean config.augment.degrees?"),
        (["--config.optimizer=sgd"], "config.optimizer is 'sgd'; it must be 'adam'"),
        (["--config.seed"], "argument --config.seed: expected one argument"),
        (["--noconfig.seed"], "unknown flag --noconfig.seed"),
        (["--config=nowhere.py"], "the config file nowhere.py does not exist"),
        (
            ["--config=nowhere.py", "--config.seed=3"],
            "the config file nowhere.py does not exist",
        ),
        (["--workdri=x"], "unknown flag --workdri; did you mean --workdir?"),
        (["--workdir"], "argument --workdir: expected one argument"),
        (["--workdir=gs://bucket/run"], "--workdir=gs://bucket/run is an address"),
        (["--overwrite=perhaps"], "argument --overwrite: ignored explicit argument 'perhaps'"),
        (["--process=one"], "argument --process: invalid int value: 'one'"),
        (["--processes=2"], "--processes and --process go with --coordinator=HOST:PORT"),
        (["--coordinator=host:1", "--processes=2"], "--coordinator=host:1 is not enough"),
        (
            ["--coordinator=host:1", "--processes=2", "--process=2"],
            "--process=2 does not fit --processes=2; they count from 0",
        ),
        (["configs/default.py"], "unexpected argument 'configs/default.py'"),
        (["--workdir=file/run"], "the workdir file/run cannot be written (Not a directory)"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    argv: list[str],
    line: str,
    runs: list[tuple[ConfigDict, Path]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("file").touch()
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"error: .*\n", err)
    assert line in err
    assert not runs
    assert [path.name for path in Path().iterdir()] == ["file"]


def test_no_folder_can_be_made(
    runs: list[tuple[ConfigDict, Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("runs").touch()
    assert main([]) == 2
    assert capsys.readouterr().err == (
        "error: no folder can be made in runs (File exists); choose one with --workdir\n"
    )
    assert not runs


def test_a_run_is_replaced_only_if_asked(
    runs: list[tuple[ConfigDict, Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    workdir = Path("run")
    workdir.mkdir()
    for name in ("summary.json", "notes.txt"):
        (workdir / name).write_text("{}")
    assert main(["--workdir=run"]) == 2
    assert "the workdir run already holds a run (summary.json)" in capsys.readouterr().err
    assert not runs
    assert main(["--workdir=run", "--overwrite"]) == 0
    assert len(runs) == 1


def test_a_run_is_resumed_only_if_asked(
    runs: list[tuple[ConfigDict, Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("run", "checkpoints").mkdir(parents=True)
    assert main(["--workdir=run"]) == 2
    assert "the workdir run already holds a run (checkpoints)" in capsys.readouterr().err
    assert main(["--workdir=run", "--resume", "--overwrite"]) == 2
    assert "--resume and --overwrite exclude each other" in capsys.readouterr().err
    assert not runs
    assert main(["--workdir=run", "--resume"]) == 0
    assert len(runs) == 1


@pytest.mark.parametrize("name", ["config.json", "curves.png", "events.out.tfevents.1.host.2"])
def test_files_that_a_run_would_replace_are_a_run(
    name: str, runs: list[tuple[ConfigDict, Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("mine").mkdir()
    Path("mine", name).write_text("mine")
    assert main(["--workdir=mine"]) == 2
    assert f"already holds a run ({name})" in capsys.readouterr().err
    assert not runs


def test_an_empty_workdir_is_not_the_current_folder(
    runs: list[tuple[ConfigDict, Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--workdir="]) == 2
    assert "--workdir is empty" in capsys.readouterr().err
    assert not runs


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UserError("config.batch_size is 128; it must be at most 100"), 2),
        (TrainingError("the loss is nan at step 12 of epoch 3"), 1),
    ],
)
def test_a_run_that_failed_is_one_line(
    error: Exception, status: int, install_train: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    def train(config: ConfigDict, workdir: Path | None, **flags: bool) -> dict[str, Any]:
        raise error

    install_train(train)
    assert main(["--workdir=run"]) == status
    assert capsys.readouterr() == ("", f"error: {error}\n")


# In the place of training: writes as many lines as its first argument says, and is stopped by
# the signal that the second one names. A shell starts what it runs in the background with
# SIGINT ignored.
STOPPED = """
import os, signal, sys, time, types
signal.signal(signal.SIGINT, signal.default_int_handler)
from mnist_flax.cli import surroundings
from mnist_flax.main import main
from mnist_flax.runs import workdirs
surroundings.whole_process = True
def train(config, workdir, *, overwrite, resume):
    if sys.argv[1] == "none":
        os.kill(os.getpid(), getattr(signal, sys.argv[2]))
        time.sleep(600)
    with workdirs.hold(workdir, may_hold_a_run=False):
        (workdir / "metrics.jsonl").write_text("{}\\n" * int(sys.argv[1]))
        os.kill(os.getpid(), getattr(signal, sys.argv[2]))
        time.sleep(600)
sys.modules["mnist_flax.train"] = types.ModuleType("mnist_flax.train")
sys.modules["mnist_flax.train"].train_and_evaluate = train
sys.exit(main(sys.argv[3:]))
"""


@pytest.mark.parametrize(
    ("name", "epochs", "status", "line"),
    [
        ("SIGINT", "3", 130, "interrupted: epochs done: 3, in run\n"),
        ("SIGINT", "none", 130, "interrupted\n"),
        (
            "SIGTERM",
            "0",
            143,
            "terminated: epochs done: 0, in run; --resume continues after them\n",
        ),
    ],
)
def test_a_signal_says_what_is_done_and_where(
    name: str, epochs: str, status: int, line: str
) -> None:
    process = run_command(STOPPED, epochs, name, "--workdir=run")
    assert process.stderr == line
    assert process.stdout == ""
    assert process.returncode == status


def test_the_command_answers_sigterm_from_its_first_line_on() -> None:
    with start_command("--workdir=run") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "Workdir: run\n"
        process.terminate()
        _, err = process.communicate(timeout=60)
    assert err == "terminated: epochs done: 0, in run; --resume continues after them\n"
    assert process.returncode == 143


@pytest.mark.parametrize("flags", [[], ["--resume"], ["--overwrite"]])
def test_a_second_run_in_a_workdir_is_refused_at_once(
    flags: list[str],
    runs: list[tuple[ConfigDict, Path]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    with workdirs.hold(Path("run"), may_hold_a_run=False):
        assert main(["--workdir=run", *flags]) == 2
    assert capsys.readouterr() == (
        "",
        "error: another process runs in the workdir run; wait for it to end, or choose "
        "another --workdir\n",
    )
    assert not runs
    assert not Path("run").exists()


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([flag]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "python -m mnist_flax.main --config configs/default.py --workdir" in out
    assert "143 for SIGTERM" in out
    for name in ("--config PATH", "--workdir PATH", "--overwrite", "--resume"):
        assert name in out
    for name in config_lib.RULES:
        assert f"--config.{name}=" in out
    assert max(map(len, out.splitlines())) < 120


def start_command(*argv: str, code: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *(["-c", code] if code else ["-m", "mnist_flax.main"]), *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(config_lib.__file__).parents[1])},
    )


def run_command(code: str, *argv: str) -> subprocess.CompletedProcess[str]:
    with start_command(*argv, code=code) as process:
        out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def test_the_command_itself() -> None:
    process = run_command("", "--config.num_epochs=0")
    assert process.returncode == 2
    assert process.stdout == ""
    assert process.stderr == (
        "error: config.num_epochs is 0; it must be an integer from 1 to 10000\n"
    )


def test_bad_input_is_answered_without_importing_jax() -> None:
    program = """
import json, sys
from mnist_flax.main import main
print(json.dumps([main(sys.argv[1:]), "jax" in sys.modules, "matplotlib" in sys.modules]))
"""
    process = run_command(program, "--config.num_epochs=0")
    assert json.loads(process.stdout) == [2, False, False]
