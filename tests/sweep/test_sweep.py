"""Tests `python -m mnist_flax.sweep` from the command line to its files."""

import io
import json
import os
import re
import signal
import subprocess
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import forks, pictures, quick_runs
from helpers.terminals import run_on_terminal
from PIL import Image

from mnist_flax import evaluate
from mnist_flax import main as main_command
from mnist_flax.programs import Programs
from mnist_flax.sweep import command, records, seeds
from mnist_flax.sweep.records import LINES, SETTINGS

# As other tests train: the programs may be in the cache.
SMALL = [
    "--config.model.architecture=4",
    "--config.train_split=train[:256]",
    "--config.test_split=test[:100]",
    "--config.num_epochs=2",
    "--config.target_accuracy=0.1",
]


def run(*argv):
    with quick_runs.sharing_programs():
        return command.main([*SMALL, *map(str, argv)])


def lines_of(workdir):
    return [json.loads(line) for line in (workdir / LINES).read_text().splitlines()]


@pytest.fixture(scope="module")
def swept(data_dir, tmp_path_factory):
    """Trains three seeds, the first two of them in an earlier call; returns its lines, too."""
    workdir = tmp_path_factory.mktemp("sweeps") / "three"
    assert run("--workdir", workdir, "--seeds", 2, "--tta") == 0
    before = lines_of(workdir)
    assert run("--workdir", workdir, "--seeds", 3, "--tta") == 0
    return workdir, before


def test_each_seed_has_a_line_and_is_trained_once(swept):
    workdir, before = swept
    lines = lines_of(workdir)
    assert lines[:2] == before
    assert [line["seed"] for line in lines] == [0, 1, 2]
    for line in lines:
        assert len(line["test_accuracy"]) == line["epochs"] == 2
        assert line["final_test_accuracy"] == pytest.approx(line["test_accuracy"][-1])
        assert line["best_test_accuracy"] == pytest.approx(max(line["test_accuracy"]))
        first = line["first_epoch_at_target"]
        assert first is None or line["test_accuracy"][first - 1] >= 0.1 - 1e-6
    assert len({line["train_loss"][0] for line in lines}) == 3


def test_a_seed_is_the_run_of_that_seed_alone(swept, tmp_path, capsys):
    argv = [*SMALL, "--config.seed=1", "--workdir", str(tmp_path / "run")]
    with pictures.one_picture():
        assert main_command.main(argv) == 0
    text = (tmp_path / "run" / "metrics.jsonl").read_text()
    alone = [json.loads(line) for line in text.splitlines()]
    for name in seeds.Curves._fields:
        assert lines_of(swept[0])[1][name] == [record[name] for record in alone]
    capsys.readouterr()
    assert evaluate.main(["--workdir", str(tmp_path / "run"), "--tta", "--json"]) == 0
    evaluated = json.loads(capsys.readouterr().out)
    assert lines_of(swept[0])[1]["tta_test_accuracy"] == evaluated["tta"]["accuracy"]


@pytest.mark.slow
def test_seeds_at_once_are_those_alone_to_rounding(swept, tmp_path):
    """Three seeds in turns of two: the last turn is filled up."""
    workdir = tmp_path / "sweep"
    assert run("--workdir", workdir, "--seeds", 3, "--parallel", 2, "--tta") == 0
    for once, alone in zip(lines_of(workdir), lines_of(swept[0]), strict=True):
        assert once["seed"] == alone["seed"]
        assert once["parallel"] == 2
        assert alone["parallel"] == 1
        assert once["train_loss"] == pytest.approx(alone["train_loss"], rel=1e-4)
        # Four steps of Adam, of 1e-3 each, with batch norm's statistics still moving.
        assert once["test_loss"] == pytest.approx(alone["test_loss"], rel=1e-2)
        for name in ("train_accuracy", "test_accuracy", "tta_test_accuracy"):
            assert once[name] == pytest.approx(alone[name], abs=0.02)


