"""Measures the parts of a training run on this machine. `command` says when, and how often."""

import functools
import math
import resource
import sys
import time
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from ml_collections import ConfigDict

from mnist_flax import augment, model_table, models
from mnist_flax.bench.step_timer import DISPATCHES, STEPS, StepTimer, times_ms
from mnist_flax.datasets import preparation
from mnist_flax.ops import compiler_options
from mnist_flax.plain import Net
from mnist_flax.programs import Programs, wait
from mnist_flax.steps import create_model, create_recipe
from mnist_flax.train import load_splits

# Batches augmented in a dispatch.
BATCHES_PER_DISPATCH = 40


class Measurements:
    """Prepares the programs to measure. Each method is a piece of work that is timed.

    Attributes:
      data_seconds: seconds to read both splits, prepared before, and put them on the device.
      compile_seconds: seconds to compile the programs of a run.
      params: number of the network's parameters.
      train_images: number of images in an epoch.
      step: times the training step.
      plain_step: times that of the stock network, `plain.Net`, with the config's batch size,
        dropout rate and optimizer.
      peak_memory_mb: the most memory in use until the first epoch and a test were done, in MB
        of 10**6 bytes: 'peak_host_mb', of this process; 'peak_device_mb', of the first device,
        None if it has none of its own. Empty before that.
    """

    def __init__(self, config: ConfigDict) -> None:
        """Reads the data and compiles the programs of a run.

        Raises:
          UserError: the data cannot be read, or the batch size does not fit it.
        """
        self._config = config
        preparation.prepare(config.dataset, config.data_dir)
        begin = time.perf_counter()
        self._train, self._test = jax.block_until_ready(load_splits(config))
        self.data_seconds = time.perf_counter() - begin
        self._recipe = create_recipe(config, self._train.size)
        begin = time.perf_counter()
        self._programs = self._compiled()
        self.compile_seconds = time.perf_counter() - begin
        self._key = jax.random.key(config.seed)
        self._state = self._programs.create(self._key)
        self._epochs = 0
        self.params = models.count_params(self._state.params)
        self.train_images = self._train.size
        self.step = StepTimer(
            self._recipe, self._key, compiler_options.for_loops(config.model.dtype)
        )
        # A user of stock Flax gives the compiler no options. On CPU a step in a loop takes more
        # than a second, so that there are few.
        cpu = jax.default_backend() == "cpu"
        self.plain_step = StepTimer(
            self._recipe._replace(model=Net(config.model.dropout_rate)),
            self._key,
            {},
            steps=2 if cpu else STEPS,
            dispatches=2 if cpu else DISPATCHES,
        )
        self.peak_memory_mb: dict[str, float | None] = {}

    def compile_again(self) -> float:
        """Measures the seconds to load the programs of a run from the compilation cache."""
        jax.clear_caches()
        begin = time.perf_counter()
        self._compiled()
        return time.perf_counter() - begin

    def _compiled(self) -> Programs:
        """Compiles the programs of a run, and waits for all of them."""
        programs = Programs(self._recipe, self._train, self._test)
        programs.wait_until_compiled()
        return programs

    def epoch_seconds(self) -> list[float]:
        """Times the training of one whole epoch: order, augmentation, steps, metrics."""
        self._epochs += 1
        begin = time.perf_counter()
        epoch = self._programs.train_epoch(self._state, self._key, self._epochs)
        wait(epoch.last_loss, seconds=0.0005)
        seconds = time.perf_counter() - begin
        self._state = epoch.train_state
        if not self.peak_memory_mb:
            jax.block_until_ready(self._programs.eval_epoch(self._state))
            self.peak_memory_mb = _peak_memory_mb()
        return [seconds]

    def augmentation_ms(self) -> list[float]:
        """Times gathering, augmenting and normalizing a batch, in a loop of several."""
        count = np.int32(BATCHES_PER_DISPATCH)
        return [ms / BATCHES_PER_DISPATCH for ms in times_ms(lambda: self._augment(count))]

    def matmul_ms(self) -> list[float]:
        """Times the product of two square matrices of the config's dtype.

        The precision is JAX's default, as in the network itself: for float32 on Nvidia GPUs it
        is TF32.
        """
        x, product = self._matrices
        return times_ms(lambda: product(x, x))

    @property
    def matmul_flops(self) -> int:
        """Floating point operations in that product."""
        return 2 * len(self._matrices[0]) ** 3

    @functools.cached_property
    def _matrices(self) -> tuple[jax.Array, Callable[..., jax.Array]]:
        # So large that only the arithmetic counts.
        size = 2048 if jax.default_backend() == "cpu" else 8192
        x = jax.random.normal(self._key, (size, size), self._config.model.dtype)
        return x, jax.jit(jnp.matmul)

    @functools.cached_property
    def _augment(self) -> Callable[[np.int32], jax.Array]:
        program = jax.jit(
            partial(_augment_batches, config=self._config),
            compiler_options=compiler_options.for_loops(),
        )
        order = jax.random.permutation(self._key, self._train.size)
        return lambda count: program(self._train.images, order, self._key, count)


def step_flops(config: ConfigDict) -> int:
    """Counts the floating point operations in the matrix products of a training step.

    A layer multiplies and adds every number of its kernel once for each position of its
    output: 2 operations. The gradient of the kernel takes as many, and so does that of the
    input, which the first layer does without. Products with the zeros of the padding count;
    batch norm, ReLU, pooling, dropout and the optimizer do not.

    Args:
      config: a valid config; uses model and batch_size.
    """
    model = create_model(config)
    params = jax.eval_shape(
        partial(model.init, train=False), jax.random.key(0), jnp.zeros((1, 28, 28, 1))
    )["params"]
    forward = [
        2 * config.batch_size * math.prod(layer.shape[:-1]) * params[layer.name]["kernel"].size
        for layer in model_table.list_layers(model)
        if "kernel" in params.get(layer.name, {})
    ]
    return 3 * sum(forward) - forward[0]


def _peak_memory_mb() -> dict[str, float | None]:
    unit = 1 if sys.platform == "darwin" else 1024
    host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    device = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    return {"peak_host_mb": host / 1e6, "peak_device_mb": device and device / 1e6}


def _augment_batches(
    images: jax.Array, order: jax.Array, key: jax.Array, count: jax.Array, config: ConfigDict
) -> jax.Array:
    """Makes `count` batches of an epoch; returns the last, float32[N,28,28,1].

    After the last whole batch of a small split it begins again near the first.
    """
    size = config.batch_size

    def body(i: jax.Array, _: jax.Array) -> jax.Array:
        start = i * size % (len(order) - size + 1)
        indices = lax.dynamic_slice_in_dim(order, start, size)
        draws = augment.sample_params(jax.random.fold_in(key, i), size, config.augment)
        batch = augment.apply(images[indices], draws, crop_size=config.augment.crop_size)
        return augment.normalize(batch)

    return lax.fori_loop(0, count, body, jnp.zeros((size, 28, 28, 1)))
