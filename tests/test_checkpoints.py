"""What of a run is on disk, and what comes back."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mnist_flax import checkpoints, steps
from mnist_flax import config as config_lib
from mnist_flax.checkpoints import Checkpoints
from mnist_flax.errors import UserError


@pytest.fixture
def config():
    return config_lib.load(config_lib.default_path())


def record(epoch, accuracy):
    return {"epoch": epoch, "step": 469 * epoch, "test_accuracy": accuracy, "train_loss": None}


def save_epochs(workdir, accuracies):
    """Saves a state that holds the number of its epoch."""
    history = []
    with Checkpoints(workdir) as saved:
        for epoch, accuracy in enumerate(accuracies, 1):
            history.append(record(epoch, accuracy))
            saved.save({"epoch": jnp.array(epoch)}, history)


@pytest.mark.parametrize(
    ("accuracies", "kept"),
    [([0.9], [1]), ([0.9, 0.8], [1, 2]), ([0.5, 0.9, 0.8, 0.7], [2, 4]), ([0.5, 0.6], [2])],
)
def test_the_latest_and_the_best_stay(tmp_path, accuracies, kept):
    save_epochs(tmp_path, accuracies)
    with Checkpoints(tmp_path) as saved:
        assert saved.epochs == kept
        for epoch in kept:
            state, history = saved.restore(epoch, {"epoch": jnp.array(0)})
            assert state["epoch"] == epoch
            assert history == [record(i, accuracies[i - 1]) for i in range(1, epoch + 1)]


def test_a_training_state_comes_back_bit_for_bit(tmp_path, config):
    state = steps.create_train_state(jax.random.key(3), config)
    with Checkpoints(tmp_path) as saved:
        saved.save(state, [record(1, 0.9)])
    with Checkpoints(tmp_path) as saved:
        like = jax.eval_shape(lambda: state)
        restored, _ = saved.restore(1, like)
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    jax.tree.map(np.testing.assert_array_equal, restored, state)


def test_a_new_folder_is_empty(tmp_path):
    with Checkpoints(tmp_path) as saved:
        assert saved.epochs == []


def test_the_same_config_is_accepted_wherever_the_data_is(tmp_path, config):
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
    config.data_dir = "/elsewhere"
    checkpoints.check_same_config(tmp_path, config)


def test_another_config_is_refused_with_every_difference(tmp_path, config):
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
    config.seed = 1
    config.augment.degrees = 15.0
    with pytest.raises(UserError) as error:
        checkpoints.check_same_config(tmp_path, config)
    assert "config.augment.degrees was 10.0 and is 15.0; config.seed was 0 and is 1" in str(
        error.value
    )


@pytest.mark.parametrize("text", [None, "", "{", "[1]"])
def test_a_config_that_cannot_be_read(tmp_path, config, text):
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError, match=r"config\.json cannot be read"):
        checkpoints.check_same_config(tmp_path, config)
