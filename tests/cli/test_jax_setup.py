"""Where compiled programs are kept."""

import os
import subprocess
import sys

import jax
import pytest

from mnist_flax.cli import jax_setup
from mnist_flax.ops import jax_settings


@pytest.fixture(autouse=True)
def _restore_jax():
    names = "jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs"
    before = {name: getattr(jax.config, name) for name in names}
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def test_the_users_cache_folder(monkeypatch, tmp_path):
    jax.config.update("jax_compilation_cache_dir", None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    jax_setup.prepare()
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "mnist_flax" / "xla")


def test_the_users_cache_folder_without_xdg(monkeypatch, tmp_path):
    jax.config.update("jax_compilation_cache_dir", None)
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    jax_setup.prepare()
    expected = tmp_path / ".cache" / "mnist_flax" / "xla"
    assert jax.config.jax_compilation_cache_dir == str(expected)


def test_a_user_without_a_home(monkeypatch, tmp_path):
    jax.config.update("jax_compilation_cache_dir", None)
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    jax_setup.prepare()
    assert jax.config.jax_compilation_cache_dir.startswith(f"{tmp_path}/mnist_flax-")


PROGRAM = """
import jax, jax.numpy as jnp
from mnist_flax.cli import jax_setup
from mnist_flax.ops import jax_settings
jax_setup.prepare()
jax.jit(lambda x: jnp.sin(x) + 12.5)(jnp.ones(3))
"""


def test_an_entry_that_was_cut_off_is_replaced_without_a_word(tmp_path):
    def run():
        return subprocess.run(
            [sys.executable, "-c", PROGRAM],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "JAX_COMPILATION_CACHE_DIR": str(tmp_path)},
        ).stderr

    run()
    (entry,) = tmp_path.glob("jit__lambda-*-cache")
    size = entry.stat().st_size
    os.truncate(entry, size // 2)
    assert run() == ""
    assert entry.stat().st_size > size // 2
    assert run() == ""


def test_a_folder_chosen_for_jax_stays(tmp_path):
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    jax_setup.prepare()
    assert jax.config.jax_compilation_cache_dir == str(tmp_path)


@pytest.mark.parametrize("folder", ["/proc/none", "\udcff", "/dev/null/x"])
def test_a_cache_that_cannot_be_used_is_none(monkeypatch, tmp_path, folder):
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / folder))
    jax_setup.prepare()
    assert jax.config.jax_compilation_cache_dir is None
    assert not list(tmp_path.iterdir())


def test_a_relative_cache_counts_for_nothing(monkeypatch, tmp_path):
    jax.config.update("jax_compilation_cache_dir", None)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    jax_setup.prepare()
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "home/.cache/mnist_flax/xla")
    assert not (tmp_path / "here").exists()


def test_settings_come_back(monkeypatch):
    jax.config.update("jax_enable_x64", True)
    try:
        with jax_settings.pinned():
            assert not jax.config.jax_enable_x64
        assert jax.config.jax_enable_x64
    finally:
        jax.config.update("jax_enable_x64", False)
