"""Tests the scripts in benchmarks/: that they run, and that they count what they say."""

import contextlib
import importlib.util
import json
import re
import statistics
import subprocess
import sys
from pathlib import Path

import jax
import pytest
from helpers.benchmark_scripts import FOLDER, script
from helpers.interpreters import forking

from mnist_flax import architecture
from mnist_flax import config as config_lib
from mnist_flax.bench import torch_process
from mnist_flax.sweep import records


def write_config(path, *lines):
    default = Path(__file__).parents[1] / "configs" / "default.py"
    lines = [*lines, "config.num_epochs = 1", "return config"]
    path.write_text(default.read_text().replace("return config", "\n    ".join(lines)))
    return path


@pytest.fixture(scope="module")
def small_config(data_dir, tmp_path_factory):
    """The default network, and few images."""
    return write_config(
        tmp_path_factory.mktemp("config") / "small.py",
        "config.train_split = 'train[:2000]'",
        "config.test_split = 'test[:500]'",
        "config.batch_size = 64",
    )


@pytest.fixture(scope="module")
def tiny_config(data_dir, tmp_path_factory):
    """A network that is compiled soon, and two batches."""
    return write_config(
        tmp_path_factory.mktemp("config") / "tiny.py",
        "config.train_split = 'train[:256]'",
        "config.test_split = 'test[:100]'",
        "config.model.architecture = '4'",
    )


def test_rounded_factors_change_little(data_dir, capsys):
    weights = Path(__file__).parent / "fixtures" / "trained.safetensors"
    script("precision").main(str(weights), "test[:200]")
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.startswith("200 images")
    values = [re.fullmatch(r"(.*): (.*)%, (.*), (\d+) changed", line) for line in lines]
    assert [found[1] for found in values] == ["float32", "TF32 (GPU)", "bfloat16 (TPU)"]
    exact, tf32, bfloat16 = (float(found[3]) for found in values)
    assert exact == 0 < tf32 < 0.03 < bfloat16 < 0.3
    assert all(float(found[2]) > 99 for found in values)


def test_busy_time_is_the_length_of_a_union():
    busy = script("profile_step").busy_ms
    assert busy([(5, 6), (0, 2), (1, 3), (1, 1.5)]) == 4
    assert busy([]) == 0


@pytest.mark.parametrize(
    ("op_name", "row", "column"),
    [
        ("while/body/jvp(ConvNet)/conv2/dot_general", "conv2", "forward"),
        (
            "while/body/transpose(jvp(ConvNet))/conv3/kernel_gradient/dot_general",
            "conv3",
            "kernel gradient",
        ),
        (
            "while/body/transpose(jvp(ConvNet))/conv4/input_gradient/add",
            "conv4",
            "input gradient",
        ),
        (
            "while/body/transpose(jvp(ConvNet))/bn2/reduce_sum",
            "bn2, ReLU, pool",
            "backward, both or other",
        ),
        ("while/body/jvp(ConvNet)/dropout/select_n", "dropout, its random bits", "forward"),
        ("while/body/optimizer/mul", "optimizer", "forward"),
        ("while/body/broadcast", "other", "forward"),
    ],
)
def test_an_operation_has_its_place(op_name, row, column):
    profile_step = script("profile_step")
    rows = profile_step.list_rows(architecture.DEFAULT)
    assert profile_step.place(op_name, rows) == (row, column)


def test_rows_of_a_network_that_uses_a_kernel_again():
    rows = list(script("profile_step").list_rows("8 8 same pool 16"))
    layers = [*("conv1", "conv2", "conv4"), *("bn1, ReLU", "bn2, ReLU", "bn3, ReLU, pool")]
    assert rows[:8] == ["augmentation", *layers, "bn4, ReLU"]


