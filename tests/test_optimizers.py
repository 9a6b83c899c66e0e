"""The learning rate and the optimizer."""

import itertools

import jax.numpy as jnp
import optax
import pytest

from mnist_flax import config as config_lib
from mnist_flax import optimizers


@pytest.fixture
def config():
    return config_lib.load(config_lib.default_path())


def test_learning_rate_halves_after_epoch_15(config):
    learning_rate = optimizers.create_learning_rate_fn(config, 469)
    by_epoch = [float(learning_rate(epoch * 469)) for epoch in range(20)]
    assert by_epoch == pytest.approx([1e-3] * 15 + [5e-4] * 5, rel=1e-6)
    # The last step of epoch 15 still has the first rate.
    assert float(learning_rate(15 * 469 - 1)) == pytest.approx(1e-3, rel=1e-6)


def test_every_field_of_the_schedule_counts(config):
    config.learning_rate, config.num_epochs = 1.0, 7
    config.schedule.step_size, config.schedule.gamma = 3, 0.1
    learning_rate = optimizers.create_learning_rate_fn(config, 10)
    by_epoch = [float(learning_rate(step)) for step in range(0, 70, 10)]
    assert by_epoch == pytest.approx([1, 1, 1, 0.1, 0.1, 0.1, 0.01], rel=1e-6)


def test_cosine_falls_from_the_end_of_the_warmup_to_the_end_of_the_run(config):
    config.learning_rate, config.num_epochs = 2.0, 4
    config.schedule.kind, config.schedule.end_factor = "cosine", 0.1
    config.schedule.warmup_epochs = 0.5
    learning_rate = optimizers.create_learning_rate_fn(config, 10)
    rates = [float(learning_rate(step)) for step in range(41)]
    assert rates[:6] == pytest.approx([0.4, 0.8, 1.2, 1.6, 2.0, 2.0], rel=1e-6)
    # Half way down, 17.5 steps of 35 after the warm-up: (2 + 0.2) / 2.
    assert (rates[22] + rates[23]) / 2 == pytest.approx(1.1, rel=1e-4)
    assert all(a > b for a, b in itertools.pairwise(rates[5:]))
    assert rates[40] == pytest.approx(0.2, rel=1e-5)


def test_warmup_of_steps_that_fall(config):
    config.learning_rate, config.num_epochs = 1.0, 4
    config.schedule.step_size, config.schedule.warmup_epochs = 1, 2.0
    learning_rate = optimizers.create_learning_rate_fn(config, 2)
    rates = [float(learning_rate(step)) for step in range(8)]
    assert rates == pytest.approx([0.25, 0.5, 0.375, 0.5, 0.25, 0.25, 0.125, 0.125], rel=1e-6)


def test_adams_first_step_is_the_learning_rate(config):
    optimizer = optimizers.create_optimizer(config, optax.constant_schedule(0.25))
    params = {"w": jnp.array([1.0, -2.0])}
    grads = {"w": jnp.array([3.0, -0.5])}
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    # Kingma and Ba 2015, algorithm 1: after one step m/sqrt(v) is the sign of the gradient.
    assert updates["w"].tolist() == pytest.approx([-0.25, 0.25], rel=1e-5)
