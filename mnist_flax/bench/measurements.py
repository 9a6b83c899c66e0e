"""What the parts of a training run cost on this machine; bench.py says when, and prints it."""

import functools
import math
import resource
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from ml_collections import ConfigDict

from mnist_flax import augment, input_pipeline, model_table
from mnist_flax.datasets import preparation
from mnist_flax.ops import compiler_options
from mnist_flax.parallel import sharding
from mnist_flax.programs import Programs, wait
from mnist_flax.steps import (
    Recipe,
    TrainState,
    create_model,
    create_recipe,
    init_state,
    train_step,
)

# Training steps in a dispatch. Training itself puts a whole epoch in one, and on CPU a step is
# faster inside a loop than alone; so few are near enough to single steps, and yet a loop.
STEPS_PER_DISPATCH = 10
# How often what is short is timed, a round.
DISPATCHES = 10
# Batches augmented in a dispatch.
BATCHES_PER_DISPATCH = 40


class Measurements:
    """The programs to measure. Each method is one piece of work, timed; nothing runs between.

    Attributes:
      data_seconds: reading both splits, prepared before, and putting them on the device.
      compile_seconds: compiling the programs of a run.
      peak_memory_mb: after the first epoch and a test, the most memory in use until then, in MB
        of 10**6 bytes: 'peak_host_mb', of this process; 'peak_device_mb', of the first device,
        None if it has none of its own. Empty before.
    """

    def __init__(self, config: ConfigDict) -> None:
        """Reads the data and compiles the programs of a run.

        Raises:
          UserError: the data cannot be read.
        """
        self._config = config
        preparation.prepare(config.dataset, config.data_dir)
        begin = time.perf_counter()
        mesh = sharding.make_mesh()
        splits = [
            input_pipeline.load_on_devices(name, config.data_dir, config.dataset, mesh)
            for name in (config.train_split, config.test_split)
        ]
        self._train, self._test = jax.block_until_ready(splits)
        self.data_seconds = time.perf_counter() - begin
        self._recipe = create_recipe(config, self._train.size)
        self._programs = Programs(self._recipe, self._train, self._test)
        self.compile_seconds = self._programs.seconds
        self._key = jax.random.key(config.seed)
        self._state = self._programs.create(self._key)
        self._epochs = 0
        self.peak_memory_mb: dict[str, float | None] = {}

    def compile_again(self) -> float:
        """Seconds to have the programs of a run again, from the compilation cache."""
        jax.clear_caches()
        return Programs(self._recipe, self._train, self._test).seconds

    def epoch_seconds(self) -> list[float]:
        """The training of one whole epoch: order, augmentation, steps, metrics."""
        self._epochs += 1
        begin = time.perf_counter()
        epoch = self._programs.train_epoch(self._state, self._key, self._epochs)
        wait(epoch.last_loss, seconds=0.0005)
        seconds = time.perf_counter() - begin
        self._state = epoch.train
        if not self.peak_memory_mb:
            jax.block_until_ready(self._programs.eval_epoch(self._state))
            self.peak_memory_mb = _peak_memory_mb()
        return [seconds]

    def step_ms(self) -> list[float]:
        """A training step in a loop of STEPS_PER_DISPATCH, for each of DISPATCHES."""
        count = np.int32(STEPS_PER_DISPATCH)
        return [ms / STEPS_PER_DISPATCH for ms in _times_ms(lambda: self._run_steps(count))]

    def step_alone_ms(self) -> list[float]:
        """A training step dispatched alone, for each of DISPATCHES."""
        return _times_ms(self._run_step)

    def augmentation_ms(self) -> list[float]:
        """Gathering, augmenting and normalizing a batch, for each of DISPATCHES."""
        count = np.int32(BATCHES_PER_DISPATCH)
        return [ms / BATCHES_PER_DISPATCH for ms in _times_ms(lambda: self._augment(count))]

    def matmul_ms(self) -> list[float]:
        """A product of two square float32 matrices, for each of DISPATCHES.

        The precision is JAX's default, as in the network's own: on Nvidia GPUs it is TF32.
        """
        x, product = self._matrices
        return _times_ms(lambda: product(x, x))

    @property
    def matmul_flops(self) -> int:
        """Floating point operations in that product."""
        return 2 * len(self._matrices[0]) ** 3

    @functools.cached_property
    def _matrices(self) -> tuple[jax.Array, Callable[..., jax.Array]]:
        # Large enough that nothing but the arithmetic counts.
        size = 2048 if jax.default_backend() == "cpu" else 8192
        return jax.random.normal(self._key, (size, size)), jax.jit(jnp.matmul)

    @functools.cached_property
    def _batches(self) -> tuple[jax.Array, jax.Array]:
        """A batch for each step of a dispatch.

        With the same one for all of them XLA could take work out of the loop.
        """
        shape = (STEPS_PER_DISPATCH, self._config.batch_size)
        images = jax.random.normal(self._key, (*shape, 28, 28, 1))
        return images, jax.random.randint(self._key, shape, 0, 10)

    @functools.cached_property
    def _run_steps(self) -> Callable[[np.int32], TrainState]:
        images, labels = self._batches
        program = _jit(partial(_train_steps, recipe=self._recipe))
        state = init_state(self._key, self._recipe)
        return lambda count: program(state, images, labels, self._key, count)

    @functools.cached_property
    def _run_step(self) -> Callable[[], TrainState]:
        images, labels = (batches[0] for batches in self._batches)
        program = _jit(partial(_train_step, recipe=self._recipe))
        state = init_state(self._key, self._recipe)
        return lambda: program(state, images, labels, self._key)

    @functools.cached_property
    def _augment(self) -> Callable[[np.int32], jax.Array]:
        program = _jit(partial(_augment_batches, config=self._config))
        order = jax.random.permutation(self._key, self._train.size)
        return lambda count: program(self._train.images, order, self._key, count)


