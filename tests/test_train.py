"""A run from config to summary, in this process."""

import json

import jax
import jax.numpy as jnp
import pytest

from mnist_flax import config as config_lib
from mnist_flax import train
from mnist_flax.epoch import Programs
from mnist_flax.errors import TrainingError, UserError


@pytest.fixture
def config(data_dir):
    config = config_lib.load(config_lib.default_path())
    config.data_dir = str(data_dir)
    config.train_split, config.test_split = "train[:200]", "test[:100]"
    config.num_epochs = 2
    return config


def read_metrics(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def test_a_run_writes_its_contract(config, tmp_path, capsys):
    summary = train.train_and_evaluate(config, tmp_path)
    assert summary == json.loads((tmp_path / "summary.json").read_text())
    assert summary["params"] == 19_114
    assert summary["epochs"] == 2
    assert 0 < summary["compile_seconds"] < summary["total_seconds"]
    assert summary["config"]["train_split"] == "train[:200]"
    metrics = read_metrics(tmp_path)
    assert [(m["epoch"], m["step"], m["learning_rate"]) for m in metrics] == [
        (1, 2, 0.001),
        (2, 4, 0.001),
    ]
    assert metrics[-1]["test_accuracy"] == summary["final_test_accuracy"]
    assert "19,114" in capsys.readouterr().out


def test_a_seed_gives_the_same_run_bit_for_bit(config, tmp_path):
    def figures(name):
        train.train_and_evaluate(config, tmp_path / name)
        timed = ("seconds", "per_second")
        return [
            {key: value for key, value in m.items() if not key.endswith(timed)}
            for m in read_metrics(tmp_path / name)
        ]

    first, again = figures("first"), figures("again")
    assert first == again
    config.seed = 1
    assert figures("other") != first


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_what_was_written(
    config, tmp_path, monkeypatch
):
    train_epoch = Programs.train_epoch

    def poisoned(self, state, key, number, bar):
        if number == 2:
            state = state._replace(params=jax.tree.map(lambda x: x * jnp.nan, state.params))
        return train_epoch(self, state, key, number, bar)

    monkeypatch.setattr(Programs, "train_epoch", poisoned)
    with pytest.raises(TrainingError, match=r"the loss of step 3 \(epoch 2\) is not finite"):
        train.train_and_evaluate(config, tmp_path)
    assert [m["epoch"] for m in read_metrics(tmp_path)] == [1]
    assert not (tmp_path / "summary.json").exists()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("num_epochs", 0, "config.num_epochs is 0"),
        ("batch_size", 201, "config.batch_size is 201; it must be at most 200"),
        ("train_split", "train[:0]", "empty"),
    ],
)
def test_bad_input_is_answered_before_anything_is_written(
    config, tmp_path, key, value, message
):
    config[key] = value
    with pytest.raises(UserError, match=message):
        train.train_and_evaluate(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
