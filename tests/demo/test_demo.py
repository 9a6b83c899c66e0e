"""The command that writes the page and opens it: what it says, how it ends, what it refuses."""

import errno
import json
import os
import subprocess
import sys
import webbrowser
from pathlib import Path

import pytest
from helpers import forks
from helpers.refusals import assert_refused
from helpers.trained_runs import WEIGHTS, write_run

from mnist_flax.demo import build_page, command
from mnist_flax.runs import files, pages
from mnist_flax.trained import loading

MARK = pages.mark(command.NAME)


@pytest.fixture(autouse=True)
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that the browser of a desktop is asked to open; none really is."""
    addresses: list[str] = []
    monkeypatch.setattr(webbrowser, "open", addresses.append)
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.delenv("CI", raising=False)
    return addresses


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run. Nothing but its page is to be changed."""
    return write_run(tmp_path_factory.mktemp("demo") / "run")


def test_it_writes_the_page_into_the_run_and_opens_it(tmp_path, opened, capsys) -> None:
    run = write_run(tmp_path / "a run")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert command.main(["--workdir", str(run)]) == 0
    page = run / "demo" / "index.html"
    content = page.read_bytes()
    assert content == build_page.build(loading.load(run))
    assert opened == [f"file://{tmp_path}/a%20run/demo/index.html"]
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out == (
        f"Page: {page}, {len(content):,} bytes, for any browser or web server\n"
    )
    after = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert after == before | {page: content}


