"""What the bench measures, how it answers mistakes, and how it talks to PyTorch's process.

No test asserts a time. The last test runs the whole command, on a few images.
"""

import importlib.util
import json
import math
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from mnist_flax import augment, config
from mnist_flax.bench import command, measurements, torch_process
from mnist_flax.errors import TrainingError, UserError
from mnist_flax.steps import create_train_state

# Kernel size, input and output channels of the six convolutions; height and width they see.
CONVS = [(3, 1, 8, 28), (3, 8, 16, 28), (3, 16, 16, 14), (3, 16, 32, 14), (3, 32, 32, 7)]
CONVS += [(1, 32, 32, 7)]
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


def interpreter(folder: Path, *arguments: str) -> str:
    """A file that runs this Python with arguments before those it is given."""
    path = folder / "python"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" {" ".join(arguments)} "$@"\n')
    path.chmod(0o755)
    return str(path)


def fake_torch(folder: Path, answers: int) -> str:
    """An interpreter that plays torch_peer.py, and ends after so many pieces of work."""
    script = folder / "fake_torch.py"
    script.write_text(
        "import json\n"
        "versions = dict(torch_version='0', torchvision_version='0', torch_device='cpu',\n"
        "                torch_threads=2, torch_parameters=19114)\n"
        "print(json.dumps(versions), flush=True)\n"
        f"for _ in range({answers}):\n"
        "    kind, layout, count = json.loads(input())\n"
        "    value = {'steps': 50.0, 'epoch': 30.0}[kind]\n"
        "    print([value + (layout == 'channels_last')], flush=True)\n"
    )
    return interpreter(folder, str(script))


def textbook_loss(kernels: list[jax.Array], images: jax.Array) -> jax.Array:
    """The network's matrix products and little else: its padding written out, no batch norm.

    XLA does not count products with a convolution's own padding, which step_flops does.
    """
    x = images
    *convs, last = kernels
    for kernel in convs:
        half = kernel.shape[0] // 2
        x = jnp.pad(x, ((0, 0), (half, half), (half, half), (0, 0)))
        x = lax.conv_general_dilated(
            x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        if kernel.shape[2:] in ((8, 16), (16, 32)):
            x = x[:, ::2, ::2]  # Where the network pools.
    return jnp.square(x.mean((1, 2)) @ last).sum()


def test_step_flops_are_those_that_xla_counts() -> None:
    settings = config.load(config.default_path())
    shapes = [(size, size, i, o) for size, i, o, _ in CONVS] + [(32, 10)]
    kernels = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    images = jax.ShapeDtypeStruct((settings.batch_size, 28, 28, 1), jnp.float32)
    analysis = jax.jit(jax.grad(textbook_loss)).lower(kernels, images).cost_analysis()
    flops = measurements.step_flops(settings)
    assert analysis["flops"] == pytest.approx(flops, rel=0.02)


def test_step_flops_by_hand() -> None:
    settings = config.load(config.default_path())
    layers = [2 * side**2 * size**2 * i * o for size, i, o, side in CONVS] + [2 * 32 * 10]
    assert measurements.step_flops(settings) == 128 * (3 * sum(layers) - layers[0])
    settings.batch_size = 1
    assert measurements.step_flops(settings) == 3 * sum(layers) - layers[0]


def test_step_flops_of_a_kernel_that_is_used_again() -> None:
    settings = config.load(config.default_path())
    settings.model.architecture = "8 8 pool same"
    layers = [2 * 28**2 * 9 * 8, 2 * 28**2 * 9 * 64, 2 * 14**2 * 9 * 64, 2 * 8 * 10]
    assert measurements.step_flops(settings) == 128 * (3 * sum(layers) - layers[0])


def test_a_measured_loop_takes_a_training_step_a_batch() -> None:
    settings = config.load(config.default_path())
    key = jax.random.key(0)
    images = jax.random.normal(key, (3, 8, 28, 28, 1))
    labels = jnp.arange(24).reshape(3, 8) % 10
    state = expected = create_train_state(key, settings)
    step = jax.jit(partial(measurements._train_step, config=settings))
    for i in range(2):
        expected = step(expected, images[i], labels[i], jax.random.fold_in(key, i))
    loop = jax.jit(partial(measurements._train_steps, config=settings))
    looped = loop(state, images, labels, key, np.int32(2))
    assert int(looped.step) == 2
    for got, wanted in zip(
        jax.tree.leaves(looped.batch_stats), jax.tree.leaves(expected.batch_stats), strict=True
    ):
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)


def test_measured_augmentation_is_that_of_the_config() -> None:
    settings = config.load(config.default_path())
    settings.batch_size = 4
    key = jax.random.key(0)
    images = jax.random.randint(key, (12, 28, 28), 0, 256).astype(jnp.uint8)
    order = jnp.arange(12)[::-1]
    batches = jax.jit(partial(measurements._augment_batches, config=settings))
    draws = augment.sample_params(jax.random.fold_in(key, 1), 4, settings.augment)
    expected = augment.normalize(augment.apply(images[order[4:8]], draws))
    np.testing.assert_array_equal(batches(images, order, key, np.int32(2)), expected)


