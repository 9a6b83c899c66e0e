"""Finds the GPU or TPU of this machine without JAX, and says what JAX needs to use it.

Which NVIDIA driver and GPU each CUDA needs: https://docs.jax.dev/en/latest/installation.html.
"""

import importlib.metadata
import math
import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

# An extra of JAX, the lowest driver and the lowest compute capability that it works with. The
# first that fits is the best.
_CUDA = (("cuda13", 580, 7.5), ("cuda12", 525, 5.2))
# PCI vendor of a TPU.
_GOOGLE = "0x1ae0"
# A driver that hangs must not hold up a run.
_SECONDS = 20


class Accelerator(NamedTuple):
    """A GPU or TPU.

    Attributes:
      name: what a person calls it, such as 'Tesla T4, driver 550.54.15'.
      backend: what `jax.default_backend()` is when JAX uses it, 'gpu' or 'tpu'.
      extra: the extra of JAX that it needs, such as 'cuda12'; None if JAX cannot use it.
    """

    name: str
    backend: str
    extra: str | None

    @property
    def requirement(self) -> str | None:
        """What pip is to install beside the JAX that is here, such as 'jax[cuda12]==0.10.2'."""
        if self.extra is None:
            return None
        return f"jax[{self.extra}]=={importlib.metadata.version('jax')}"

    @property
    def advice(self) -> str:
        """What to do so that JAX uses it: the end of a sentence."""
        if self.extra is None:
            _, driver, capability = _CUDA[-1]
            return (
                f"JAX needs NVIDIA's driver {driver} or later and a GPU of compute capability "
                f"{capability} or higher"
            )
        # Two plugins for CUDA exclude each other.
        others = [extra for extra, *_ in _CUDA if extra != self.extra]
        wrong = [
            f"jax-{extra}-plugin" for extra in others if _is_installed(f"jax-{extra}-plugin")
        ]
        first = (
            f"pip uninstall {' '.join(wrong)} && " if wrong and self.backend == "gpu" else ""
        )
        return f"{first}pip install '{self.requirement}'"


def find(root: Path = Path("/")) -> Accelerator | None:
    """Finds the accelerator that JAX would choose: a TPU, else an NVIDIA GPU.

    Args:
      root: folder in which /dev and /sys lie.

    Returns:
      None without a GPU, or if CUDA_VISIBLE_DEVICES hides every one.
    """
    vendors = (root / "sys/bus/pci/devices").glob("*/vendor")
    devices = [*(root / "dev").glob("accel[0-9]*"), *(root / "dev/vfio").glob("[0-9]*")]
    # /dev/vfio also has devices that are lent to virtual machines.
    if devices and any(path.read_text().strip() == _GOOGLE for path in vendors):
        return Accelerator("Google TPU", "tpu", "tpu")
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return None
    # A driver too old for JAX may not know the compute capability.
    answer = _nvidia_smi("name,driver_version,compute_cap") or _nvidia_smi(
        "name,driver_version"
    )
    if not answer:
        return None
    # Several GPUs share one driver; the oldest of them decides.
    name, driver, capability = min(map(_gpu, answer.splitlines()), key=lambda gpu: gpu[2])
    fitting = [
        extra
        for extra, lowest_driver, lowest_capability in _CUDA
        if _branch(driver) >= lowest_driver and capability >= lowest_capability
    ]
    # Two plugins for CUDA exclude each other: one that is installed and fits stays.
    installed = [extra for extra in fitting if _is_installed(f"jax-{extra}-plugin")]
    return Accelerator(f"{name}, driver {driver}", "gpu", (*installed, *fitting, None)[0])


def _gpu(line: str) -> tuple[str, str, float]:
    """Reads a GPU's name, driver and compute capability (infinite: not known)."""
    name, driver, capability = [*map(str.strip, line.split(",")), "", ""][:3]
    known = capability.replace(".", "").isdecimal()
    return name, driver, float(capability) if known else math.inf


def _branch(driver: str) -> int:
    """Reads the first number of a driver's version; 0 if it has none."""
    number = driver.partition(".")[0]
    return int(number) if number.isdecimal() else 0


def _nvidia_smi(fields: str) -> str:
    """Asks the driver about every GPU; returns '' if there is no driver, or no GPU."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    command = [program, f"--query-gpu={fields}", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return ""
    return "" if done.returncode else done.stdout.strip()


def _is_installed(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