def test_as_a_process(finished, tmp_path) -> None:
    argv = [*forks.python(), "-m", "mnist_flax.demo", "--workdir", finished]
    argv += ["--export-dir", "page", "--no-open"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Page: page/index.html, ")
    assert [path.name for path in tmp_path.rglob("*")] == ["page", "index.html"]


@pytest.mark.parametrize("flag", ["--export-dir=page", "--export_dir=page"])
def test_a_folder_that_is_there(flag, finished, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "other.html").write_text("mine")
    assert command.main(["--workdir", str(finished), flag]) == 0
    assert sorted(path.name for path in (tmp_path / "page").iterdir()) == [
        "index.html",
        "other.html",
    ]
    assert (tmp_path / "page" / "other.html").read_text() == "mine"


def test_a_file_of_weights(tmp_path, opened, capsys) -> None:
    assert command.main(["--weights", str(WEIGHTS), "--export-dir", str(tmp_path)]) == 0
    expected = build_page.build(loading.from_weights(WEIGHTS))
    assert (tmp_path / "index.html").read_bytes() == expected
    assert opened == [(tmp_path / "index.html").as_uri()]
    assert capsys.readouterr().err == ""


def test_a_run_that_never_finished(tmp_path, capsys) -> None:
    run = write_run(tmp_path / "run", num_epochs=2)
    assert command.main(["--workdir", str(run)]) == 0
    captured = capsys.readouterr()
    assert captured.err == f"warning: the run in {run} is used as it was after epoch 1 of 2\n"
    assert "trained for 1 of 2 epochs" in (run / "demo" / "index.html").read_text("utf-8")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the command write a small page, of whatever network."""
    monkeypatch.setattr(loading, "choose", lambda *_: None)
    monkeypatch.setattr(build_page, "build", lambda _: MARK + b"new")


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("environment", "flags", "is_opened"),
    [
        ({"DISPLAY": ":0"}, [], True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, [], True),
        ({"BROWSER": "firefox"}, [], True),
        ({"DISPLAY": ""}, [], False),
        ({}, [], False),
        ({"DISPLAY": ":0", "CI": "true"}, [], False),
        ({"DISPLAY": ":0"}, ["--no-open"], False),
    ],
)
def test_when_it_opens_a_browser(
    environment, flags, is_opened, tmp_path, monkeypatch, opened
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER", "CI"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert command.main(["--workdir=run", f"--export-dir={tmp_path}", *flags]) == 0
    assert opened == [(tmp_path / "index.html").as_uri()] * is_opened


@pytest.mark.usefixtures("quick")
def test_a_mac_has_a_display(tmp_path, monkeypatch, opened) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.delenv("DISPLAY")
    assert command.main(["--workdir=run", f"--export-dir={tmp_path}"]) == 0
    assert len(opened) == 1


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("error", [webbrowser.Error("none"), OSError(errno.ENOENT, "none")])
def test_no_browser_is_no_failure(error, tmp_path, monkeypatch, capsys) -> None:
    def fail(address: str) -> bool:
        raise error

    monkeypatch.setattr(webbrowser, "open", fail)
    assert command.main(["--workdir=run", f"--export-dir={tmp_path}"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--export-dir=page"], "give either --workdir, a run, or --weights, a file"),
        ([], "give either --workdir, a run, or --weights, a file"),
        (["--workdir=run", "--weights=net.pt"], "give either --workdir"),
        (["--wrkdir", "run"], "unknown flag --wrkdir; did you mean --workdir?"),
        (["run"], "unexpected argument 'run'"),
        (["--workdir=run"], "run is not the folder of a run: it has no config"),
        (["--workdir=run", "--export-dir=page"], "run is not the folder of a run"),
        (["--weights=net.pt", "--export-dir=page"], "net.pt"),
        (["--weights=net.pt"], "--weights needs --export-dir, a folder to write the page into"),
        (["--workdir=run", "--port=0"], "unknown flag --port"),
        (["--workdir=run", "--export-dir="], "--export-dir is empty; name a path"),
    ],
)
def test_a_command_line_that_is_wrong(
    argv, words, tmp_path, monkeypatch, opened, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    assert_refused(command.main, argv, words, capsys)
    assert not list(tmp_path.iterdir())
    assert not opened


def test_a_run_without_a_checkpoint(tmp_path, capsys) -> None:
    run = write_run(tmp_path / "run")
    for path in (run / "checkpoints").iterdir():
        path.rename(tmp_path / path.name)
    assert_refused(command.main, ["--workdir", str(run)], "has no checkpoint yet", capsys)
    assert not (run / "demo").exists()


@pytest.mark.usefixtures("quick")
def test_an_earlier_page_is_replaced(tmp_path) -> None:
    (tmp_path / "index.html").write_bytes(MARK + b"old")
    assert command.main(["--workdir=run", f"--export-dir={tmp_path}"]) == 0
    assert (tmp_path / "index.html").read_bytes() == MARK + b"new"


def test_a_page_has_its_mark(finished) -> None:
    assert MARK in build_page.build(loading.load(finished))[:300]


@pytest.mark.usefixtures("quick")
def test_what_is_no_page_of_its_own_is_left_alone(tmp_path, capsys) -> None:
    page = tmp_path / "index.html"
    argv = ["--workdir=run", f"--export-dir={tmp_path}"]
    page.write_text("mine")
    assert_refused(
        command.main, argv, f"{page} is not a page that mnist_flax.demo wrote; move it", capsys
    )
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]
    page.unlink()
    page.mkdir()
    assert_refused(command.main, argv, f"{page} cannot be read (Is a directory)", capsys)
    page.rmdir()
    page.symlink_to(tmp_path / "none")
    assert_refused(
        command.main, argv, f"{page} cannot be read (No such file or directory)", capsys
    )
    assert page.is_symlink()


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("name", ["file", "file/page", "none/page", "dangling", "x" * 300])
def test_a_folder_that_cannot_be_made(name, tmp_path, capsys) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "dangling").symlink_to(tmp_path / "none" / "page")
    before = sorted(tmp_path.rglob("*"))
    argv = ["--workdir=run", "--export-dir", str(tmp_path / name)]
    assert_refused(command.main, argv, "cannot be written (", capsys)
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("fresh", [True, False])
@pytest.mark.parametrize("function", ["check_room", "sync"])
def test_a_disk_that_is_full(fresh, function, tmp_path, monkeypatch, capsys) -> None:
    """It is full before the page is written, or while it is."""
    folder = tmp_path / "page"
    if not fresh:
        folder.mkdir()

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files, function, fail)
    status = command.main(["--workdir=run", "--export-dir", str(folder)])
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    if function == "sync":
        assert status == 1
        assert line == f"error: No space left on device while writing {folder}/index.html"
    else:
        assert status == 2
        assert line == (
            f"error: the folder {folder} cannot be written (No space left on device); name "
            "another one with --export-dir"
        )
    assert folder.exists() is not fresh
    assert not list(folder.glob("*"))


def test_a_run_whose_config_is_no_config(tmp_path, capsys) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"seed": -1}))
    assert_refused(command.main, ["--workdir", str(tmp_path)], "config.json", capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_help(capsys) -> None:
    assert command.main(["--help"]) == 0
    captured = capsys.readouterr()
    words = ("Examples:", "--workdir", "--weights", "--export-dir", "--no-open", "http.server")
    for word in words:
        assert word in captured.out
    assert captured.err == ""
