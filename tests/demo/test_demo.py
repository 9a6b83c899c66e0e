"""The command that shows the page or writes it: what it says, how it ends, how it says no."""

import contextlib
import errno
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_evaluate import write_run

from mnist_flax.demo import build_page, command
from mnist_flax.runs import files
from mnist_flax.trained import loading

WEIGHTS = Path(__file__).parents[1] / "fixtures" / "trained.safetensors"


@pytest.fixture(scope="module")
def workdir(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run. Not to be changed."""
    return write_run(tmp_path_factory.mktemp("demo") / "run", data_dir)


@contextlib.contextmanager
def started(*argv: str) -> Iterator[subprocess.Popen[str]]:
    """The command as a person types it, for as long as it lasts."""
    # A shell starts what it runs in the background with SIGINT ignored.
    code = (
        "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "runpy.run_module('mnist_flax.demo', run_name='__main__')"
    )
    line = [sys.executable, "-c", code, *argv]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with process:
        try:
            yield process
        finally:
            process.kill()


def test_it_shows_the_page_until_it_is_stopped(workdir) -> None:
    before = sorted(workdir.rglob("*"))
    with started("--workdir", str(workdir), "--port", "0") as process:
        line = process.stdout.readline()
        (address,) = re.findall(
            r"^Draw a digit at (http://127\.0\.0\.1:\d+/) \(Ctrl-C ends it\)$", line
        )
        with urllib.request.urlopen(address, timeout=10) as answer:
            page = answer.read()
        with socket.create_connection(("127.0.0.1", int(address[:-1].rpartition(":")[2]))):
            # With somebody still connected.
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "")
    assert err == "interrupted: the page is no longer served\n"
    assert page == build_page.build(loading.load(workdir))
    assert sorted(workdir.rglob("*")) == before


def test_it_writes_the_page(workdir, tmp_path, capsys) -> None:
    folder = tmp_path / "page"
    assert command.main(["--workdir", str(workdir), "--export-dir", str(folder)]) == 0
    (path,) = folder.iterdir()
    page = path.read_bytes()
    assert page == build_page.build(loading.load(workdir))
    captured = capsys.readouterr()
    assert captured.err == ""
    size = f"{len(page):,} bytes"
    assert captured.out == (
        f"Page: {folder}/index.html, {size}; open it, or put it on any web server\n"
    )


@pytest.mark.parametrize("flag", ["--export-dir=page", "--export_dir=page", "-export-dir=page"])
def test_a_folder_that_is_there_and_empty(flag, workdir, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "page").mkdir()
    assert command.main(["--workdir", str(workdir), flag]) == 0
    assert [path.name for path in (tmp_path / "page").iterdir()] == ["index.html"]


def test_a_file_of_weights(tmp_path, capsys) -> None:
    assert command.main(["--weights", str(WEIGHTS), "--export-dir", str(tmp_path)]) == 0
    expected = build_page.build(loading.from_weights(WEIGHTS))
    assert (tmp_path / "index.html").read_bytes() == expected
    assert capsys.readouterr().err == ""


def test_a_run_that_never_finished(data_dir, tmp_path, capsys) -> None:
    run = write_run(tmp_path / "run", data_dir, num_epochs=2)
    argv = ["--workdir", str(run), "--export-dir", str(tmp_path / "page")]
    assert command.main(argv) == 0
    captured = capsys.readouterr()
    assert captured.err == f"warning: the run in {run} is used as it was after epoch 1 of 2\n"
    assert "trained for 1 of 2 epochs" in (tmp_path / "page" / "index.html").read_text("utf-8")


def assert_refused(argv: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line, and status 2."""
    assert command.main(argv) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("error: ")
    assert words in line


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--export-dir=page"], "give either --workdir, a run, or --weights, a file"),
        (["--port=0"], "give either --workdir, a run, or --weights, a file"),
        (["--workdir=run", "--weights=net.pt", "--port=0"], "give either --workdir"),
        (["--wrkdir", "run"], "Unknown command line flag 'wrkdir'"),
        (["run"], "unexpected argument 'run'"),
        (["--workdir=run", "--port=0"], "run is not the folder of a run: it has no config"),
        (["--workdir=run", "--export-dir=page"], "run is not the folder of a run"),
        (["--weights=net.pt", "--export-dir=page"], "net.pt"),
        (["--workdir=run", "--port=70000"], "flag --port=70000"),
        (["--workdir=run", "--port=http"], "flag --port=http"),
        (["--workdir=run", "--export-dir="], "--export-dir is empty; name a folder"),
        (["--workdir=run", "--port=0", "--export-dir=page"], "takes no --port"),
    ],
)
def test_a_command_line_that_is_wrong(argv, words, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert_refused(argv, words, capsys)
    assert not list(tmp_path.iterdir())


def test_a_run_without_a_checkpoint(data_dir, tmp_path, capsys) -> None:
    run = write_run(tmp_path / "run", data_dir)
    for path in (run / "checkpoints").iterdir():
        path.rename(tmp_path / path.name)
    argv = ["--workdir", str(run), "--export-dir", str(tmp_path / "page")]
    assert_refused(argv, "has no checkpoint yet", capsys)
    assert not (tmp_path / "page").exists()


def test_a_port_that_is_taken(workdir, capsys) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        argv = ["--workdir", str(workdir), "--port", str(taken.getsockname()[1])]
        assert_refused(argv, "cannot be used (Address already in use); choose another", capsys)


def test_a_folder_that_holds_something(workdir, tmp_path, capsys) -> None:
    (tmp_path / "index.html").write_text("mine")
    argv = ["--workdir", str(workdir), "--export-dir", str(tmp_path)]
    assert_refused(argv, f"--export-dir {tmp_path} is not empty; empty it, or name", capsys)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("name", ["file", "file/page", "none/page", "dangling", "x" * 300])
def test_a_folder_that_cannot_be_made(name, workdir, tmp_path, capsys) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "dangling").symlink_to(tmp_path / "none" / "page")
    before = sorted(tmp_path.rglob("*"))
    argv = ["--workdir", str(workdir), "--export-dir", str(tmp_path / name)]
    assert_refused(argv, "cannot be written (", capsys)
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("fresh", [True, False])
def test_a_disk_that_is_full(fresh, workdir, tmp_path, monkeypatch, capsys) -> None:
    """As long as it was looked at, there was room."""
    folder = tmp_path / "page"
    if not fresh:
        folder.mkdir()

    def no_room(path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files, "sync", no_room)
    assert command.main(["--workdir", str(workdir), "--export-dir", str(folder)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line == f"error: No space left on device while writing {folder}/index.html"
    assert folder.exists() is not fresh
    assert not list(folder.glob("*"))


def test_a_run_whose_config_is_no_config(tmp_path, capsys) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"seed": -1}))
    assert_refused(["--workdir", str(tmp_path), "--port", "0"], "config.json", capsys)


def test_help(capsys) -> None:
    assert command.main(["--help"]) == 0
    captured = capsys.readouterr()
    for word in ("Examples:", "--workdir", "--weights", "--port", "--export_dir", "Ctrl-C"):
        assert word in captured.out
    assert captured.err == ""
