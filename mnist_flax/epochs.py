"""Defines an epoch: the order of its images, the steps over them, and a test.

`draw_batch` gathers a batch and augments it; `train_on_batch` takes a step on it. `start_epoch`
draws the order; `full_steps` and `last_step` are the loop over it. `eval_epoch` tests. All are
pure functions of arrays; `programs` compiles them.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from mnist_flax import augment
from mnist_flax.ops import permutation
from mnist_flax.parallel import sharding
from mnist_flax.parallel.sharding import DeviceSplit
from mnist_flax.steps import Metrics, Recipe, TrainState, eval_step, train_step

# Test images at a time. It changes no result: metrics are sums over single images.
EVAL_BATCH = 500

# The value of `first_non_finite` while every loss was finite.
NO_STEP = np.int32(2**31 - 1)


class EpochState(NamedTuple):
    """What goes from step to step within an epoch.

    Attributes:
      train_state: the training state.
      metrics: over the images of this epoch so far, augmented and with dropout.
      last_loss: float32 mean loss of the last step.
      learning_rate: float32, of the last step.
      first_non_finite: int32, the first step of the run with a loss that was not finite;
        NO_STEP if there was none.
    """

    train_state: TrainState
    metrics: Metrics
    last_loss: jax.Array
    learning_rate: jax.Array
    first_non_finite: jax.Array


class Batch(NamedTuple):
    """What a step trains on.

    Attributes:
      images: float32[N,28,28,1], augmented and normalized.
      labels: int32[N].
      key: PRNG key of dropout.
    """

    images: jax.Array
    labels: jax.Array
    key: jax.Array


def draw_batch(split: DeviceSplit, indices: jax.Array, key: jax.Array, recipe: Recipe) -> Batch:
    """Gathers a batch and augments it.

    Args:
      split: the training split, on the devices.
      indices: int[N], the images of the batch.
      key: PRNG key of this step.
      recipe: what to train.
    """
    augment_key, dropout_key = jax.random.split(key)
    with jax.named_scope("augment"):
        images, labels = sharding.take(split, indices)
        draws = augment.sample_params(augment_key, len(indices), recipe.augment)
        images = augment.apply(images, draws, crop_size=recipe.augment.crop_size)
        return Batch(augment.normalize(images), labels, dropout_key)


def train_on_batch(epoch_state: EpochState, batch: Batch, recipe: Recipe) -> EpochState:
    """Takes a step and adds up the metrics.

    Args:
      epoch_state: the epoch so far.
      batch: from `draw_batch`.
      recipe: what to train.
    """
    state, outputs = train_step(
        epoch_state.train_state,
        batch.images,
        batch.labels,
        batch.key,
        model=recipe.model,
        optimizer=recipe.optimizer,
    )
    loss = outputs["loss"].mean()
    metrics = Metrics.single_from_model_output(labels=batch.labels, **outputs)
    return EpochState(
        state,
        epoch_state.metrics.merge(metrics),
        loss,
        jnp.asarray(recipe.learning_rate_fn(epoch_state.train_state.step), jnp.float32),
        jnp.where(
            jnp.isfinite(loss),
            epoch_state.first_non_finite,
            jnp.minimum(epoch_state.first_non_finite, state.step),
        ),
    )


def start_epoch(
    state: TrainState, key: jax.Array, epoch: jax.Array, num_images: int
) -> tuple[EpochState, jax.Array, jax.Array]:
    """Starts an epoch: draws the order of its images and zeroes its metrics.

    Args:
      state: the training state.
      key: the run's root key.
      epoch: from 1; 0 belongs to the initial weights.
      num_images: size of the training split.

    Returns:
      The epoch's state; int32[num_images], the order; the key from which each step
      folds its own.
    """
    order_key, step_key = jax.random.split(jax.random.fold_in(key, epoch))
    order = permutation.permutation(order_key, num_images)
    zero = jnp.zeros((), jnp.float32)
    return EpochState(state, Metrics.empty(), zero, zero, jnp.array(NO_STEP)), order, step_key


def full_steps(
    epoch_state: EpochState,
    split: DeviceSplit,
    order: jax.Array,
    key: jax.Array,
    start: jax.Array,
    stop: jax.Array,
    recipe: Recipe,
    ahead: int = 1,
) -> EpochState:
    """Takes steps start to stop - 1 of an epoch, each with a whole batch.

    Args:
      epoch_state: the epoch so far.
      split: the training split, on the devices.
      order: int32[M], from `start_epoch`.
      key: from `start_epoch`.
      start: the first step, from 0.
      stop: the step behind the last one.
      recipe: what to train.
      ahead: batches to draw at a time. It changes no result.
    """

    def draw(step: jax.Array) -> Batch:
        first = step * recipe.batch_size
        indices = lax.dynamic_slice_in_dim(order, first, recipe.batch_size)
        return draw_batch(split, indices, jax.random.fold_in(key, step), recipe)

    def one(step: jax.Array, epoch_state: EpochState) -> EpochState:
        return train_on_batch(epoch_state, draw(step), recipe)

    def some(i: jax.Array, epoch_state: EpochState) -> EpochState:
        first = start + i * ahead
        # Of the last ones some may be past the end; nothing is trained on those.
        batches = jax.vmap(draw)(first + jnp.arange(ahead))

        def body(step: jax.Array, epoch_state: EpochState) -> EpochState:
            batch = jax.tree.map(lambda x: x[step - first], batches)
            return train_on_batch(epoch_state, batch, recipe)

        return lax.fori_loop(first, jnp.minimum(first + ahead, stop), body, epoch_state)

    if ahead == 1:
        return lax.fori_loop(start, stop, one, epoch_state)
    return lax.fori_loop(0, -(-(stop - start) // ahead), some, epoch_state)


def last_step(
    epoch_state: EpochState,
    split: DeviceSplit,
    order: jax.Array,
    key: jax.Array,
    recipe: Recipe,
) -> EpochState:
    """Takes the step on what is left of an epoch's images, fewer than a batch."""
    steps = len(order) // recipe.batch_size
    indices = order[steps * recipe.batch_size :]
    batch = draw_batch(split, indices, jax.random.fold_in(key, steps), recipe)
    return train_on_batch(epoch_state, batch, recipe)


def eval_epoch(state: TrainState, split: DeviceSplit, model: nn.Module) -> Metrics:
    """Computes the metrics of a split on the devices; every image counts exactly once."""
    devices = sharding.num_devices()
    size = -(-EVAL_BATCH // devices) * devices

    def body(i: jax.Array, metrics: Metrics) -> Metrics:
        indices = i * size + jnp.arange(size)
        images, labels = sharding.take(split, jnp.minimum(indices, split.size - 1))
        mask = indices < split.size
        return metrics.merge(eval_step(state, images, labels, mask, model=model))

    return lax.fori_loop(0, -(-split.size // size), body, Metrics.empty())