def test_the_profile_accounts_for_a_step(small_config):
    profile_step = script("profile_step")
    result = profile_step.measure(small_config)
    table = result["table_ms"]
    # Everything but constants and counters has a place in the source.
    for layer in range(1, 7):
        assert table[f"conv{layer}"]["forward"] > 0
        assert table[f"conv{layer}"]["kernel gradient"] > 0
    assert table["conv1"]["input gradient"] == 0
    assert table["augmentation"]["forward"] > 0
    total = sum(sum(columns.values()) for columns in table.values())
    assert sum(table["other"].values()) < total / 4
    assert 0 < result["busy_share"] <= 1
    assert result["backend"] == jax.default_backend()


@pytest.mark.slow  # Four runs, two of which compile, and a sweep.
def test_one_go_on_a_new_machine(tiny_config, tmp_path, monkeypatch, capsys):
    accelerator = script("accelerator")
    real = accelerator.run

    def run(command, log, cache):
        # The bench has tests of its own, and takes minutes on the whole data.
        return (
            '{"step_ms_min": 1}' if "mnist_flax.bench" in command else real(command, log, cache)
        )

    monkeypatch.setattr(accelerator, "run", run)
    monkeypatch.setattr(sys, "executable", forking(tmp_path))
    output = tmp_path / "report"
    monkeypatch.setattr(
        sys,
        "argv",
        [
            *("accelerator", "--output", str(output)),
            *("--config", str(tiny_config), "--seeds", "2"),
        ],
    )
    accelerator.main()
    report = json.loads((output / "report.json").read_bytes())
    assert set(report) == {"augmentations", "bench", "profile", "training", "seeds"}
    same = report["augmentations"]
    assert same["chains"] == 100_000
    assert same["equal_draws"] == same["equal_images"] == same["equal_pixels"] == 1
    names = [each["run"] for each in report["training"]]
    assert names == [
        "tiny-float32-fresh",
        "tiny-float32-compiled",
        "tiny-bfloat16-fresh",
        "tiny-bfloat16-compiled",
    ]
    assert report["seeds"]["seeds"] == 2
    assert report["seeds"]["at_once"] == 1  # on a CPU
    assert report["seeds"]["wall_seconds"] > report["seeds"]["training_seconds"] > 0
    assert 0 < report["seeds"]["mean"] < 1
    for each in report["training"]:
        assert each["wall_seconds"] >= each["total_seconds"] > each["compile_seconds"] > 0
    # The second run finds what the first one compiled.
    assert any((output / "tiny-float32").iterdir())


def test_a_part_that_fails_ends_it_and_says_where_to_look(tmp_path):
    with pytest.raises(SystemExit, match=r"ended with 2; see .*x\.log"):
        script("accelerator").run(
            ["-m", "mnist_flax.main", "--no_such_flag"], tmp_path / "x.log", tmp_path
        )
    assert "unknown flag --no-such-flag" in (tmp_path / "x.log").read_text()


def test_bytes_of_collective_operations():
    program = """
  %a = (f32[9,8]{1,0}, f32[]{:T(128)}, /*index=2*/pred[3]{0}) all-reduce(%x, %y, %z), \
metadata={op_name="while/body/(transpose(jvp(ConvNet))/conv1/psum:reduce_sum:bn1/sum)"}
  %b = u8[16,28,28]{2,1,0} reduce-scatter(%x), metadata={op_name="while/body/augment/psum"}
  %c = bf16[4,2]{1,0} all-gather(%b), dimensions={0}
  %d = f32[8]{0} all-reduce(%c), metadata={op_name="transpose(jvp(ConvNet))/bn6/reduce_sum"}
  %e = f32[8]{0} add(%d, %d)
"""
    found = script("collectives").collectives(program, 8)
    assert [tuple(each) for each in found] == [
        ("all-reduce", 3, 4 * 73 + 3, "all gradients, metrics"),
        ("reduce-scatter", 1, 8 * 16 * 784, "batch"),
        ("all-gather", 1, 16, "forward metrics"),
        ("all-reduce", 1, 32, "backward bn6"),
    ]
    # In a ring of two, each sends all it has in an all-reduce and half in a reduce-scatter.
    sent = [script("collectives").wire_bytes(each, 2) for each in found]
    assert sent == [295, 50_176, 8, 32]


