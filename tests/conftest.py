"""Run them all with `python -m pytest`, the fast ones with `python -m pytest -m 'not slow'`.

What all tests share: strict JAX, and MNIST prepared once a session in a temporary folder.
"""

from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

from mnist_flax import progress
from mnist_flax.cli import jax_setup
from mnist_flax.datasets import preparation

# A missing axis is an error and not a broadcast.
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(scope="session", autouse=True)
def _tfds_data_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keeps every test, and the processes it starts, out of the user's home."""
    root = tmp_path_factory.mktemp("tensorflow_datasets")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        # Many tests start a run of the same shapes: it is compiled once.
        jax_setup.prepare()
        patch.setenv("TFDS_DATA_DIR", str(root))
        # What a command prints does not depend on how fast this machine is.
        patch.setenv("TQDM_DISABLE", "1")
        yield root


@pytest.fixture(scope="session")
def data_dir(_tfds_data_dir: Path) -> Path:
    """The folder that TFDS_DATA_DIR names, with MNIST prepared in it. Not to be changed."""
    preparation.prepare("mnist", _tfds_data_dir)
    return _tfds_data_dir


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turns progress on, and has it shown at once, in this process."""
    monkeypatch.delenv("TQDM_DISABLE")
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