def test_what_is_printed_and_drawn(swept, capsys):
    workdir, _ = swept
    assert run("--workdir", workdir, "--seeds", 3) == 0
    out = capsys.readouterr().out
    finals = 100 * np.array([line["final_test_accuracy"] for line in lines_of(workdir)])
    assert f"{finals.mean():.3f} ± {finals.std(ddof=1):.3f}" in out
    assert "with TTA, %" in out
    augmented = 100 * np.array([line["tta_test_accuracy"] for line in lines_of(workdir)])
    assert f"  {augmented.mean():.3f} ± {augmented.std(ddof=1):.3f}  " in out
    assert "seed 0" not in out  # Nothing was left to train.
    picture = Image.open(io.BytesIO((workdir / command.PICTURE).read_bytes()))
    assert picture.size == (1500, 900)
    assert json.loads((workdir / SETTINGS).read_text())[""]["num_epochs"] == 2


def test_a_sweep_against_another(swept, tmp_path, capsys):
    workdir, _ = swept
    other = tmp_path / "other"
    other.mkdir()
    (other / SETTINGS).write_text((workdir / SETTINGS).read_text())
    worse = [line | {"final_test_accuracy": 0.01} for line in lines_of(workdir)]
    (other / LINES).write_text("".join(json.dumps(line) + "\n" for line in worse))
    assert run("--workdir", workdir, "--seeds", 3, "--against", other) == 0
    words = capsys.readouterr().out
    finals = 100 * np.array([line["final_test_accuracy"] for line in lines_of(workdir)])
    assert f"the config less {other}: {finals.mean() - 1:+.3f}, 95 % interval " in words
    assert "the config: n = 3 can show a difference of " in words
    assert run("--workdir", workdir, "--seeds", 3, "--against", workdir / LINES) == 0
    assert "+0.000, 95 % interval" in (words := capsys.readouterr().out)
    assert "no difference seen" in words


@pytest.mark.usefixtures("impatient", "data_dir")
def test_lines_that_say_how_far_it_is(tmp_path, capsys):
    argv = ["--seeds", 2, "--grid", "learning_rate=1e-3,3e-3", "--workdir", tmp_path / "sweep"]
    assert run(*argv) == 0
    out, err = capsys.readouterr()
    assert "epochs" not in out
    lines = [line for line in err.splitlines() if "Compiling" not in line]
    assert [line.partition(", about ")[0] for line in lines] == [
        "1 of 8 epochs, learning_rate=0.001, seed 0",
        "2 of 8 epochs, learning_rate=0.001, seed 0",
        "3 of 8 epochs, learning_rate=0.001, seed 1",
        "4 of 8 epochs, learning_rate=0.001, seed 1",
        "5 of 8 epochs, learning_rate=0.003, seed 0",
        "6 of 8 epochs, learning_rate=0.003, seed 0",
        "7 of 8 epochs, learning_rate=0.003, seed 1",
    ]
    assert run(*argv) == 0
    assert "epochs" not in capsys.readouterr().err  # Nothing was left to train.


@pytest.mark.parametrize(("seeds", "words"), [([3], "seed 3"), ([3, 4, 5], "seeds 3 to 5")])
def test_the_names_of_seeds(seeds, words):
    assert records.describe_seeds("", seeds) == words
    assert records.describe_seeds("batch_size=64", seeds) == f"batch_size=64, {words}"