@pytest.mark.slow  # Compiles for eight devices.
def test_what_devices_tell_each_other():
    result = subprocess.run(
        [sys.executable, str(FOLDER / "collectives.py"), "--devices", "8"],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line.split() for line in result.stdout.splitlines()]
    sizes = {" ".join(words[1:-3]): int(words[-2].replace(",", "")) for words in lines[2:-3]}
    # Six layers of batch norm, there and back: two float32 a channel each.
    assert sum(size for name, size in sizes.items() if " bn" in name) == 2 * 8 * 136
    # Of the 19,114 parameters, those of batch norm are counted there, and the gradients of the
    # biases before it are zero; loss, accuracy and the number of images are added up, too.
    assert sizes["all gradients, metrics"] == 4 * (19_114 - 3 * 136 + 3)
    # No image is sent.
    assert sizes.keys() == {
        "all gradients, metrics",
        *(f"{way} bn{i}" for way in ("forward", "backward") for i in range(1, 7)),
    }
    assert lines[-3][:3] == ["13", "a", "step"]
    assert "steps an epoch: 469" in result.stdout
    # 2 x 4 chips: one step to the side and two along, there and back, 13 times, 1 µs each.
    assert " 78 the messages' way" in result.stdout


COMPILED_STEP = """
%fused_computation (p: f32[8,16]) -> f32[8,16] {
  %p = f32[8,16]{1,0} parameter(0)
  ROOT %add.1 = f32[8,16]{1,0} add(%p, %p)
}

%body (arg: (f32[8,16], u8[60000,28,28])) -> (f32[8,16], u8[60000,28,28]) {
  %arg = (f32[8,16]{1,0}, u8[60000,28,28]{2,1,0}) parameter(0)
  %x = f32[8,16]{1,0:T(8,128)S(1)} get-tuple-element(%arg), index=0
  %images = u8[60000,28,28]{0,2,1:T(8,128)(4,1)} get-tuple-element(%arg), index=1
  %gather_fusion = u8[2,28,28]{2,1,0} fusion(%images), kind=kCustom, \
metadata={op_name="jit(f)/while/body/augment/gather"}, backend_config={"flag_configs":[]}
  %fusion.1 = (bf16[8,16]{1,0}, pred[4]{0}) fusion(%x), kind=kLoop, \
metadata={op_name="jit(f)/while/body/transpose(jvp(ConvNet))/conv2/mul"}, \
backend_config={"window_config":{"estimated_cycles":"1840"}}
  %sum = f32[8,16]{1,0} all-reduce(%x), metadata={op_name="jit(f)/while/body/psum"}
  %add.2 = f32[] add(%x, %x)
  ROOT %t = (f32[8,16]{1,0}, u8[60000,28,28]{2,1,0}) tuple(%sum, %images)
}

ENTRY %main (x: f32[8,16]) -> f32[8,16] {
  %small = f32[8,16]{1,0} while(%x), condition=%fused_computation, body=%fused_computation
  ROOT %while = (f32[8,16]{1,0}, u8[60000,28,28]{2,1,0}) while(%t), condition=%c, body=%body
}
"""


def test_a_compiled_step_is_read_by_layer():
    compiled = script("compiled")
    operations = compiled.loop_operations(COMPILED_STEP)
    # Of a split only what is taken from it counts.
    assert [tuple(each) for each in operations] == [
        ("gather_fusion", "fusion", "jit(f)/while/body/augment/gather", None, 2 * 784, 1),
        (
            "fusion.1",
            "fusion",
            "jit(f)/while/body/transpose(jvp(ConvNet))/conv2/mul",
            1840,
            4 * 128 + 2 * 128 + 4,
            1,
        ),
        ("sum", "all-reduce", "jit(f)/while/body/psum", None, 2 * 4 * 128, 1),
    ]
    sums = compiled.summary(operations, per_place=True)
    assert sums["cycles"] == 1840
    assert sums["operations"] == 3
    assert sums["without_estimate"] == ["gather_fusion"]
    assert sums["collectives"] == {"all-reduce": 1}
    assert sums["places"].keys() == {"augmentation", "conv2, backward", "other"}
    assert sums["places"]["conv2, backward"]["cycles"] == 1840


