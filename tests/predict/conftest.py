"""A run to predict with, and pictures to predict."""

from pathlib import Path

import pytest
from helpers.drawings import drawn
from helpers.trained_runs import write_run


@pytest.fixture(scope="session")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one epoch with trained weights. Not to be changed."""
    return write_run(tmp_path_factory.mktemp("predict") / "run")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Drawings of 0 to 9 and two files that are no images. Nothing else is in tmp_path."""
    folder = tmp_path / "digits"
    folder.mkdir()
    for digit in range(10):
        suffix = (".png", ".JPG", ".jpeg", ".bmp")[digit % 4]
        drawn(digit, 200, 6).save(folder / f"{digit}{suffix}")
    (folder / "notes.txt").write_text("not an image")
    (folder / ".hidden.png").write_text("nor this")
    return folder
