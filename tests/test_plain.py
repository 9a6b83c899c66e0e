"""ConvNet against the executable specification: stock Linen, forward and backward."""

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import networks

from mnist_flax import augment, input_pipeline, models, plain
from mnist_flax.trained import loading

pytestmark = pytest.mark.usefixtures("exact_products")

WEIGHTS = Path(__file__).parent / "fixtures" / "trained.safetensors"


@pytest.fixture(scope="module")
def variables():
    return networks.init(models.ConvNet())


def test_it_has_the_tree_of_convnet(variables) -> None:
    init = partial(plain.Net().init, train=False)
    own = jax.eval_shape(init, jax.random.key(0), jnp.zeros((1, 28, 28, 1)))
    assert jax.tree.map(jnp.shape, own) == jax.tree.map(jnp.shape, variables)
    assert models.count_params(own["params"]) == 19_114


def test_weights_of_a_run_load_unchanged(data_dir) -> None:
    trained = loading.from_weights(WEIGHTS)
    images = augment.normalize(input_pipeline.load("test[:1000]", data_dir).images)
    expected, got = (
        networks.apply(model, trained.variables, images, train=False)
        for model in (models.ConvNet(), plain.Net())
    )
    assert jnp.abs(expected).max() > 10
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5)


def test_training_mode(variables) -> None:
    x = jax.random.normal(jax.random.key(1), (8, 28, 28, 1))
    (logits, updates), (expected, expected_updates) = (
        networks.apply(
            net(dropout_rate=0.0), variables, x, train=True, mutable=("batch_stats",)
        )
        for net in (models.ConvNet, plain.Net)
    )
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    for i in range(1, 7):
        got, want = (u["batch_stats"][f"bn{i}"] for u in (updates, expected_updates))
        np.testing.assert_allclose(got["mean"], want["mean"], atol=1e-5)
        # Linen keeps the biased variance, PyTorch and ConvNet the unbiased one.
        count = 8 * {1: 28, 2: 28, 3: 14, 4: 14, 5: 7, 6: 7}[i] ** 2
        unbiased = 0.9 + (want["var"] - 0.9) * count / (count - 1)
        np.testing.assert_allclose(got["var"], unbiased, atol=1e-5)


def test_gradient(variables) -> None:
    # In float64: in float32 the rounding of a layer flips a ReLU or two in the next.
    with jax.enable_x64(True):
        variables = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), variables)
        x = jax.random.normal(jax.random.key(1), (4, 28, 28, 1), jnp.float64)

        @partial(jax.jit, static_argnums=1)
        @jax.grad
        def gradient(params, model):
            tree = variables | {"params": params}
            logits, _ = model.apply(tree, x, train=True, mutable=["batch_stats"])
            return jnp.square(logits).sum()

        got, want = (
            gradient(variables["params"], net(dropout_rate=0.0))
            for net in (models.ConvNet, plain.Net)
        )
        for i in range(1, 7):
            # Batch norm cancels a bias: the gradient is zero; Linen has the rounding of a zero.
            assert not got[f"conv{i}"].pop("bias").any()
            assert np.abs(want[f"conv{i}"].pop("bias")).max() < 1e-12
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-8), got, want)


def test_dropout_is_in_the_same_places(variables) -> None:
    """Over many keys, the logits of both have the same mean and the same spread."""
    # Batch norm of a whole batch would mix its images: one image, in every place the same.
    x = jnp.broadcast_to(jax.random.normal(jax.random.key(1), (1, 28, 28, 1)), (64, 28, 28, 1))

    def draw_logits(model):
        apply = jax.jit(partial(model.apply, train=True, mutable=["batch_stats"]))
        keys = jax.random.split(jax.random.key(2), 16)
        return np.concatenate([apply(variables, x, rngs={"dropout": key})[0] for key in keys])

    got, want = (draw_logits(net(dropout_rate=0.3)) for net in (models.ConvNet, plain.Net))
    assert want.std(0).min() > 0.01
    # 1,024 draws: the standard error of a mean is a 32nd of the spread.
    np.testing.assert_array_less(np.abs(got.mean(0) - want.mean(0)), want.std(0) / 32 * 6)
    np.testing.assert_allclose(got.std(0), want.std(0), rtol=0.15)
