"""One step of training, one of evaluation, and the metrics of a split."""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import networks

from mnist_flax import augment, epochs, input_pipeline, models, steps
from mnist_flax import config as config_lib
from mnist_flax.parallel.sharding import DeviceSplit


@pytest.fixture(scope="module")
def config():
    return config_lib.load(config_lib.default_path())


def weights(config, seed):
    """A new state of training; each operation alone would compile for seconds."""
    create = jax.jit(partial(steps.create_train_state, config=config))
    return create(jax.random.key(seed))


@pytest.fixture(scope="module")
def state(config):
    return weights(config, 0)


@pytest.fixture(scope="module")
def split(data_dir):
    return jax.device_put(input_pipeline.load("test[:1300]", data_dir))


def test_step_is_gradient_descent_on_the_mean_loss(state, split):
    images, labels = augment.normalize(split.images[:8]), split.labels[:8]
    model, optimizer = models.ConvNet(dropout_rate=0.0), optax.sgd(0.1)
    state = state._replace(opt_state=optimizer.init(state.params))

    @jax.jit
    @jax.value_and_grad
    def loss_and_gradients(params):
        variables = {"params": params, "batch_stats": state.batch_stats}
        logits, _ = model.apply(variables, images, train=True, mutable=["batch_stats"])
        return -jax.nn.log_softmax(logits)[jnp.arange(8), labels].mean()

    step = jax.jit(partial(steps.train_step, model=model, optimizer=optimizer))
    after, outputs = step(state, images, labels, jax.random.key(0))
    assert after.step == state.step + 1
    loss, gradients = loss_and_gradients(state.params)
    assert float(outputs["loss"].mean()) == pytest.approx(float(loss), rel=1e-5)
    expected = jax.tree.map(lambda p, g: p - 0.1 * g, state.params, gradients)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), after.params, expected
    )
    assert (after.batch_stats["bn1"]["mean"] != state.batch_stats["bn1"]["mean"]).any()


@pytest.mark.parametrize("n", [1, 499, 500, 501, 1300])
def test_every_image_of_a_split_counts_exactly_once(split, config, n):
    config = config.copy_and_resolve_references()
    config.model.architecture = "4 pool 4 pool 4"  # It is compiled soon.
    state, model = weights(config, 0), steps.create_model(config)
    part = DeviceSplit(split.images[:n], split.labels[:n])
    metrics = jax.jit(epochs.eval_epoch, static_argnames="model")(state, part, model=model)
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    images = augment.normalize(split.images)
    logits = networks.apply(model, variables, images, train=False)[:n]
    right = int((logits.argmax(-1) == part.labels).sum())
    losses = -jax.nn.log_softmax(logits)[jnp.arange(n), part.labels]
    assert int(metrics.accuracy.count) == int(metrics.loss.count) == n
    assert int(metrics.accuracy.total) == right
    assert float(metrics.compute()["loss"]) == pytest.approx(float(losses.mean()), rel=1e-5)


def test_weights_depend_on_the_key_alone(config):
    first, again, other = (weights(config, seed).params for seed in (0, 0, 1))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert (first["conv1"]["kernel"] != other["conv1"]["kernel"]).all()


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 8])
def test_batches_drawn_ahead_change_nothing(devices):
    helper = Path(__file__).parent / "helpers" / "batches_ahead.py"
    result = subprocess.run(
        [sys.executable, helper],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "JAX_NUM_CPU_DEVICES": str(devices)},
    )
    assert result.returncode == 0, result.stderr
    # Steps 1 to 5 of 16 images each; on several devices each draws its own.
    assert json.loads(result.stdout) == {
        "difference": 0,
        "step": 5,
        "images": 80,
        "gathers": 0,
    }
