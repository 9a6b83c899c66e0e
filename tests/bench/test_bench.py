"""Tests `python -m mnist_flax.bench`: its flags, its answers to mistakes, its JSON.

No test asserts a time. The slow test runs all of the bench, on a few images.
"""

import json
import math
import subprocess
import sys
import time
from pathlib import Path

import jax
import pytest
from helpers.interpreters import fake_torch, interpreter
from ml_collections import ConfigDict

from mnist_flax import config
from mnist_flax.bench import command

# What JSON holds at least, whatever the backend.
KEYS = {
    *("import_seconds", "device_seconds", "data_seconds"),
    *("compile_seconds", "compile_cached_seconds"),
    *("step_ms_min", "step_ms_median", "step_alone_ms_min", "step_alone_ms_median"),
    *("augmentation_images_per_second_max", "augmentation_images_per_second_median"),
    *("epoch_seconds_min", "epoch_seconds_median"),
    *("step_gflop_per_second_max", "matmul_gflop_per_second_max"),
    *("peak_host_mb", "peak_device_mb", "load_average", "backend"),
}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--rounds", "0"], "--rounds is 0; it must be at least 1"),
        (["--rounds", "many"], "invalid int value: 'many'"),
        (["--compare", "tensorflow"], "invalid choice: 'tensorflow'"),
        (["now"], "unexpected argument 'now'"),
        (["--config.batch_size=0"], "config.batch_size is 0"),
        (["--compare", "torch", "--torch-python", "/no/such"], "/no/such: No such file"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("error: ")
    assert words in line


def test_without_torch_it_says_what_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = interpreter(tmp_path, "-I", "-S")  # Without site-packages.
    assert command.main(["--compare", "torch", "--torch_python", bare]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert "No module named 'torch'" in line
    assert "pip install torch torchvision" in line
    assert "--torch-python" in line


@pytest.mark.parametrize(
    ("other", "fields", "expected"),
    [
        ("torch", {}, []),
        ("torch", {"seed": 7, "num_epochs": 3, "learning_rate": 0.1}, []),
        ("torch", {"batch_size": 64, "model.dtype": "bfloat16"}, ["batch_size"]),
        ("torch", {"augment.degrees": 5.0}, ["augment.degrees"]),
        ("plain", {"batch_size": 64, "model.dropout_rate": 0.1, "augment.degrees": 5.0}, []),
        ("plain", {"model.architecture": "8 pool 8"}, ["model.architecture"]),
    ],
)
def test_what_the_comparison_does_not_follow(
    other: str, fields: dict[str, object], expected: list[str]
) -> None:
    settings = config.load(config.default_path())
    settings.update_from_flattened_dict(fields)
    assert command.differs_in(settings, other) == expected


RUN = """
import json, os, sys
from mnist_flax import config
from mnist_flax.system import progress
del os.environ["TQDM_DISABLE"]
progress.PATIENCE = 0.0
from mnist_flax.bench import command, results
settings = config.load(config.default_path())
settings.train_split, settings.test_split = "train[:40]", "test[:20]"
settings.batch_size = 16
measured = command.measure(settings, rounds=1, plain=True, torch_python=sys.argv[1])
print(results.table(measured))
print(json.dumps(measured))
"""


@pytest.mark.slow
def test_all_of_it_on_a_few_images(data_dir: Path, tmp_path: Path) -> None:
    """One epoch of three steps, everything else as in the command; PyTorch is played."""
    python = fake_torch(tmp_path, answers=8)
    begin = time.perf_counter()
    result = subprocess.run(
        [sys.executable, "-c", RUN, python], text=True, capture_output=True, check=True
    )
    elapsed = time.perf_counter() - begin
    *table, line = result.stdout.splitlines()
    said = result.stderr.splitlines()
    assert said[:2] == ["Starting PyTorch ...", "Compiling (less the next time) ..."]
    assert said[2].startswith("1 of 15 measurements, round 1 of 1: epoch_seconds, about ")
    assert len(said) == 2 + 14 + 1  # It compiles a second time, from the cache.
    measured = json.loads(line)
    assert measured.keys() >= KEYS
    assert {
        f"ratio_{name}_{end}"
        for name in ("step_ms", "epoch_seconds", "plain_step_ms", "plain_step_alone_ms")
        for end in ("min", "median")
    } <= measured.keys()
    for name, value in measured.items():
        if isinstance(value, float) and name != "load_average":
            assert math.isfinite(value), name
            assert value > 0, name
    # No part takes longer than the whole, whatever the machine. PyTorch's times were made up.
    for unit, limit in (("_seconds", elapsed), ("_ms", 1000 * elapsed)):
        parts = {x for x in measured if unit in x and not x.startswith(("torch_", "ratio_"))}
        assert parts
        for name in parts:
            assert measured[name] < limit, name
    for name in measured:
        if name.endswith("_min") and not name.startswith("ratio_"):
            assert measured[name] <= measured[name.removesuffix("min") + "median"], name
    assert measured["backend"] == jax.default_backend()
    assert measured["batch_size"] == measured["config"]["batch_size"] == 16
    assert measured["plain_differs_in"] == []
    assert measured["torch_differs_in"] == ["train_split", "batch_size"]
    # A step of PyTorch was said to take 50 ms at its best: a ratio is ours over theirs.
    assert measured["ratio_step_ms_min"] == pytest.approx(measured["step_ms_min"] / 50)
    text = "\n".join(table)
    labels = {row.split("  ")[0] for row in table}
    assert {"import", "compile", "step", "step alone", "epoch", "step, min"} <= labels
    assert f"{measured['step_ms_min']:.3g} ms" in text
    assert "19,114 parameters, float32, batch 16, 40 images an epoch" in text
    # Only for PyTorch: the stock network follows the batch size.
    assert text.count("Not the same work") == 1
    assert "the config has another train_split, batch_size." in text


def test_json_is_one_line_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    def measure(settings: ConfigDict, **options: object) -> dict[str, float]:
        asked.append({"batch_size": settings.batch_size, **options})
        return {"step_ms_min": 20.5, "step_ms_median": 21.0}

    monkeypatch.setattr(command, "measure", measure)
    assert command.main(["--json", "--rounds", "7", "--config.batch_size=64"]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert json.loads(out) == {"step_ms_min": 20.5, "step_ms_median": 21.0}
    assert command.main(["--json", "--compare", "torch"]) == 0
    both = ["--compare", "plain", "--compare", "torch", "--torch_python", "python3"]
    assert command.main(["--json", *both]) == 0
    assert asked == [
        {"batch_size": 64, "rounds": 7, "plain": False, "torch_python": None},
        {"batch_size": 128, "rounds": 5, "plain": False, "torch_python": sys.executable},
        {"batch_size": 128, "rounds": 5, "plain": True, "torch_python": "python3"},
    ]


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(flag in out for flag in ("--json", "--compare", "--torch-python", "--rounds"))
    assert "--config.batch_size" in out
    own = out.partition("fields of a config")[0]
    assert max(map(len, own.splitlines())) <= 100
