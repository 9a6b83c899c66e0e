"""Tests how the bench talks to PyTorch's process."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest
from helpers.interpreters import fake_torch, interpreter

from mnist_flax.bench import torch_process
from mnist_flax.errors import TrainingError, UserError


def test_an_interpreter_that_is_none() -> None:
    with (
        pytest.raises(UserError, match=r"^--torch-python: true cannot run "),
        torch_process.start("true", "cpu"),
    ):
        pass


def test_work_by_name_and_a_process_that_ends_early(tmp_path: Path) -> None:
    python = fake_torch(tmp_path, answers=8)
    with torch_process.start(python, "cpu") as torch:
        assert torch.versions["torch_parameters"] == 19_114
        done = {name: work() for name, work in {**torch.epochs, **torch.steps}.items()}
        assert done == {
            "torch_contiguous_epoch_seconds": [30.0],
            "torch_channels_last_epoch_seconds": [31.0],
            "torch_contiguous_bfloat16_epoch_seconds": [30.0],
            "torch_channels_last_bfloat16_epoch_seconds": [30.0],
            "torch_contiguous_step_ms": [50.0],
            "torch_channels_last_step_ms": [51.0],
            "torch_contiguous_bfloat16_step_ms": [50.0],
            "torch_channels_last_bfloat16_step_ms": [50.0],
        }
        with pytest.raises(TrainingError, match="ended before its work was done"):
            torch.steps["torch_contiguous_step_ms"]()


def test_a_step_is_compiled_where_that_works(tmp_path: Path) -> None:
    code = "import json; print(json.dumps(dict(torch_compiles=True)), flush=True); input()"
    (tmp_path / "waits.py").write_text(code)
    with torch_process.start(interpreter(tmp_path, str(tmp_path / "waits.py")), "cpu") as torch:
        compiled = {name for name in torch.steps if "compiled" in name}
        assert len(compiled) == len(torch.epochs) == 4
        assert "torch_channels_last_bfloat16_compiled_step_ms" in compiled


def test_the_process_ends_with_its_user(tmp_path: Path) -> None:
    code = "import json, os; print(json.dumps(dict(pid=os.getpid())), flush=True); input()"
    (tmp_path / "waits.py").write_text(code)
    python = interpreter(tmp_path, str(tmp_path / "waits.py"))
    with torch_process.start(python, "cpu") as torch:
        pid = torch.versions["pid"]
        os.kill(pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_pytorch_itself() -> None:
    """Where PyTorch is installed: the assignment's network, and time that is positive."""
    for name in ("torch", "torchvision"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed here; the package does not need it")
    with torch_process.start(sys.executable, "cpu") as torch:
        assert torch.versions["torch_parameters"] == 19_114
        assert torch.versions["torch_threads"] == torch_process.host_threads()
        for work in torch.steps.values():
            milliseconds = work()
            assert len(milliseconds) == torch_process.STEPS
            assert min(milliseconds) > 0
        for work in torch.epochs.values():
            (seconds,) = work()
            assert seconds > 0
