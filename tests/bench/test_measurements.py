"""Tests what the bench measures: its loops, its augmentation, and the operations it counts."""

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from mnist_flax import augment, config
from mnist_flax.bench import measurements, step_timer
from mnist_flax.plain import Net
from mnist_flax.steps import create_recipe, init_state

# Kernel size, input and output channels of the six convolutions; height and width they see.
CONVS = [(3, 1, 8, 28), (3, 8, 16, 28), (3, 16, 16, 14), (3, 16, 32, 14), (3, 32, 32, 7)]
CONVS += [(1, 32, 32, 7)]


def textbook_loss(kernels: list[jax.Array], images: jax.Array) -> jax.Array:
    """The network's matrix products and little else: its padding written out, no batch norm.

    XLA does not count products with a convolution's own padding, which step_flops does.
    """
    x = images
    *convs, last = kernels
    for kernel in convs:
        half = kernel.shape[0] // 2
        x = jnp.pad(x, ((0, 0), (half, half), (half, half), (0, 0)))
        x = lax.conv_general_dilated(
            x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        if kernel.shape[2:] in ((8, 16), (16, 32)):
            x = x[:, ::2, ::2]  # Where the network pools.
    return jnp.square(x.mean((1, 2)) @ last).sum()


def test_step_flops_are_those_that_xla_counts() -> None:
    settings = config.load(config.default_path())
    shapes = [(size, size, i, o) for size, i, o, _ in CONVS] + [(32, 10)]
    kernels = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    images = jax.ShapeDtypeStruct((settings.batch_size, 28, 28, 1), jnp.float32)
    analysis = jax.jit(jax.grad(textbook_loss)).lower(kernels, images).cost_analysis()
    flops = measurements.step_flops(settings)
    assert analysis["flops"] == pytest.approx(flops, rel=0.02)


def test_step_flops_by_hand() -> None:
    settings = config.load(config.default_path())
    layers = [2 * side**2 * size**2 * i * o for size, i, o, side in CONVS] + [2 * 32 * 10]
    assert measurements.step_flops(settings) == 128 * (3 * sum(layers) - layers[0])
    settings.batch_size = 1
    assert measurements.step_flops(settings) == 3 * sum(layers) - layers[0]


def test_step_flops_of_a_kernel_that_is_used_again() -> None:
    settings = config.load(config.default_path())
    settings.model.architecture = "8 8 pool same"
    layers = [2 * 28**2 * 9 * 8, 2 * 28**2 * 9 * 64, 2 * 14**2 * 9 * 64, 2 * 8 * 10]
    assert measurements.step_flops(settings) == 128 * (3 * sum(layers) - layers[0])


def test_a_measured_loop_takes_a_training_step_a_batch() -> None:
    settings = config.load(config.default_path())
    settings.model.architecture = "4 pool 4"  # It is compiled soon.
    key = jax.random.key(0)
    images = jax.random.normal(key, (3, 8, 28, 28, 1))
    labels = jnp.arange(24).reshape(3, 8) % 10
    recipe = create_recipe(settings)
    state = expected = jax.jit(partial(init_state, recipe=recipe))(key)
    step = jax.jit(partial(step_timer._train_step, recipe=recipe))
    for i in range(2):
        expected = step(expected, images[i], labels[i], jax.random.fold_in(key, i))
    loop = jax.jit(partial(step_timer._train_steps, recipe=recipe))
    looped = loop(state, images, labels, key, np.int32(2))
    assert int(looped.step) == 2
    for got, wanted in zip(
        jax.tree.leaves(looped.batch_stats), jax.tree.leaves(expected.batch_stats), strict=True
    ):
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)


def test_measured_augmentation_is_that_of_the_config() -> None:
    settings = config.load(config.default_path())
    settings.batch_size = 4
    key = jax.random.key(0)
    images = jax.random.randint(key, (12, 28, 28), 0, 256).astype(jnp.uint8)
    order = jnp.arange(12)[::-1]
    batches = jax.jit(partial(measurements._augment_batches, config=settings))
    draws = augment.sample_params(jax.random.fold_in(key, 1), 4, settings.augment)
    expected = augment.normalize(jax.jit(augment.apply)(images[order[4:8]], draws))
    np.testing.assert_array_equal(batches(images, order, key, np.int32(2)), expected)


def test_augmentation_starts_again_in_a_split_of_few_batches() -> None:
    settings = config.load(config.default_path())
    settings.batch_size = 4
    key = jax.random.key(0)
    images = jnp.arange(6, dtype=jnp.uint8)[:, None, None] * jnp.ones((6, 28, 28), jnp.uint8)
    for name in ("crop_probability", "degrees", "brightness", "contrast", "translate"):
        settings.augment[name] = 0.0
    settings.augment.scale_min = settings.augment.scale_max = 1.0
    batches = jax.jit(partial(measurements._augment_batches, config=settings))
    # The second batch would start at 4 and the third at 8, of six images.
    for count, first in ((1, 0), (2, 1), (3, 2)):
        expected = augment.normalize(images[first : first + 4])
        got = batches(images, jnp.arange(6), key, np.int32(count))
        np.testing.assert_array_equal(got, expected)


def test_steps_are_timed_in_a_loop_and_alone() -> None:
    settings = config.load(config.default_path())
    settings.batch_size, settings.model.architecture = 2, "4 pool 4"
    key = jax.random.key(0)
    timer = step_timer.StepTimer(create_recipe(settings), key, {}, steps=3, dispatches=2)
    for times in (timer.in_loop_ms(), timer.alone_ms()):
        assert len(times) == 2
        assert min(times) > 0
    assert [len(batch) for batch in timer._batches] == [3, 3]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_everything_measured_follows_the_config(data_dir: Path, dtype: str) -> None:
    settings = config.load(config.default_path())
    settings.train_split, settings.test_split = "train[:50]", "test[:50]"
    settings.batch_size = 20
    settings.model.architecture = "8 pool 8k1"
    settings.model.dropout_rate = 0.25
    settings.model.dtype = dtype
    ours = measurements.Measurements(settings)
    assert ours.train_images == 50
    assert ours.params == (9 * 8 + 8 + 16) + (64 + 8 + 16) + (80 + 10)
    assert ours.step._batches[0].shape == (step_timer.STEPS, 20, 28, 28, 1)
    assert ours.step._recipe.model.dtype == dtype
    assert ours.plain_step._batches[0].shape[1] == 20
    assert ours.plain_step._recipe.model == Net(0.25)
    assert ours._matrices[0].dtype == dtype
    assert ours._augment(np.int32(1)).shape == (20, 28, 28, 1)
