"""The folder of a run: made, checked, held by one process at a time, and left as it was."""

import errno
import fcntl
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NoReturn

import pytest

from mnist_flax.errors import UserError
from mnist_flax.runs import workdirs


def content(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")
    }


def test_a_new_one_is_made_with_its_parents_and_stays_if_it_is_used(tmp_path: Path) -> None:
    with workdirs.hold(tmp_path / "a" / "b", may_hold_a_run=False) as workdir:
        assert workdir == tmp_path / "a" / "b"
        assert workdirs.held == [workdir]
        (workdir / "config.json").touch()
    assert not workdirs.held
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["config.json"]


def test_a_new_one_is_removed_if_nothing_came_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    for workdir in ("new", None, "mine"):
        with pytest.raises(UserError), workdirs.hold(workdir, may_hold_a_run=False):
            raise UserError("bad data")
    assert {path.name for path in tmp_path.iterdir()} == {"mine"}


def test_two_new_ones_at_once_get_names_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with (
        workdirs.hold(None, may_hold_a_run=False) as first,
        workdirs.hold(None, may_hold_a_run=False) as second,
    ):
        assert first != second
        assert {first.parent, second.parent} == {Path("runs")}
        assert re.fullmatch(r"\d{8}-\d{6}", first.name)


def test_epochs_on_record(tmp_path: Path) -> None:
    assert workdirs.epochs_on_record(tmp_path) == 0
    # The power failed in the middle of the third line.
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 1}\n{"epoch": 2}\n{"epo')
    assert workdirs.epochs_on_record(tmp_path) == 2


def test_stale_files_are_those_of_a_run_and_no_others(tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    # As if a process had been killed while it wrote the hidden ones.
    stale = ["summary.json", "curves.png", "events.out.tfevents.1.host.2", "report/curves.png"]
    stale += [".summary.json.123.tmp", "report/.curves.png.123.tmp"]
    kept = ["notes.txt", "config.json", "report/mine.txt"]
    for name in (*stale, *kept):
        (tmp_path / name).touch()
    workdirs.remove_stale(tmp_path, keep={"config.json"})
    files = {str(x.relative_to(tmp_path)) for x in tmp_path.rglob("*") if x.is_file()}
    assert files == set(kept)


@pytest.mark.parametrize(
    "name", ["metrics.jsonl", "events.out.tfevents.1.host.2", "checkpoints"]
)
def test_one_that_holds_a_run_is_refused_unless_it_may(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir() if name == "checkpoints" else (tmp_path / name).touch()
    (tmp_path / "notes.txt").write_text("mine")
    before = content(tmp_path)
    with (
        pytest.raises(UserError, match=rf"already holds a run \({name}\); .*--resume"),
        workdirs.hold(tmp_path, may_hold_a_run=False),
    ):
        pass
    with workdirs.hold(tmp_path, may_hold_a_run=True):
        pass
    assert content(tmp_path) == before


def test_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for workdir in (tmp_path / "file", tmp_path / "file" / "run"):
        with (
            pytest.raises(UserError, match="cannot be written") as error,
            workdirs.hold(workdir, may_hold_a_run=True),
        ):
            pass
        assert str(workdir) in str(error.value)


@pytest.mark.parametrize("folder", ["", "checkpoints"])
def test_it_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    (tmp_path / "checkpoints").mkdir()
    make = tempfile.TemporaryFile

    # Permissions do not bind root, who runs the tests in many a container.
    def refuse(*, dir: Path, **kwargs: Any) -> Any:
        if dir == tmp_path / folder:
            raise PermissionError(errno.EACCES, "Permission denied")
        return make(dir=dir, **kwargs)

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with (
        pytest.raises(UserError, match=r"cannot be written \(Permission denied\)") as error,
        workdirs.hold(tmp_path, may_hold_a_run=True),
    ):
        pass
    assert f"the workdir {tmp_path / folder} cannot" in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoints"]


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> NoReturn:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with (
        pytest.raises(UserError, match=r"cannot be written \(No locks available\)"),
        workdirs.hold(tmp_path, may_hold_a_run=True),
    ):
        pass


@pytest.mark.parametrize("may_hold_a_run", [True, False])
def test_a_second_one_is_refused_and_changes_nothing(
    tmp_path: Path, may_hold_a_run: bool
) -> None:
    with workdirs.hold(tmp_path, may_hold_a_run=False):
        (tmp_path / "metrics.jsonl").touch()
        before = content(tmp_path)
        with (
            pytest.raises(UserError, match="another process runs in the workdir"),
            workdirs.hold(tmp_path, may_hold_a_run=may_hold_a_run),
        ):
            pass
        assert content(tmp_path) == before
    with workdirs.hold(tmp_path, may_hold_a_run=True):
        pass


HOLD = """
import pathlib, sys, time
from mnist_flax.runs import workdirs
with workdirs.hold(pathlib.Path(sys.argv[1]), may_hold_a_run=True):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_process_that_was_killed_holds_nothing(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(workdirs.__file__).parents[2])},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with (
            pytest.raises(UserError, match="another process"),
            workdirs.hold(tmp_path, may_hold_a_run=True),
        ):
            pass
        process.kill()
    with workdirs.hold(tmp_path, may_hold_a_run=True):
        pass
    assert not list(tmp_path.iterdir())


def test_a_lock_that_its_holder_removed_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock, path = fcntl.flock, tmp_path / ".lock"

    def remove_first(descriptor: int, operation: int) -> None:
        if path.exists() and not path.stat().st_size:
            # As if the holder had ended between opening the file and locking it.
            path.unlink()
            path.write_text("another one")
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", remove_first)
    with (
        workdirs.hold(tmp_path, may_hold_a_run=True),
        pytest.raises(UserError, match="another process"),
        workdirs.hold(tmp_path, may_hold_a_run=True),
    ):
        pass


def test_a_file_that_never_looks_the_same_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some file systems number a file anew each time it is looked at."""
    monkeypatch.setattr(os.path, "samestat", lambda *both: False)
    with workdirs.hold(tmp_path, may_hold_a_run=True) as workdir:
        assert workdir == tmp_path


@pytest.mark.parametrize("name", ["metrics.jsonl", "curves.png", "checkpoints"])
def test_what_is_in_the_way_of_a_run(tmp_path: Path, name: str) -> None:
    """A folder in place of a file, or a link to nothing in place of the checkpoints."""
    path = tmp_path / name
    path.symlink_to(tmp_path / "nowhere") if name == "checkpoints" else path.mkdir()
    with (
        pytest.raises(UserError, match=f"{name} is in the way of a run"),
        workdirs.hold(tmp_path, may_hold_a_run=True),
    ):
        pass


def test_the_parents_that_were_made_are_removed_too(tmp_path: Path) -> None:
    workdir = tmp_path / "a" / "b" / "c"
    with pytest.raises(UserError), workdirs.hold(workdir, may_hold_a_run=False):
        raise UserError("bad data")
    assert not list(tmp_path.iterdir())


def test_a_name_too_long_for_what_is_below(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "pathconf", lambda *args: 220)
    with (
        pytest.raises(UserError, match="has more than 20 bytes; choose another"),
        workdirs.hold(tmp_path, may_hold_a_run=True),
    ):
        pass
