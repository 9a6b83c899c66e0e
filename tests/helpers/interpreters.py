"""Stands in for the interpreter that runs PyTorch."""

import sys
from pathlib import Path


def interpreter(folder: Path, *arguments: str) -> str:
    """Writes a script that runs this Python with `arguments` before its own."""
    path = folder / "python"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" {" ".join(arguments)} "$@"\n')
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
