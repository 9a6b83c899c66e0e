"""Optional libraries: what counts as installed, and what an import does not find."""

import importlib
import sys
from pathlib import Path

import pytest

from mnist_flax.system import libraries


@pytest.mark.parametrize(
    ("name", "installed"), [("numpy", True), ("json", True), ("no_such_library", False)]
)
def test_installed(name: str, installed: bool) -> None:
    assert libraries.is_installed(name) is installed


def test_an_empty_folder_is_no_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bare_folder").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert importlib.import_module("bare_folder").__file__ is None
    assert not libraries.is_installed("bare_folder")


def test_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "found_again.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    with libraries.hidden("found_again"), pytest.raises(ImportError):
        importlib.import_module("found_again")
    module = importlib.import_module("found_again")
    # What is in use already stays.
    with libraries.hidden("found_again"):
        assert importlib.import_module("found_again") is module
    assert sys.modules["found_again"] is module
