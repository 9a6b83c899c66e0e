"""Stands in for the interpreter that runs PyTorch, or for this one."""

import shlex
import sys
from pathlib import Path

from helpers import forks


def interpreter(folder: Path, *arguments: str) -> str:
    """Writes a script that runs this Python with `arguments` before its own."""
    path = folder / "python"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" {" ".join(arguments)} "$@"\n')
    path.chmod(0o755)
    return str(path)


def forking(folder: Path) -> str:
    """Writes a script that does as this Python does, and forks for -m; see `forks`."""
    path = folder / "python"
    path.write_text(
        "#!/bin/sh\n"
        f'[ "$1" = -m ] && exec {shlex.join(forks.python())} "$@"\n'
        f'exec {shlex.quote(sys.executable)} "$@"\n'
    )
    path.chmod(0o755)
    return str(path)


def fake_torch(folder: Path, answers: int) -> str:
    """Writes a script that plays torch_peer.py, and ends after `answers` pieces of work."""
    script = folder / "fake_torch.py"
    script.write_text(
        "import json\n"
        "versions = dict(torch_version='0', torchvision_version='0', torch_device='cpu',\n"
        "                torch_threads=2, torch_parameters=19114, torch_compiles=False)\n"
        "print(json.dumps(versions), flush=True)\n"
        f"for _ in range({answers}):\n"
        "    kind, mode, count = json.loads(input())\n"
        "    value = {'steps': 50.0, 'epoch': 30.0}[kind]\n"
        "    print([value + (mode == 'channels_last')], flush=True)\n"
    )
    return interpreter(folder, str(script))