NESTED_STEPS = """
%step (arg: (f32[2,28], f32[4,2,28])) -> (f32[2,28], f32[4,2,28]) {
  %drawn = f32[4,2,28]{2,1,0} get-tuple-element(%arg), index=1
  %batch = f32[2,28]{1,0} fusion(%drawn), kind=kLoop, \
backend_config={"window_config":{"estimated_cycles":"1840"}}
  %next = f32[2,28]{1,0} copy(%batch)
  ROOT %t = (f32[2,28]{1,0}, f32[4,2,28]{2,1,0}) tuple(%next, %drawn)
}

%around (arg: f32[4,2,28]) -> f32[4,2,28] {
  %block = f32[4,2,28]{2,1,0} fusion(%arg), kind=kLoop, \
backend_config={"window_config":{"estimated_cycles":"1000"}}
  ROOT %inner = f32[4,2,28]{2,1,0} while(%block), condition=%c, body=%step
}

ENTRY %main (x: f32[4,2,28]) -> f32[4,2,28] {
  ROOT %while = f32[4,2,28]{2,1,0} while(%x), condition=%c, body=%around
}
"""


def test_what_several_steps_have_in_common_counts_by_its_share():
    compiled = script("compiled")
    operations = compiled.loop_operations(NESTED_STEPS, ahead=4, batch_size=2)
    # Of the batches drawn ahead a step reads its own, which is what it writes.
    assert [(each.name, each.share, each.bytes) for each in operations] == [
        ("batch", 1, 4 * 2 * 28),
        ("next", 1, 2 * 4 * 2 * 28),
        ("block", 1 / 4, 4 * 4 * 2 * 28),
    ]
    sums = compiled.summary(operations, per_place=False)
    assert sums["cycles"] == 1840 + 1000 / 4
    assert sums["operations"] == 2 + 1 / 4


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("tpu-v5e", "pip install 'jax[tpu]==" + jax.__version__),
        ("tpu-v6e:2x4", "pip install 'jax[tpu]=="),
        ("gpu-h100", "pip install --no-deps jax-cuda13-plugin==" + jax.__version__),
        ("tpu-v1", "unknown target tpu-v1; known: tpu-v4, tpu-v5e, tpu-v6e, gpu-h100"),
    ],
)
def test_a_compiler_that_is_missing(target, words, monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["compiled", "--target", target])
    compiled = script("compiled")
    with pytest.raises(SystemExit, match=re.escape(words)):
        compiled.main()
    assert capsys.readouterr().out == ""


def test_a_report_says_first_that_nothing_ran(monkeypatch, capsys):
    compiled = script("compiled")
    sums = compiled.summary(compiled.loop_operations(COMPILED_STEP), per_place=True)
    program = dict.fromkeys(
        ("compile_seconds", "temporary_megabytes", "argument_megabytes", "code_megabytes"), 1.0
    )
    result = {"programs": {"steps": program}, "step": sums, "plain": sums}
    monkeypatch.setattr(compiled, "measure", lambda target, config: result)
    for arguments in ([], ["--json"]):
        monkeypatch.setattr(sys, "argv", ["compiled", "--target", "tpu-v5e", *arguments])
        compiled.main()
    table, _, line = capsys.readouterr().out.rstrip().rpartition("\n")
    assert table.startswith("Estimates of the compilers, for devices that are not here. Noth")
    assert "a step: 1 operations without an estimate: gather_fusion" in table
    assert "a step: messages between chips: {'all-reduce': 1}" in table
    assert table.endswith("cycles of plain Flax's: 1.00")
    assert json.loads(line)["note"] == compiled.HEADER
    assert json.loads(line)["targets"] == {"tpu-v5e": result}


