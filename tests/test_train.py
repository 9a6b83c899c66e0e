"""A run from config to summary, in this process."""

import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mnist_flax import config as config_lib
from mnist_flax import train
from mnist_flax.checkpoints import Checkpoints
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


def figures(workdir):
    """What is in metrics.jsonl but for the times."""
    timed = ("seconds", "per_second")
    return [
        {key: value for key, value in m.items() if not key.endswith(timed)}
        for m in read_metrics(workdir)
    ]


def final_state(config, workdir):
    create = partial(train.create_train_state, config=config, num_images=200)
    with Checkpoints(workdir) as saved:
        return saved.restore(config.num_epochs, jax.eval_shape(create, jax.random.key(0)))[0]


def test_a_seed_gives_the_same_run_bit_for_bit(config, tmp_path):
    for name in ("first", "again"):
        train.train_and_evaluate(config, tmp_path / name)
    assert figures(tmp_path / "first") == figures(tmp_path / "again")
    states = [final_state(config, tmp_path / name) for name in ("first", "again")]
    jax.tree.map(np.testing.assert_array_equal, *states)
    config.seed = 1
    train.train_and_evaluate(config, tmp_path / "other")
    assert figures(tmp_path / "first") != figures(tmp_path / "other")


def test_a_resumed_run_is_the_one_never_interrupted(config, tmp_path, monkeypatch):
    config.num_epochs = 3
    train.train_and_evaluate(config, tmp_path / "whole")

    def stop(self, *args):
        save(self, *args)
        raise KeyboardInterrupt

    save = Checkpoints.save
    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setattr(Checkpoints, "save", stop)
            with pytest.raises(KeyboardInterrupt):
                train.train_and_evaluate(config, tmp_path / "parts", resume=True)
    # As if it had been killed between a line of metrics.jsonl and its checkpoint.
    with (tmp_path / "parts" / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 3}\n')
    summary = train.train_and_evaluate(config, tmp_path / "parts", resume=True)
    assert summary["epochs"] == 3
    assert figures(tmp_path / "whole") == figures(tmp_path / "parts")
    states = [final_state(config, tmp_path / name) for name in ("whole", "parts")]
    jax.tree.map(np.testing.assert_array_equal, *states)
    assert len(list((tmp_path / "parts").glob("events.out.tfevents.*"))) == 1


def test_a_resumed_run_that_had_finished_says_so_again(config, tmp_path):
    first = train.train_and_evaluate(config, tmp_path)
    again = train.train_and_evaluate(config, tmp_path, resume=True)
    same = ("final_test_accuracy", "best_epoch", "epochs")
    assert [first[key] for key in same] == [again[key] for key in same]
    assert len(read_metrics(tmp_path)) == 2


def test_a_run_of_another_config_is_not_resumed(config, tmp_path):
    train.train_and_evaluate(config, tmp_path)
    before = (tmp_path / "summary.json").read_bytes()
    config.batch_size = 64
    with pytest.raises(UserError, match=r"config\.batch_size was 128 and is 64"):
        train.train_and_evaluate(config, tmp_path, resume=True)
    assert (tmp_path / "summary.json").read_bytes() == before


def test_overwrite_starts_from_nothing(config, tmp_path):
    train.train_and_evaluate(config, tmp_path)
    with pytest.raises(UserError, match="already holds a run"):
        train.train_and_evaluate(config, tmp_path)
    config.num_epochs = 1
    train.train_and_evaluate(config, tmp_path, overwrite=True)
    assert len(read_metrics(tmp_path)) == 1
    with Checkpoints(tmp_path) as saved:
        assert saved.epochs == [1]


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
        ("train_split", "train[:0]", r"config.train_split 'train\[:0\]' is empty"),
        ("test_split", "test[20000:]", r"config.test_split 'test\[20000:\]' does not exist"),
    ],
)
def test_bad_input_is_answered_before_anything_is_written(
    config, tmp_path, key, value, message
):
    config[key] = value
    with pytest.raises(UserError, match=message):
        train.train_and_evaluate(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
