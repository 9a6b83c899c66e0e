"""Where compiled programs are kept."""

import os
import subprocess
import sys

import jax
import pytest

from mnist_flax.cli import jax_setup


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
