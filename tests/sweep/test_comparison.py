"""Tests what a sweep says of differences."""

import json
import math

import numpy as np
import pytest
from scipy import stats

from mnist_flax import config as config_lib
from mnist_flax.errors import UserError
from mnist_flax.sweep import command, comparison
from mnist_flax.sweep.records import LINES, SETTINGS

OURS, THEIRS = [0.996, 0.997, 0.9965, 0.9972], [0.995, 0.9952, 0.9949]


def line(final, seed=0):
    return {
        "setting": "",
        "seed": seed,
        "epochs": 2,
        "test_accuracy": [0.9, final],
        "diverged_at": None,
        "final_test_accuracy": final,
        "first_epoch_at_target": None,
    }


def make_sweep(folder, finals, **fields):
    config = config_lib.flatten(config_lib.load(config_lib.default_path()))
    folder.mkdir()
    (folder / SETTINGS).write_text(json.dumps({"": config | fields}))
    lines = [json.dumps(line(final, seed)) + "\n" for seed, final in enumerate(finals)]
    (folder / LINES).write_text("".join(lines))
    return folder


def test_the_interval_is_scipys_of_welch():
    found = comparison.subtract(OURS, THEIRS)
    expected = stats.ttest_ind(OURS, THEIRS, equal_var=False).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.mean == pytest.approx(np.mean(OURS) - np.mean(THEIRS))
    assert found.seen
    assert not comparison.subtract(OURS, OURS).seen


def test_what_n_resolves_is_cohens_table():
    # Cohen, table 2.4.1, a two-sided 5 % and power 80 %: d = 0.80 takes n = 26, 0.50 n = 64.
    assert comparison.resolved(26, 1.0) == pytest.approx(0.80, abs=0.01)
    assert comparison.resolved(64, 1.0) == pytest.approx(0.50, abs=0.01)


def test_what_n_resolves_is_shown_in_80_percent_of_draws():
    rng, n = np.random.default_rng(0), 5
    ours = rng.normal(comparison.resolved(n, 1.0), 1.0, (20_000, n))
    test = stats.ttest_ind(ours, rng.normal(0.0, 1.0, (20_000, n)), axis=1)
    assert np.mean(test.pvalue < 0.05) == pytest.approx(0.8, abs=0.01)


def test_words():
    other = comparison.Other("other", [line(x) for x in OURS])
    groups = {"same": [line(x) for x in OURS], "worse": [line(x) for x in THEIRS]}
    same, worse = comparison.describe(groups, other).splitlines()[1::2]
    assert same.startswith("same less other: +0.000, ")
    assert same.endswith(": no difference seen")
    assert worse.startswith("worse less other: -0.164, ")
    assert "no difference" not in worse
    assert "nan" not in comparison.describe({"one": [line(0.9)]}, other)
    assert not math.isnan(comparison.resolved(2, 0.0))


@pytest.mark.parametrize(
    ("finals", "fields", "words"),
    [
        ([0.99], {}, "n = 1 finished seeds"),
        ([0.99, "x"], {}, "not a number"),
        ([0.99, 0.98], {"test_split": "train[55000:]"}, "has test_split="),
    ],
)
def test_bad_sweeps(tmp_path, finals, fields, words, capsys):
    folder = make_sweep(tmp_path / "other", finals, **fields)
    argv = ["--against", str(folder), "--workdir", str(tmp_path / "ours")]
    assert command.main(argv) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "ours").exists()


def test_no_sweep_and_one_seed(tmp_path, capsys):
    assert command.main(["--against", str(tmp_path)]) == 2
    assert "is not a sweep that can be read" in capsys.readouterr().err
    folder = make_sweep(tmp_path / "other", OURS)
    assert command.main(["--against", str(folder), "--seeds", "1"]) == 2
    assert "--against needs --seeds" in capsys.readouterr().err


def test_the_file_is_as_good_as_its_folder(tmp_path):
    folder = make_sweep(tmp_path / "other", OURS)
    settings = [("", config_lib.load(config_lib.default_path()))]
    ours = comparison.read(folder, settings).lines
    assert ours == comparison.read(folder / LINES, settings).lines
    with pytest.raises(UserError, match="not a sweep"):
        comparison.read(tmp_path / "none.jsonl", settings)