SHOWN_AT_ONCE = """
import sys
from mnist_flax.system import progress
from mnist_flax.sweep import command
progress.PATIENCE, progress._PERIOD = 0.0, 0.02
sys.exit(command.main(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("columns", "bar"),
    [
        (80, r" 50%\|█████     \| 2/4 epochs, \d\d:\d\d left, seed 1"),
        (40, r"2/4 epochs, \d\d:\d\d left, seed 1"),
    ],
)
def test_a_bar_on_a_terminal(data_dir, tmp_path, columns, bar):
    argv = [*SMALL, "--seeds=2", "--workdir=s"]
    seen = run_on_terminal(["-c", SHOWN_AT_ONCE, *argv], columns, cwd=tmp_path, NO_COLOR="1")
    assert seen.status == 0, seen.raw
    assert any(re.fullmatch(bar, line) for line in seen.drawn), seen.drawn
    assert any(line.startswith("Compiling (less the next time): ") for line in seen.drawn)
    # The bar has left nothing behind, before, between and after the lines that stay.
    starts = [line.split()[0] for line in seen.screen if line]
    assert starts == ["Workdir:", "seed", "seed", "setting", "the", "the", "Results:"]


def test_a_grid(data_dir, tmp_path, capsys):
    workdir = tmp_path / "grid"
    argv = ["--seeds", 1, "--grid", "learning_rate=1e-3,3e-3", "--config.num_epochs=1"]
    assert run("--workdir", workdir, *argv) == 0
    lines = lines_of(workdir)
    assert [line["setting"] for line in lines] == ["learning_rate=0.001", "learning_rate=0.003"]
    assert lines[0]["test_loss"] != lines[1]["test_loss"]
    settings = json.loads((workdir / SETTINGS).read_text())
    assert [fields["learning_rate"] for fields in settings.values()] == [0.001, 0.003]
    assert "learning_rate=0.003  1" in capsys.readouterr().out


def test_a_half_written_line_is_trained_again(swept, tmp_path):
    workdir = tmp_path / "sweep"
    workdir.mkdir()
    for name in (SETTINGS, LINES):
        (workdir / name).write_bytes((swept[0] / name).read_bytes())
    whole = (workdir / LINES).read_text()
    (workdir / LINES).write_text(whole[:-40])
    assert run("--workdir", workdir, "--seeds", 3, "--tta") == 0
    repaired = lines_of(workdir)
    for line, before in zip(repaired, lines_of(swept[0]), strict=True):
        assert {**line, "seconds": 0} == {**before, "seconds": 0}


@pytest.mark.parametrize(
    ("free", "each", "wanted", "expected"),
    [(None, 10, 5, 1), (100, 10, 5, 5), (100, 10, 64, 8), (5, 10, 64, 1), (100, 0, 64, 64)],
)
def test_as_many_seeds_as_memory_holds(free, each, wanted, expected):
    assert seeds._that_fit(free, each, wanted) == expected


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--seeds", "0"], "--seeds is 0; it must be at least 1"),
        (["--parallel", "0"], "--parallel is 0; it must be at least 1"),
        (["--grid", "learning_rate"], "is not FIELD=VALUE"),
        (["--grid", "rate=1"], "config.rate is unknown"),
        (["--grid", "seed=1,2"], "--seeds says how many"),
        (["--grid", "batch_size=64,x"], "config.batch_size is 'x'"),
        (["--grid", "batch_size=64,0"], "config.batch_size is 0"),
        (["--grid", "batch_size=64,500"], "at most 256"),
        (["--grid", "batch_size=64", "--grid", "batch_size=32"], "--grid has batch_size twice"),
        (["--config.train_split=train[70000:]"], "config.train_split 'train[70000:]'"),
        (["more"], "unexpected argument 'more'"),
    ],
)
def test_bad_input(data_dir, tmp_path, capsys, argv, words):
    workdir = tmp_path / "sweep"
    assert run("--workdir", workdir, *argv) == 2
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1
    assert not workdir.exists()


def test_another_sweep_in_the_workdir(swept, capsys):
    workdir, _ = swept
    before = {path.name: path.read_bytes() for path in workdir.iterdir()}
    assert run("--workdir", workdir, "--config.learning_rate=0.01") == 2
    assert "holds a sweep of another config" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in workdir.iterdir()} == before


@pytest.mark.parametrize("text", ["no JSON\n", '{"seed": 0}\n', "7\n", "[" * 9999 + "\n"])
def test_damaged_lines(swept, tmp_path, capsys, text):
    workdir = tmp_path / "sweep"
    workdir.mkdir()
    (workdir / SETTINGS).write_bytes((swept[0] / SETTINGS).read_bytes())
    (workdir / LINES).write_text(text)
    assert run("--workdir", workdir) == 2
    err = capsys.readouterr().err
    assert "cannot be read" in err
    assert err.count("\n") == 1
    assert (workdir / LINES).read_text() == text


def poison(monkeypatch, seed):
    """Makes the weights of a seed NaN at the start of its second epoch."""
    train_epoch = Programs.train_epoch

    def poisoned(self, state, key, number):
        words = jax.random.key_data(key)[..., 1]
        if number == 2:

            def spoil(x):
                bad = (words == seed).reshape(words.shape + (1,) * (x.ndim - words.ndim))
                return jnp.where(bad, jnp.nan, x)

            state = state._replace(params=jax.tree.map(spoil, state.params))
        return train_epoch(self, state, key, number)

    monkeypatch.setattr(Programs, "train_epoch", poisoned)


@pytest.mark.parametrize("parallel", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_seed_that_diverges(data_dir, tmp_path, capsys, monkeypatch, parallel):
    """The others are trained to their end, and only they count; the exit status is 1."""
    poison(monkeypatch, seed=1)
    workdir = tmp_path / "sweep"
    argv = ("--seeds", 3, "--parallel", parallel, "--tta", "--workdir", workdir)
    assert run(*argv) == 1
    out, err = capsys.readouterr()
    lines = lines_of(workdir)
    # Two steps an epoch.
    assert [line["diverged_at"] for line in lines] == [None, 3, None]
    assert [len(line["test_accuracy"]) for line in lines] == [2, 1, 2]
    assert lines[1]["final_test_accuracy"] is None
    assert lines[1]["first_epoch_at_target"] is None
    assert [line["tta_test_accuracy"] is None for line in lines] == [False, True, False]
    assert "seed 1: diverged at step 3" in out
    mean = np.mean([100 * lines[i]["final_test_accuracy"] for i in (0, 2)])
    assert f"the config  2 (1 diverged)  {mean:.3f} ± " in out
    assert "1 of 3 seeds diverged, the first at step 3" in err
    assert err.count("\n") == 1
    # It is not trained again.
    assert run(*argv) == 1
    assert lines_of(workdir) == lines


def test_a_setting_of_which_all_seeds_diverge(data_dir, tmp_path, capsys, monkeypatch):
    poison(monkeypatch, seed=0)
    workdir = tmp_path / "sweep"
    assert run("--seeds", 1, "--workdir", workdir) == 1
    assert "the config  0 (1 diverged)  -" in capsys.readouterr().out
    assert Image.open(workdir / command.PICTURE).size == (1500, 900)


def test_what_a_line_says_of_its_machine(swept):
    line = lines_of(swept[0])[0]
    assert line["backend"] == "cpu"
    assert line["device_count"] == 1
    assert line["versions"]["jax"] == jax.__version__


def test_sigterm(data_dir, tmp_path):
    """The seeds that are done are on record; the same command trains the others."""
    workdir = tmp_path / "sweep"
    argv = [
        *(*forks.python(), "-m", "mnist_flax.sweep", *SMALL, "--seeds", "3"),
        *("--workdir", str(workdir), "--config.num_epochs=30"),
    ]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not (
            (workdir / LINES).exists() and (workdir / LINES).read_bytes()
        ):
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        err = process.communicate(timeout=300)[1]
    assert process.returncode == 143
    before = lines_of(workdir)
    assert 1 <= len(before) < 3
    assert f"terminated: seeds done: {len(before)}; the same command" in err
    assert run("--workdir", workdir, "--seeds", 3, "--config.num_epochs=30") == 0
    assert lines_of(workdir)[: len(before)] == before
    assert [line["seed"] for line in lines_of(workdir)] == [0, 1, 2]


@pytest.mark.slow
def test_seeds_at_once_on_many_devices(swept, tmp_path):
    workdir = tmp_path / "sweep"
    options = ("--workdir", str(workdir), "--seeds", "3", "--parallel", "2")
    result = subprocess.run(
        [*forks.python(), "-m", "mnist_flax.sweep", *SMALL, *options],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "JAX_NUM_CPU_DEVICES": "4"},
    )
    assert result.returncode == 0, result.stderr
    for many, alone in zip(lines_of(workdir), lines_of(swept[0]), strict=True):
        assert many["device_count"] == 4
        assert many["train_loss"] == pytest.approx(alone["train_loss"], rel=1e-4)


def test_help(capsys):
    assert command.main(["--help"]) == 0
    out = capsys.readouterr().out
    assert "--grid" in out
    assert "--config.learning_rate" in out
