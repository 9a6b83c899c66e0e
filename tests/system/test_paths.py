"""Paths that libraries read otherwise than the user, and users without a home."""

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest

from mnist_flax import config as config_lib
from mnist_flax.errors import UserError
from mnist_flax.predict import images
from mnist_flax.runs import checkpoints
from mnist_flax.system import paths
from mnist_flax.trained import weights

ODD = ["a[bc]d", "a\\b", "a*?b", "{a,b}", "100%#", "é ü", os.fsdecode(b"a\xffb"), "a\nb", "gs:"]


@pytest.mark.parametrize("name", ODD)
def test_a_checkpoint_in_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    workdir = tmp_path / name
    workdir.mkdir()
    config = config_lib.load(config_lib.default_path())
    state = {"w": np.arange(3.0)}
    checkpoints.save(workdir, config, state, [{"epoch": 1, "test_accuracy": 0.5}])
    saved = checkpoints.load_latest(workdir, config, state)
    assert saved is not None
    np.testing.assert_array_equal(saved.state["w"], state["w"])


def test_a_plain_path_is_left_as_it_is(tmp_path: Path) -> None:
    with paths.safe_alias(tmp_path / "a-b_c d") as folder:
        assert folder == tmp_path / "a-b_c d"


def test_an_odd_path_has_a_link_for_a_while(tmp_path: Path) -> None:
    odd = tmp_path / "[a]"
    odd.mkdir()
    with paths.safe_alias(odd) as folder:
        assert "[" not in str(folder)
        assert folder.samefile(odd)
    assert not folder.parent.exists()
    assert odd.is_dir()


def test_a_temporary_folder_of_an_odd_name_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "[t]").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "[t]"))
    with paths.safe_alias(tmp_path / "[t]") as folder:
        assert "[" not in str(folder)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "--to is empty; name a path"),
        ("gs://b/r", "--to=gs://b/r is an address; name a local path"),
        ("a\0b", "--to holds a NUL character"),
    ],
)
def test_a_path_that_is_none(text: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        paths.local_path("--to", text)


def test_the_home_of_a_user_whom_the_system_does_not_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert paths.home_folder("a", "b") == tmp_path / "a" / "b"
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert paths.home_folder("a") == tmp_path / f"mnist_flax-{os.getuid()}" / "a"
    with pytest.raises(UserError, match="name a path without '~'"):
        paths.local_path("--to", "~nobody-of-that-name/x")


def test_a_named_pipe_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.safetensors"
    os.mkfifo(pipe)
    for read in (config_lib.load, weights.read, images.read):
        with pytest.raises(UserError, match=r"is a named pipe; name a regular file"):
            read(pipe)


def test_what_a_shell_hands_over_is_read() -> None:
    begin, end = os.pipe()
    try:
        paths.check_not_a_pipe(Path(f"/dev/fd/{begin}"))
    finally:
        os.close(begin)
        os.close(end)
