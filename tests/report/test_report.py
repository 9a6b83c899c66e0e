"""The command that writes a report: what it replaces, how it ends, and what it refuses."""

import errno
import os
import shutil
from pathlib import Path

import pytest
from helpers.refusals import assert_refused
from helpers.trained_runs import write_run

from mnist_flax.report import build_page, command
from mnist_flax.runs import files, pages

MARK = pages.mark(command.NAME)


def content(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")
    }


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the command write a small page with one plot."""
    page = MARK + b"new", {"loss": b"new"}
    monkeypatch.setattr(build_page, "build", lambda *_: page)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", test_split="test[:60]")


@pytest.mark.usefixtures("quick")
def test_an_earlier_report_is_replaced(run: Path) -> None:
    (run / "report.html").write_bytes(MARK + b"old")
    (run / "report").mkdir()
    (run / "report" / "loss.png").write_bytes(b"old")
    (run / "report" / "notes.txt").write_bytes(b"mine")
    assert command.main(["--workdir", str(run)]) == 0
    assert (run / "report.html").read_bytes() == MARK + b"new"
    assert {path.name: path.read_bytes() for path in (run / "report").iterdir()} == {
        "loss.png": b"new",
        "notes.txt": b"mine",
    }


@pytest.mark.usefixtures("quick")
def test_what_is_no_report_is_left_alone(run: Path, capsys) -> None:
    page, folder = run / "report.html", run / "report"

    def assert_left_alone(words: str) -> None:
        before = content(run)
        assert_refused(command.main, ["--workdir", str(run)], words, capsys)
        assert content(run) == before

    page.write_text("<html>mine</html>")
    assert_left_alone(
        f"{page} is not a page that mnist_flax.report wrote; move it out of the way"
    )
    page.unlink()
    page.mkdir()
    assert_left_alone(f"{page} cannot be read (Is a directory)")
    page.rmdir()
    folder.write_text("mine")
    assert_left_alone(f"{folder} is not a folder")


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("inner", [False, True], ids=["run", "figures"])
def test_a_folder_that_cannot_be_written(run: Path, inner: bool, capsys, monkeypatch) -> None:
    """Root may write everywhere: the system's answer is made up."""
    (run / "report").mkdir()
    closed = run / "report" if inner else run
    check = files.check_room

    def check_room(folder: Path, size: int) -> None:
        if folder == closed:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        check(folder, size)

    monkeypatch.setattr(files, "check_room", check_room)
    before = content(run)
    words = f"no report can be written in {closed} (Read-only file system)"
    assert_refused(command.main, ["--workdir", str(run)], words, capsys)
    assert content(run) == before


@pytest.mark.usefixtures("quick")
def test_a_disk_that_fails_leaves_the_earlier_report(run: Path, capsys, monkeypatch) -> None:
    (run / "report.html").write_bytes(MARK + b"old")
    sync = files.sync

    def fail(path: Path) -> None:
        if "report.html" in path.name:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        sync(path)

    monkeypatch.setattr(files, "sync", fail)
    assert command.main(["--workdir", str(run)]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert (run / "report.html").read_bytes() == MARK + b"old"
    assert not list(run.rglob("*.tmp"))


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", "{}", '{"versions": 5}', "[" * 100_000, "\xff"]
)
def test_a_summary_that_is_none(run: Path, text: str, capsys) -> None:
    (run / "summary.json").write_text(text, encoding="latin1")
    words = f"{run}/summary.json cannot be read"
    assert_refused(command.main, ["--workdir", str(run)], words, capsys)
    assert not (run / "report.html").exists()


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "--workdir is missing"),
        (["--workdir="], "--workdir is empty; name a path"),
        (["--wrkdir", "run"], "unknown flag --wrkdir; did you mean --workdir?"),
        (["run"], "unexpected argument 'run'"),
        (["--workdir", "run"], "run is not the folder of a run: it has no config.json"),
        (["--workdir", "a" * 300], "File name too long"),
    ],
)
def test_a_command_line_that_is_wrong(argv, words, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert_refused(command.main, argv, words, capsys)
    assert not list(tmp_path.iterdir())


def test_a_run_without_a_checkpoint(run: Path, capsys) -> None:
    shutil.rmtree(run / "checkpoints")
    assert_refused(command.main, ["--workdir", str(run)], "has no checkpoint yet", capsys)
    assert [path.name for path in run.iterdir()] == ["config.json"]


def test_help(capsys) -> None:
    assert command.main(["--help"]) == 0
    captured = capsys.readouterr()
    for word in ("Example:", "--workdir", "report.html", "Exit status"):
        assert word in captured.out
    assert captured.err == ""
