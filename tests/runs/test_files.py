"""Files are complete at any time, even if the disk is full in the middle of a write."""

import contextlib
import errno
import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mnist_flax.errors import WriteError
from mnist_flax.runs import files


@contextlib.contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Like a disk with room for files of `size` bytes: a write is cut there, the next fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_append(tmp_path: Path) -> None:
    path = tmp_path / "log"
    files.append(path, b"one\n")
    files.append(path, b"two\n")
    assert path.read_bytes() == b"one\ntwo\n"


def test_append_that_does_not_fit_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "log"
    files.append(path, b"x" * 900)
    with full_disk(1000), pytest.raises(WriteError, match="log") as error:
        files.append(path, b"y" * 200)
    assert error.value.errno == errno.EFBIG
    assert error.value.filename == str(path)
    assert path.read_bytes() == b"x" * 900


def test_replace(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    files.replace(path, b"old")
    files.replace(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_replace_that_does_not_fit_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    files.replace(path, b"old")
    with full_disk(1000), pytest.raises(WriteError, match=r"summary\.json"):
        files.replace(path, b"y" * 2000)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("write", [files.append, files.replace])
def test_what_cannot_be_opened_is_named(tmp_path: Path, write: Callable[..., None]) -> None:
    path = tmp_path / "nowhere" / "log"
    with pytest.raises(WriteError) as error:
        write(path, b"")
    assert (error.value.errno, error.value.filename) == (errno.ENOENT, str(path))


def test_a_replaced_file_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "summary.json"
    names = []

    def fsync(descriptor: int) -> None:
        (found,) = tmp_path.iterdir()
        assert os.fstat(descriptor).st_ino == found.stat().st_ino
        assert found.read_bytes() == b"new"
        names.append(found.name)

    monkeypatch.setattr(os, "fsync", fsync)
    files.replace(path, b"new")
    assert len(names) == 1
    assert names[0] != path.name
    assert path.read_bytes() == b"new"


def test_room(tmp_path: Path) -> None:
    files.check_room(tmp_path, 1000)
    with full_disk(1000), pytest.raises(OSError, match="too large"):
        files.check_room(tmp_path, 1001)
    assert not list(tmp_path.iterdir())


def test_interrupted_replace_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        files.replace(tmp_path / "summary.json", b"new")
    assert not list(tmp_path.iterdir())


def test_a_file_system_that_cannot_sync_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    (tmp_path / "file").touch()
    monkeypatch.setattr(os, "fsync", refuse)
    files.sync(tmp_path)
    with pytest.raises(OSError, match="Invalid argument"):
        files.sync(tmp_path / "file")


def test_a_name_as_long_as_a_file_system_takes(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 251 + ".png")
    files.check_new_file("--output", path, 10)
    files.replace(path, b"whole")
    assert path.read_bytes() == b"whole"
    assert len(list(tmp_path.iterdir())) == 1
