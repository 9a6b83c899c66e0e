"""Which GPU or TPU a machine has, and what JAX needs for it: with an nvidia-smi of our own."""

import importlib.metadata
from pathlib import Path

import pytest
from helpers.nvidia_driver import fake_driver, fake_tpu

from mnist_flax import accelerators

T4, V100, H100 = "Tesla T4, {}, 7.5", "Tesla V100-SXM2-16GB, {}, 7.0", "NVIDIA H100, {}, 9.0"


@pytest.fixture(autouse=True)
def _no_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)


def install(monkeypatch: pytest.MonkeyPatch, *plugins: str) -> None:
    """Makes JAX 0.10.2 and some plugins look installed, and nothing else."""

    def version(name: str) -> str:
        if name not in ("jax", *plugins):
            raise importlib.metadata.PackageNotFoundError(name)
        return "0.10.2"

    monkeypatch.setattr(importlib.metadata, "version", version)


@pytest.mark.parametrize(
    ("gpu", "driver", "extra"),
    [
        (T4, "470.82.01", None),
        (T4, "524.99", None),
        (T4, "525.60.13", "cuda12"),
        (T4, "550.54.15", "cuda12"),  # Colab's, at the time of writing.
        (T4, "579.99", "cuda12"),
        (T4, "580.65.06", "cuda13"),
        (H100, "610.10", "cuda13"),
        (V100, "580.65.06", "cuda12"),  # CUDA 13 has dropped Volta.
        ("Tesla K80, {}, 3.7", "580.65.06", None),
        (T4, "[N/A]", None),
    ],
)
def test_the_driver_and_the_gpu_choose_cuda(monkeypatch, tmp_path, gpu, driver, extra) -> None:
    fake_driver(monkeypatch, tmp_path, gpu.format(driver))
    found = accelerators.find(tmp_path)
    name = gpu.partition(",")[0]
    assert found == (f"{name}, driver {driver}", "gpu", extra)
    if extra is None:
        assert found.requirement is None
        assert "driver 525 or later and a GPU of compute capability 5.2" in found.advice
    else:
        assert found.requirement == f"jax[{extra}]==0.10.2"
        assert found.advice == f"pip install 'jax[{extra}]==0.10.2'"


@pytest.mark.parametrize(
    ("installed", "driver", "extra"),
    [
        ("jax-cuda12-plugin", "580.65.06", "cuda12"),  # It works, and both would not.
        ("jax-cuda13-plugin", "580.65.06", "cuda13"),
        ("jax-cuda13-plugin", "550.54.15", "cuda12"),  # It cannot work with this driver.
    ],
)
def test_an_installed_plugin_stays_if_it_works(
    monkeypatch, tmp_path, installed, driver, extra
) -> None:
    install(monkeypatch, installed)
    fake_driver(monkeypatch, tmp_path, T4.format(driver))
    found = accelerators.find(tmp_path)
    assert found is not None
    assert found.extra == extra
    first = "" if extra in installed else f"pip uninstall {installed} && "
    assert found.advice == f"{first}pip install 'jax[{extra}]==0.10.2'"


def test_the_oldest_gpu_decides(monkeypatch, tmp_path) -> None:
    fake_driver(monkeypatch, tmp_path, T4.format("580.1"), V100.format("580.1"))
    found = accelerators.find(tmp_path)
    assert found == ("Tesla V100-SXM2-16GB, driver 580.1", "gpu", "cuda12")


@pytest.mark.parametrize(("driver", "extra"), [("470.82.01", None), ("525.60.13", "cuda12")])
def test_a_driver_that_does_not_know_the_capability(
    monkeypatch, tmp_path, driver, extra
) -> None:
    fake_driver(monkeypatch, tmp_path, T4.format(driver), knows_capability=False)
    assert accelerators.find(tmp_path) == (f"Tesla T4, driver {driver}", "gpu", extra)


def test_no_gpu(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert accelerators.find(tmp_path) is None
    # Colab has the program without a GPU, too; then it fails.
    fake_driver(monkeypatch, tmp_path)
    assert accelerators.find(tmp_path) is None


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_hidden_gpus(monkeypatch, tmp_path, hidden) -> None:
    fake_driver(monkeypatch, tmp_path, T4.format("580.1"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert accelerators.find(tmp_path) is None


def test_an_nvidia_smi_that_hangs_or_cannot_be_run(monkeypatch, tmp_path) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/nowhere\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert accelerators.find(tmp_path) is None
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    monkeypatch.setattr(accelerators, "_SECONDS", 0.1)
    assert accelerators.find(tmp_path) is None


@pytest.mark.parametrize("device", ["accel0", "vfio/0"])
def test_a_tpu(monkeypatch, tmp_path, device) -> None:
    fake_driver(monkeypatch, tmp_path, T4.format("580.1"))
    found = accelerators.find(fake_tpu(tmp_path / "root", device))
    assert found == ("Google TPU", "tpu", "tpu")
    assert found.requirement == "jax[tpu]==0.10.2"


@pytest.mark.parametrize(
    ("device", "vendor"),
    [
        ("vfio/0", "0x8086"),  # Lent to a virtual machine.
        ("vfio/vfio", "0x1ae0"),  # A network card of Google's.
        ("accel/accel0", "0x8086"),
    ],
)
def test_what_looks_like_a_tpu(monkeypatch, tmp_path, device, vendor) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    root: Path = fake_tpu(tmp_path / "root", device, vendor)
    assert accelerators.find(root) is None
