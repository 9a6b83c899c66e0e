"""One epoch in one dispatch.

Everything an epoch needs is on the device before it starts: the images, the labels, the key.
The host asks for an epoch and gets its metrics. In between nothing crosses over but what a
progress bar shows, where there is one.
"""

import itertools
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from ml_collections import ConfigDict

from mnist_flax import augment
from mnist_flax.ops import compiler_options
from mnist_flax.optimizers import create_learning_rate_fn, create_optimizer
from mnist_flax.parallel import sharding
from mnist_flax.parallel.sharding import DeviceSplit
from mnist_flax.runs.writers import ProgressBar
from mnist_flax.steps import (
    Metrics,
    TrainState,
    create_model,
    create_train_state,
    evaluate,
    train_step,
)

# How often the progress bar moves in an epoch. A dispatch costs about as much as a step on CPU:
# 20 of them were 3 % of an epoch, 8 are less than can be measured.
BAR_UPDATES = 8

# Stands for "none" where a step is expected.
NO_STEP = np.int32(2**31 - 1)


class EpochState(NamedTuple):
    """What goes from step to step.

    Attributes:
      train: the training state.
      metrics: over the images of this epoch so far, as each was seen in training.
      last_loss: float32 mean loss of the last step.
      learning_rate: float32, of the last step.
      first_non_finite: int32, the first step of the run with a loss that was not finite.
    """

    train: TrainState
    metrics: Metrics
    last_loss: jax.Array
    learning_rate: jax.Array
    first_non_finite: jax.Array


def start_epoch(
    state: TrainState, key: jax.Array, epoch: jax.Array, num_images: int
) -> tuple[EpochState, jax.Array, jax.Array]:
    """Draws an epoch's order.

    Args:
      state: the training state.
      key: the run's root key.
      epoch: from 1; 0 belongs to the initial weights.
      num_images: size of the training split.

    Returns:
      The epoch's state; int32[num_images], the order; the key that each step folds for itself.
    """
    order_key, step_key = jax.random.split(jax.random.fold_in(key, epoch))
    order = jax.random.permutation(order_key, num_images)
    zero = jnp.zeros((), jnp.float32)
    return EpochState(state, Metrics.empty(), zero, zero, jnp.array(NO_STEP)), order, step_key


