"""Where compiled programs are kept."""

from pathlib import Path

import jax
import pytest

from mnist_flax.cli import compilation_cache


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
    compilation_cache.enable()
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "mnist_flax" / "xla")


def test_the_users_cache_folder_without_xdg(monkeypatch, tmp_path):
    jax.config.update("jax_compilation_cache_dir", None)
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    compilation_cache.enable()
    expected = tmp_path / ".cache" / "mnist_flax" / "xla"
    assert jax.config.jax_compilation_cache_dir == str(expected)


def test_a_folder_chosen_for_jax_stays(tmp_path):
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    compilation_cache.enable()
    assert jax.config.jax_compilation_cache_dir == str(tmp_path)