def test_the_gate_of_compiled_programs(tmp_path, monkeypatch, capsys):
    gate = script("compile_gate")
    figures = dict(cycles=1000.0, operations=10.0, megabytes=5.0)
    now = {gate.CASES[0]: figures, gate.CASES[1]: figures}

    def measure(name, target):
        found = now[name, target]
        if isinstance(found, BaseException):
            raise found
        return found

    monkeypatch.setattr(gate, "CASES", gate.CASES[:2])
    monkeypatch.setattr(gate, "RECORDS", tmp_path / "compiled.json")
    monkeypatch.setattr(gate, "measure", measure)
    assert gate.check(record=False) == 0
    assert capsys.readouterr().out.count("no record") == 2
    assert gate.check(record=True) == 0
    assert gate.check(record=False) == 0
    now[gate.CASES[1]] = figures | {"cycles": 1099.0}
    assert gate.check(record=False) == 0
    capsys.readouterr()
    now[gate.CASES[1]] = figures | {"cycles": 1101.0}
    assert gate.check(record=False) == 1
    words = "best on gpu-h100 has 1,101.0 cycles a step; 1,000.0 are recorded\n"
    assert words in capsys.readouterr().out
    now[gate.CASES[1]] = jax.errors.JaxRuntimeError("no such fusion")
    assert gate.check(record=False) == 1
    assert "best on gpu-h100 does not compile: no such fusion" in capsys.readouterr().out
    # Without the compiler it goes on, and says so once.
    now |= dict.fromkeys(now, SystemExit("The compiler is not installed."))
    assert gate.check(record=False) == 0
    assert capsys.readouterr().out.count("gpu-h100 is left out.") == 1


def test_the_gate_has_records_of_its_cases():
    gate = script("compile_gate")
    records = json.loads(gate.RECORDS.read_text())
    assert records.keys() <= {f"{name} on {target}" for name, target in gate.CASES}
    assert {f"default on {target}" for target in (gate.TPU, gate.GPU)} <= records.keys()
    assert all(record.keys() == set(gate.FIGURES) for record in records.values())


def test_frontier(tmp_path, monkeypatch, capsys):
    frontier = script("frontier")
    config = config_lib.load(config_lib.default_path())
    small = config_lib.override(config, {"model.architecture": "4 pool 4 pool 4"})
    keys = ("setting", "seed", "epochs", "test_accuracy", "diverged_at", "final_test_accuracy")
    sweeps = {"whole": (config, 0.99), "whole-elsewhere": (config, 0.98), "small": (small, 0.9)}
    for name, (config, lowest) in sweeps.items():
        sweep = tmp_path / name
        sweep.mkdir()
        records.begin(sweep, [("", config)])
        with (sweep / records.LINES).open("w") as file:
            for seed, final in enumerate((lowest + 0.001, lowest + 0.003)):
                line = dict(zip(keys, ("", seed, 1, [final], None, final), strict=True))
                file.write(json.dumps({**line, "first_epoch_at_target": None}) + "\n")
    monkeypatch.setattr(frontier, "SWEEPS", tmp_path)
    output = tmp_path / "frontier.png"
    monkeypatch.setattr(sys, "argv", ["frontier", "--output", str(output)])
    frontier.main()
    assert capsys.readouterr().out.splitlines() == [
        "small: 410 parameters, 90.200 ± 0.141 %, n = 2",
        "whole: 19,114 parameters, 99.200 ± 0.141 %, n = 2",
    ]
    assert output.read_bytes().startswith(b"\x89PNG")


def test_the_names_in_the_frontier_touch_nothing():
    frontier = script("frontier")
    points = frontier.points()
    figure = frontier.draw(points)
    figure.canvas.draw()
    (axes,) = figure.axes
    names = [text.get_window_extent() for text in axes.texts]
    assert [text.get_text() for text in axes.texts] == [f"{x.name}, n = {x.n}" for x in points]
    everything = [*frontier.occupied(axes, points), *names]
    for name in names:
        assert [box for box in everything if box.overlaps(name)] == [name]
        assert axes.bbox.containsx(name.x0)
        assert axes.bbox.containsx(name.x1)
    # Of so many points at one place one finds no room.
    with pytest.raises(ValueError, match="no room for the name of best"):
        frontier.draw([frontier.Point("best", 6_600, 99.5, 0.01, 1)] * 9)