def one_step(
    epoch: EpochState,
    split: DeviceSplit,
    indices: jax.Array,
    key: jax.Array,
    config: ConfigDict,
) -> EpochState:
    """Gathers a batch, augments it, takes a step and adds up the metrics.

    Args:
      epoch: the epoch so far.
      split: the training split, on the device.
      indices: int[N], the images of the batch.
      key: PRNG key of this step.
      config: uses augment, learning_rate and schedule.
    """
    augment_key, dropout_key = jax.random.split(key)
    with jax.named_scope("augment"):
        images, labels = sharding.take(split, indices)
        draws = augment.sample_params(augment_key, len(indices), config.augment)
        images = augment.apply(images, draws, crop_size=config.augment.crop_size)
    learning_rate_fn = create_learning_rate_fn(config, -(-split.size // config.batch_size))
    state, outputs = train_step(
        epoch.train,
        augment.normalize(images),
        labels,
        dropout_key,
        model=create_model(config),
        optimizer=create_optimizer(config, learning_rate_fn),
    )
    loss = outputs["loss"].mean()
    return EpochState(
        state,
        epoch.metrics.merge(Metrics.single_from_model_output(labels=labels, **outputs)),
        loss,
        jnp.asarray(learning_rate_fn(epoch.train.step), jnp.float32),
        jnp.where(
            jnp.isfinite(loss),
            epoch.first_non_finite,
            jnp.minimum(epoch.first_non_finite, state.step),
        ),
    )


def full_steps(
    epoch: EpochState,
    split: DeviceSplit,
    order: jax.Array,
    key: jax.Array,
    start: jax.Array,
    stop: jax.Array,
    config: ConfigDict,
) -> EpochState:
    """Steps start to stop - 1 of an epoch, each with a whole batch, in one dispatch."""

    def body(step: jax.Array, epoch: EpochState) -> EpochState:
        first = step * config.batch_size
        indices = lax.dynamic_slice_in_dim(order, first, config.batch_size)
        return one_step(epoch, split, indices, jax.random.fold_in(key, step), config)

    return lax.fori_loop(start, stop, body, epoch)


def last_step(
    epoch: EpochState, split: DeviceSplit, order: jax.Array, key: jax.Array, config: ConfigDict
) -> EpochState:
    """The step that takes what is left of an epoch's images, fewer than a batch."""
    steps = len(order) // config.batch_size
    indices = order[steps * config.batch_size :]
    return one_step(epoch, split, indices, jax.random.fold_in(key, steps), config)


class Programs:
    """The programs of a run, each compiled once, before the first step.

    Attributes:
      seconds: how long compilation took.
    """

    def __init__(
        self,
        config: ConfigDict,
        train: DeviceSplit,
        test: DeviceSplit,
        seeds: int | None = None,
    ) -> None:
        """Compiles for two splits, and for the devices that they are on.

        Args:
          config: a valid one.
          train: the training split.
          test: the test split.
          seeds: how many runs to train at once; keys, states and metrics then have a first axis
            of that size. None: one, without such an axis.
        """
        begin = time.perf_counter()
        self._train, self._test, self._mesh = train, test, train.mesh
        self._steps, self._rest = divmod(train.size, config.batch_size)

        once, loops = compiler_options.for_once(), compiler_options.for_loops()
        index = jax.ShapeDtypeStruct((), jnp.int32)
        key = jax.eval_shape(jax.random.key, 0)
        if seeds is not None:
            key = jax.ShapeDtypeStruct((seeds,), key.dtype)

        def jit(f: Callable[..., Any], *axes: int | None, donate: bool = False) -> Any:
            """Compiles for the axes of a function's arguments that are those of seeds."""
            f = f if seeds is None else jax.vmap(f, in_axes=axes)
            return jax.jit(
                f,
                out_shardings=sharding.everywhere(self._mesh),
                donate_argnums=(0,) if donate else (),
            )

        with jax.set_mesh(self._mesh):
            create = jit(partial(create_train_state, config=config, num_images=train.size), 0)
            state = jax.eval_shape(create, key)
            self.create = create.lower(key).compile(once)
            start = jit(partial(start_epoch, num_images=train.size), 0, 0, None, donate=True)
            epoch, order, key = jax.eval_shape(start, state, key, index)
            self._start = start.lower(state, key, index).compile(once)
            steps = jit(
                partial(full_steps, config=config), 0, None, 0, 0, None, None, donate=True
            )
            self._full = steps.lower(epoch, train, order, key, index, index).compile(loops)
            if self._rest:
                last = jit(partial(last_step, config=config), 0, None, 0, 0, donate=True)
                self._last = last.lower(epoch, train, order, key).compile(once)
            test_metrics = jit(partial(evaluate, config=config), 0, None)
            self._evaluate = test_metrics.lower(state, test).compile(loops)
        self.seconds = time.perf_counter() - begin

    def bytes_needed(self) -> int:
        """Memory of a device that a run takes beside the splits, as XLA says."""
        analyses = [x.memory_analysis() for x in (self._full, self._evaluate)]
        return max(x.temp_size_in_bytes + x.output_size_in_bytes for x in analyses)

    def train_epoch(
        self, state: TrainState, key: jax.Array, number: int, bar: ProgressBar | None
    ) -> EpochState:
        """Trains on every image once.

        Args:
          state: the training state; its buffers are taken over.
          key: the run's root key.
          number: of the epoch, from 1.
          bar: told of progress several times; None: the host does nothing in between.
        """
        parts = min(BAR_UPDATES, self._steps) if bar else 1
        bounds = [self._steps * i // parts for i in range(parts + 1)]
        # All that the device has yet to be told.
        numbers = [np.int32(x) for x in (number, *bounds)]
        number, *numbers = sharding.replicate(numbers, self._mesh)
        epoch, order, key = self._start(state, key, number)
        for end, (start, stop) in zip(bounds[1:], itertools.pairwise(numbers), strict=True):
            epoch = self._full(epoch, self._train, order, key, start, stop)
            if bar:
                bar.update(end, *_progress(epoch))
        if self._rest:
            epoch = self._last(epoch, self._train, order, key)
            if bar:
                bar.update(self._steps + 1, *_progress(epoch))
        return epoch

    def evaluate(self, state: TrainState) -> Metrics:
        """Metrics of the test split."""
        return self._evaluate(state, self._test)


def _progress(epoch: EpochState) -> tuple[float, float]:
    loss, metrics = jax.device_get((epoch.last_loss, epoch.metrics))
    return float(loss), metrics.accuracy.total / metrics.accuracy.count
