"""Runs on real disks that are too small or cannot be written; each is a tmpfs of its own."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import quick_runs
from test_train import content, figures

from mnist_flax.main import main
from mnist_flax.runs import checkpoints

SMALL = [
    "--config.train_split=train[:200]",
    "--config.test_split=test[:100]",
    "--config.num_epochs=3",
]
Mount = Callable[[Path, str], None]


@pytest.fixture
def mount() -> Iterator[Mount]:
    """Mounts a tmpfs with some options on a folder, or remounts it."""
    mounted: list[Path] = []

    def mount(folder: Path, options: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        subprocess.run(command, capture_output=True, check=True)
        if "remount" not in options:
            mounted.append(folder)

    yield mount
    for folder in reversed(mounted):
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def disk(tmp_path: Path, mount: Mount) -> Path:
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        mount(folder, "size=1m")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip(
            "this user may not mount a disk; test_train.py has a stand-in for a full one"
        )
    return folder


@pytest.fixture(autouse=True)
def _quick_runs() -> Iterator[None]:
    with quick_runs.sharing():
        yield


@pytest.fixture(scope="module")
def whole(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    workdir = tmp_path_factory.mktemp("whole")
    with quick_runs.sharing():
        assert main(["--workdir", str(workdir), *SMALL]) == 0
    return workdir


# A save takes 1.5 MB for a moment, and 0.3 MB for good: there is room for none, or for one.
@pytest.mark.parametrize("size", ["32k", "1700k"])
def test_a_full_disk(
    whole: Path, disk: Path, mount: Mount, capfd: pytest.CaptureFixture[str], size: str
) -> None:
    mount(disk, f"remount,size={size}")
    run = ["--workdir", str(disk / "run"), *SMALL]
    assert main(run) == 1
    epochs = len(figures(disk / "run"))
    assert (epochs == 0) == (size == "32k")
    assert capfd.readouterr().err == (
        f"error: No space left on device while writing {disk}/run/checkpoints/{epochs + 1}\n"
    )
    mount(disk, "remount,size=8m")
    assert main([*run, "--resume"]) == 0
    assert figures(disk / "run") == figures(whole)


def test_a_disk_that_becomes_read_only(
    whole: Path,
    disk: Path,
    mount: Mount,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mount(disk, "remount,size=8m")
    folder = disk / "run" / "checkpoints"
    save = checkpoints.save

    def save_first(*args: Any) -> None:
        if checkpoints.epochs(disk / "run"):
            mount(folder, "ro")
        save(*args)

    run = ["--workdir", str(disk / "run"), *SMALL]
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "save", save_first)
        assert main(run) == 1
    assert capfd.readouterr().err == (
        f"error: Read-only file system while writing {folder}/2\n"
    )
    mount(folder, "remount,rw")  # Empty, as if the disk had lost what was on it.
    assert main([*run, "--resume"]) == 2
    assert "has 1 epochs on record and no checkpoint" in capfd.readouterr().err


def test_checkpoints_that_cannot_be_written(
    whole: Path, disk: Path, mount: Mount, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    workdir = tmp_path / "run"
    shutil.copytree(whole, workdir)
    mount(workdir / "checkpoints", "ro")
    before = content(workdir)
    for flag in ("--resume", "--overwrite"):
        assert main(["--workdir", str(workdir), *SMALL, flag]) == 2
        assert capfd.readouterr().err == (
            f"error: the workdir {workdir}/checkpoints cannot be written (Read-only file "
            "system); choose another\n"
        )
    assert content(workdir) == before
