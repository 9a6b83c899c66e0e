"""Plays the driver of NVIDIA's GPUs, and the folder of devices of a machine with TPUs."""

import os
import stat
from pathlib import Path

import pytest


def fake_driver(
    patch: pytest.MonkeyPatch, folder: Path, *gpus: str, knows_capability: bool = True
) -> None:
    """Puts an nvidia-smi in front of the PATH.

    Args:
      patch: takes it away again.
      folder: where the program is made.
      *gpus: name, driver and compute capability of each; none: no GPU answers.
      knows_capability: whether the driver is new enough to know the last of these.
    """
    program = folder / "nvidia-smi"
    lines = [gpu if knows_capability else gpu.rpartition(",")[0] for gpu in gpus]
    query = "--query-gpu=name,driver_version" + (",compute_cap" if knows_capability else "")
    refusal = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."
    answer = "\n".join(lines) if gpus else refusal
    program.write_text(
        "#!/bin/sh\n"
        f'[ "$*" = "{query} --format=csv,noheader" ] || {{ echo "no such field"; exit 2; }}\n'
        f"cat <<'END'\n{answer}\nEND\n"
        f"exit {0 if gpus else 9}\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    patch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    patch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def fake_tpu(root: Path, device: str, vendor: str = "0x1ae0") -> Path:
    """Makes /dev and /sys of a machine with one PCI device; returns `root`."""
    file, pci = root / "dev" / device, root / "sys/bus/pci/devices/0000:00:05.0"
    file.parent.mkdir(parents=True)
    file.touch()
    pci.mkdir(parents=True)
    (pci / "vendor").write_text(f"{vendor}\n")
    return root
