"""Run the tests with `python -m pytest`; those marked `long` with `python -m pytest -m long`.

What all tests share, in every process that runs them: strict JAX, MNIST prepared once, and each
program compiled once.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

import mnist_flax
from mnist_flax.cli import jax_setup
from mnist_flax.datasets import preparation
from mnist_flax.system import progress

# XLA compiles in half the time, and the programs are no slower where they run once. In the
# environment, so that the processes that tests start do the same. What a run computes with its
# own options is compared with the textbook's all the same; .ci/run trains without these.
_COMPILES_SOON = [
    "--xla_backend_optimization_level=1",
    "--xla_cpu_parallel_codegen_split_count=1",
]
# XLA ends a process that gives it a flag that it does not know, as newer ones do this.
if jax.__version_info__ < (0, 11):
    _COMPILES_SOON.append("--xla_cpu_use_fusion_emitters=false")
os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *_COMPILES_SOON]).strip()

# A missing axis is an error and not a broadcast.
jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out the tests marked `long` unless -m names them, and begins with slow files.

    With pytest-xdist the last file is tested while other processes have nothing to do.
    """
    if "long" not in config.option.markexpr:
        left_out = [item for item in items if "long" in item.keywords]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if "long" not in item.keywords]
    slow = {item.path for item in items if "slow" in item.keywords}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="module")
def exact_products() -> Iterator[None]:
    """Makes a GPU or TPU compute in full float32, for tests that compare with other programs.

    By default they round the factors of products; see docs/ACCELERATORS.md, "Precision".
    """
    with jax.default_matmul_precision("highest"):
        yield


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for all processes of pytest-xdist."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session", autouse=True)
def _surroundings(shared: Path, pytestconfig: pytest.Config) -> Iterator[None]:
    """Keeps every test, and the processes it starts, out of the user's home."""
    # Compiled programs are kept from one pytest to the next; --cache-clear removes them.
    kept = pytestconfig.pluginmanager.has_plugin("cacheprovider")
    cache = pytestconfig.cache.mkdir("compiled") if kept else shared / "cache"
    source = str(Path(mnist_flax.__file__).parents[1])
    paths = [source, *filter(None, [os.environ.get("PYTHONPATH")])]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        patch.setenv("TFDS_DATA_DIR", str(shared / "data"))
        # Whatever its folder is, a process uses the package of the tests.
        patch.setenv("PYTHONPATH", os.pathsep.join(paths))
        # What a command prints does not depend on how fast this machine is.
        patch.setenv("TQDM_DISABLE", "1")
        # Many tests start a run of the same shapes: it is compiled once.
        jax_setup.prepare()
        yield


@pytest.fixture(scope="session")
def data_dir(shared: Path, _surroundings: None) -> Path:
    """The folder that TFDS_DATA_DIR names, with MNIST prepared in it. Not to be changed."""
    preparation.prepare("mnist", shared / "data")
    return shared / "data"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turns progress on, and has it shown at once, in this process."""
    monkeypatch.delenv("TQDM_DISABLE")
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