def test_the_results_are_those_of_the_sweeps_that_are_kept(capsys):
    results, frontier = script("results"), script("frontier")
    results.main()
    head, _, *rows = capsys.readouterr().out.splitlines()
    text = frontier.SWEEPS.parents[1].joinpath("RESULTS.md").read_text()
    assert rows
    for line in (head, *rows):
        assert f"\n{line}\n" in text
    # No seed was left out, and nothing but the accuracies after the last epoch counts.
    for folder, row in zip(frontier.kept(), rows, strict=True):
        lines = (folder / records.LINES).read_text().splitlines()
        seeds = sorted(map(json.loads, lines), key=lambda line: line["seed"])
        assert [line["seed"] for line in seeds] == list(range(len(seeds)))
        finals = [100 * line["test_accuracy"][-1] for line in seeds]
        mean_and_sd = f"{statistics.mean(finals):.3f} ± {statistics.stdev(finals):.3f}"
        assert f"| {len(seeds)} | **{mean_and_sd}** |" in row


def test_the_sweeps_that_are_kept_are_of_the_configs_as_they_are():
    frontier = script("frontier")
    configs = config_lib.default_path().parent
    for folder in frontier.kept():
        name = folder.name.partition("-")[0]
        settings = {"": records._fields(config_lib.load(configs / f"{name}.py"))}
        assert json.loads((folder / records.SETTINGS).read_text()) == settings, name


def test_the_points_of_others_are_those_of_the_results():
    frontier = script("frontier")
    text = frontier.SWEEPS.parents[1].joinpath("RESULTS.md").read_text()
    # What others published, but for the last epochs, which stand beside the best ones.
    best, last, many = frontier.PUBLIC.values()
    for params, accuracy in (best | many).items():
        assert re.search(rf"^\| {params:,} \| {accuracy:g}0? \|", text, re.MULTILINE)
    for accuracy in last.values():
        assert re.search(rf"^\| .*; {accuracy} after the last \|$", text, re.MULTILINE)


def test_times_are_compared_with_epochs_of_the_better_layout():
    lines = script("time_to_target").table(
        {
            "a run and its compilation": [50, 60, 100],
            "a run, compiled before": [30, 40, 50],
            "PyTorch's epoch, contiguous": [20, 24, 40],
            "PyTorch's epoch, channels_last": [22, 22, 22],
        }
    )
    assert lines[0].split()[-3:] == ["50.0", "60.0", "s"]
    assert lines[-2].endswith(": 10.0, 8.2")  # 15 times 20 and 22, by 30 and 40.
    assert lines[-1].endswith(": 6.0, 5.5")


@pytest.mark.slow  # Two runs, one of which compiles.
def test_time_to_target(tiny_config, tmp_path, monkeypatch, capsys):
    @contextlib.contextmanager
    def start(python, platform):
        epochs = {f"torch_{x}_epoch_seconds": lambda: [30.0] for x in torch_process.LAYOUTS}
        yield torch_process.Torch({}, epochs, {})

    monkeypatch.setattr(torch_process, "start", start)
    monkeypatch.setattr(sys, "executable", forking(tmp_path))
    command = ["time_to_target", "--config", str(tiny_config), "--rounds", "1"]
    monkeypatch.setattr(sys, "argv", command)
    script("time_to_target").main()
    lines = capsys.readouterr().out.splitlines()
    fresh, compiled = (float(line.split()[-2]) for line in lines[1:3])
    assert fresh > compiled > 0
    assert "PyTorch's 15 epochs / a run, compiled before: " in lines[5]
    assert 0 < float(lines[-1].rpartition(" ")[2]) < 100