def step_flops(config: ConfigDict) -> int:
    """Floating point operations in the matrix products of a training step.

    A layer with a kernel multiplies and adds every number of it once for each position of its
    output: 2 operations each. The gradient of the kernel takes as many, and so does that of
    the input, which the first layer does without. Products with the zeros of the padding
    count; batch norm, ReLU, pooling, dropout and Adam do not.

    Args:
      config: uses model and batch_size.
    """
    model = create_model(config)
    params = jax.eval_shape(
        partial(model.init, train=False), jax.random.key(0), jnp.zeros((1, 28, 28, 1))
    )["params"]
    forward = [
        2 * config.batch_size * math.prod(layer.shape[:-1]) * params[layer.name]["kernel"].size
        for layer in model_table.list_layers(model)
        if "kernel" in params[layer.name]
    ]
    return 3 * sum(forward) - forward[0]


def _peak_memory_mb() -> dict[str, float | None]:
    unit = 1 if sys.platform == "darwin" else 1024
    host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    device = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    return {"peak_host_mb": host / 1e6, "peak_device_mb": device and device / 1e6}


def _times_ms(dispatch: Callable[[], Any]) -> list[float]:
    """Milliseconds of DISPATCHES calls, each to the end of all that it computes."""
    milliseconds = []
    for _ in range(DISPATCHES + 2):
        begin = time.perf_counter()
        jax.block_until_ready(dispatch())
        milliseconds.append(1e3 * (time.perf_counter() - begin))
    return milliseconds[2:]  # The first ones compile and warm up.


def _jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiles as a run compiles its steps."""
    return jax.jit(function, compiler_options=compiler_options.for_loops())


def _train_step(
    state: TrainState, images: jax.Array, labels: jax.Array, key: jax.Array, recipe: Recipe
) -> TrainState:
    """Takes a training step on images that are ready: float32[N,28,28,1]."""
    model, optimizer = recipe.model, recipe.optimizer
    return train_step(state, images, labels, key, model=model, optimizer=optimizer)[0]


def _train_steps(
    state: TrainState,
    images: jax.Array,
    labels: jax.Array,
    key: jax.Array,
    count: jax.Array,
    recipe: Recipe,
) -> TrainState:
    """The first `count` steps on as many batches or more, float32[B,N,28,28,1]."""

    def body(i: jax.Array, state: TrainState) -> TrainState:
        step_key = jax.random.fold_in(key, i)
        return _train_step(state, images[i], labels[i], step_key, recipe)

    return lax.fori_loop(0, count, body, state)


def _augment_batches(
    images: jax.Array, order: jax.Array, key: jax.Array, count: jax.Array, config: ConfigDict
) -> jax.Array:
    """Makes the first `count` batches of an epoch; returns the last, float32[N,28,28,1]."""
    size = config.batch_size

    def body(i: jax.Array, _: jax.Array) -> jax.Array:
        indices = lax.dynamic_slice_in_dim(order, i * size, size)
        draws = augment.sample_params(jax.random.fold_in(key, i), size, config.augment)
        batch = augment.apply(images[indices], draws, crop_size=config.augment.crop_size)
        return augment.normalize(batch)

    return lax.fori_loop(0, count, body, jnp.zeros((size, 28, 28, 1)))