def test_derived_rates_and_ratios() -> None:
    """Of PyTorch the better layout counts, for the minimum and for the median by itself."""
    figures = {"torch_version": "2", "batch_size": 128, "step_gflop": 2.0, "matmul_gflop": 16.0}
    times = {
        "augmentation_batch_ms": (1.0, 2.0),
        "matmul_ms": (40.0, 80.0),
        "step_ms": (20.0, 40.0),
        "epoch_seconds": (12.0, 15.0),
        "torch_contiguous_step_ms": (40.0, 50.0),
        "torch_channels_last_step_ms": (25.0, 80.0),
        "torch_contiguous_epoch_seconds": (30.0, 30.0),
        "torch_channels_last_epoch_seconds": (40.0, 60.0),
    }
    for name, (low, middle) in times.items():
        figures |= {f"{name}_min": low, f"{name}_median": middle}
    assert command._derived(figures) == {
        "augmentation_images_per_second_max": 128_000,
        "augmentation_images_per_second_median": 64_000,
        "step_gflop_per_second_max": 100,
        "step_gflop_per_second_median": 50,
        "matmul_gflop_per_second_max": 400,
        "matmul_gflop_per_second_median": 200,
        "torch_step_ms_min": 25,
        "torch_step_ms_median": 50,
        "torch_epoch_seconds_min": 30,
        "torch_epoch_seconds_median": 30,
        "ratio_step_ms_min": 0.8,
        "ratio_step_ms_median": 0.8,
        "ratio_epoch_seconds_min": 0.4,
        "ratio_epoch_seconds_median": 0.5,
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--rounds", "0"], "--rounds is 0; it must be at least 1"),
        (["--rounds", "many"], "invalid int value: 'many'"),
        (["--compare", "tensorflow"], "invalid choice: 'tensorflow'"),
        (["now"], "unrecognized arguments: now"),
        (["--compare", "torch", "--torch_python", "/no/such"], "/no/such: No such file"),
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
    assert "--torch_python" in line


def test_an_interpreter_that_is_none() -> None:
    with (
        pytest.raises(UserError, match=r"^--torch_python: true cannot run "),
        torch_process.start("true", "cpu"),
    ):
        pass


def test_work_by_name_and_a_process_that_ends_early(tmp_path: Path) -> None:
    python = fake_torch(tmp_path, answers=4)
    with torch_process.start(python, "cpu") as torch:
        assert torch.versions["torch_parameters"] == 19_114
        done = {name: work() for name, work in {**torch.epochs, **torch.steps}.items()}
        assert done == {
            "torch_contiguous_epoch_seconds": [30.0],
            "torch_channels_last_epoch_seconds": [31.0],
            "torch_contiguous_step_ms": [50.0],
            "torch_channels_last_step_ms": [51.0],
        }
        with pytest.raises(TrainingError, match="ended before its work was done"):
            torch.steps["torch_contiguous_step_ms"]()


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


RUN = """
import json, sys
from mnist_flax import bench, config
settings = config.load(config.default_path())
settings.train_split, settings.test_split = "train[:300]", "test[:100]"
figures = bench.measure(settings, rounds=1, torch_python=sys.argv[1])
print(bench.table(figures))
print(json.dumps(figures))
"""


@pytest.mark.slow
def test_all_of_it_on_a_few_images(data_dir: Path, tmp_path: Path) -> None:
    """One epoch of three steps, everything else as in the command; PyTorch is played."""
    python = fake_torch(tmp_path, answers=4)
    result = subprocess.run(
        [sys.executable, "-c", RUN, python], text=True, capture_output=True, check=True
    )
    *table, line = result.stdout.splitlines()
    figures = json.loads(line)
    assert figures.keys() >= KEYS
    assert {
        f"ratio_{name}_{end}"
        for name in ("step_ms", "epoch_seconds")
        for end in ("min", "median")
    } <= figures.keys()
    for name, value in figures.items():
        if isinstance(value, float) and name != "load_average":
            assert math.isfinite(value), name
            assert value > 0, name
    for name in figures:
        if name.endswith("_min"):
            assert figures[name] <= figures[name.removesuffix("min") + "median"], name
    assert figures["backend"] == jax.default_backend()
    assert figures["batch_size"] == 128
    # A step of PyTorch was said to take 50 ms at its best: a ratio is ours over theirs.
    assert figures["ratio_step_ms_min"] == pytest.approx(figures["step_ms_min"] / 50)
    labels = {text.split("  ")[0] for text in table}
    assert {"import", "compile", "step", "step alone", "epoch", "step, min"} <= labels
    assert f"{figures['step_ms_min']:.3g} ms" in "\n".join(table)


def test_json_is_one_line_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    def measure(settings: object, **options: object) -> dict[str, float]:
        asked.append(options)
        return {"step_ms_min": 20.5, "step_ms_median": 21.0}

    monkeypatch.setattr(command, "measure", measure)
    assert command.main(["--json", "--rounds", "7"]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert json.loads(out) == {"step_ms_min": 20.5, "step_ms_median": 21.0}
    assert command.main(["--json", "--compare", "torch"]) == 0
    assert asked == [
        {"rounds": 7, "torch_python": None},
        {"rounds": 5, "torch_python": sys.executable},
    ]


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        command.main(["--help"])
    assert exit_info.value.code == 0
    out = capsys.readouterr().out
    assert all(flag in out for flag in ("--json", "--compare", "--torch_python", "--rounds"))
    assert max(map(len, out.splitlines())) <= 100
