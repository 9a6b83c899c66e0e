"""Which products a training step has, and in which precision each device computes them."""

import re
from contextlib import nullcontext
from functools import partial

import jax
import jax.numpy as jnp
import pytest

from mnist_flax import augment, steps
from mnist_flax import config as config_lib

_PRODUCT = re.compile(r"stablehlo\.(?:dot_general|convolution)")


def products(platform: str, precision: str | None) -> list[str]:
    """The products in a training step, as they are lowered for a device that is not here."""
    config = config_lib.load(config_lib.default_path())
    recipe = steps.create_recipe(config)

    def step(state, images, labels, key):
        augmented = augment.random_augment(key, images, config.augment)
        inputs, network = augment.normalize(augmented), recipe.model
        optimizer = recipe.optimizer
        return steps.train_step(state, inputs, labels, key, model=network, optimizer=optimizer)

    key = jax.eval_shape(lambda: jax.random.key(0))
    state = jax.eval_shape(partial(steps.create_train_state, config=config), key)
    images = jax.ShapeDtypeStruct((128, 28, 28), jnp.uint8)
    labels = jax.ShapeDtypeStruct((128,), jnp.int32)
    with jax.default_matmul_precision(precision) if precision else nullcontext():
        traced = jax.jit(step).trace(state, images, labels, key)
        text = traced.lower(lowering_platforms=(platform,)).as_text()
    return [line for line in text.splitlines() if _PRODUCT.search(line)]


@pytest.mark.parametrize("precision", [None, "highest"])
@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
def test_the_products_of_a_step(platform: str, precision: str | None) -> None:
    found = products(platform, precision)
    # Exact in any precision: pixels, 0 to 255, times 0 or 1.
    exact = [line for line in found if "bf16" in line]
    assert len(exact) == (platform == "tpu")
    # Six convolutions forward, eleven backward, and three of the linear layer.
    assert len(found) - len(exact) == 20
    word = "HIGHEST" if precision else "DEFAULT"
    assert all(len(re.findall(rf"\b{word}\b", line)) == 2 for line in found)


def test_a_precision_changes_nothing_on_a_cpu() -> None:
    """So that a run here is the same, bit for bit, whatever JAX_DEFAULT_MATMUL_PRECISION is."""
    cpu = jax.devices("cpu")[0]
    x = jax.device_put(jax.random.normal(jax.random.key(0), (64, 300)), cpu)
    product = jax.jit(lambda x: x @ x.T)
    exact = product(x)
    for precision in ("bfloat16", "tensorfloat32", "highest"):
        with jax.default_matmul_precision(precision):
            assert (product(x) == exact).all(), precision
