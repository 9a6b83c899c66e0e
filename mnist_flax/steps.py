"""Defines a step: of training, on a batch that is ready, and of a test.

`train_step` and `eval_step` are pure functions of arrays. `epochs` makes the loops around them.
"""

from typing import Any, NamedTuple

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import optax
from clu import metrics as clu_metrics
from ml_collections import ConfigDict

from mnist_flax import augment, models
from mnist_flax.config import steps_per_epoch
from mnist_flax.ops import losses as losses_lib
from mnist_flax.optimizers import create_learning_rate_fn, create_optimizer


class TrainState(NamedTuple):
    """All that training changes.

    Attributes:
      step: int32, optimizer steps taken.
      params: tree of float32.
      batch_stats: batch norm's running statistics, a tree of float32.
      opt_state: the optimizer's state.
    """

    step: jax.Array
    params: Any
    batch_stats: Any
    opt_state: optax.OptState


class Recipe(NamedTuple):
    """What a config says about training, built once and handed to every function that needs it.

    Attributes:
      model: the network.
      optimizer: the optimizer, which has the learning rate in it.
      learning_rate_fn: the learning rate by step, from 0.
      augment: the config's group `augment`.
      batch_size: images in a step.
      dtype: the network's, 'float32' or 'bfloat16'.
    """

    model: nn.Module
    optimizer: optax.GradientTransformation
    learning_rate_fn: optax.Schedule
    augment: ConfigDict
    batch_size: int
    dtype: str


@flax.struct.dataclass
class Metrics(clu_metrics.Collection):
    """Sums over images, so that a smaller batch weighs less."""

    loss: clu_metrics.Average.from_output("loss")  # type: ignore[valid-type]
    accuracy: clu_metrics.Accuracy


def create_model(config: ConfigDict) -> models.ConvNet:
    """Makes the network of a config."""
    return models.ConvNet(**config.model)


def create_recipe(config: ConfigDict, num_images: int = 60_000) -> Recipe:
    """Builds the network, the optimizer and its schedule from a config.

    Args:
      config: a valid config.
      num_images: size of the training split; the schedule counts its epochs in steps.
    """
    learning_rate_fn = create_learning_rate_fn(config, steps_per_epoch(config, num_images))
    optimizer = create_optimizer(config, learning_rate_fn)
    return Recipe(
        create_model(config),
        optimizer,
        learning_rate_fn,
        config.augment,
        config.batch_size,
        config.model.dtype,
    )


def create_train_state(
    key: jax.Array, config: ConfigDict, num_images: int = 60_000
) -> TrainState:
    """Makes a network with fresh weights, and an optimizer that has taken no step.

    Args:
      key: PRNG key of the weights.
      config: a valid config.
      num_images: size of the training split.
    """
    return init_state(key, create_recipe(config, num_images))


def init_state(key: jax.Array, recipe: Recipe) -> TrainState:
    """Draws the weights of a network, and makes the state of its optimizer.

    Args:
      key: PRNG key of the weights.
      recipe: what to train.
    """
    variables = recipe.model.init(key, jnp.zeros((1, 28, 28, 1)), train=False)
    params, batch_stats = variables["params"], variables["batch_stats"]
    return TrainState(
        jnp.zeros((), jnp.int32), params, batch_stats, recipe.optimizer.init(params)
    )


def train_step(
    state: TrainState,
    images: jax.Array,
    labels: jax.Array,
    key: jax.Array,
    *,
    model: nn.Module,
    optimizer: optax.GradientTransformation,
) -> tuple[TrainState, dict[str, jax.Array]]:
    """Takes one step of the optimizer.

    Args:
      state: the training state.
      images: float32[N,28,28,1], augmented and normalized.
      labels: int32[N].
      key: PRNG key of dropout.
      model: the network.
      optimizer: the one that made state.opt_state.

    Returns:
      The next state; 'loss' float32[N] and 'logits' float32[N,10] of the batch.
    """

    def loss_fn(params: Any) -> tuple[jax.Array, Any]:
        logits, updates = model.apply(
            {"params": params, "batch_stats": state.batch_stats},
            images,
            train=True,
            mutable=["batch_stats"],
            rngs={"dropout": key},
        )
        with jax.named_scope("loss"):
            losses = losses_lib.cross_entropy(logits, labels)
        return losses.mean(), (updates["batch_stats"], {"loss": losses, "logits": logits})

    grads, (batch_stats, outputs) = jax.grad(loss_fn, has_aux=True)(state.params)
    with jax.named_scope("optimizer"):
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
    return TrainState(state.step + 1, params, batch_stats, opt_state), outputs


def eval_step(
    state: TrainState,
    images: jax.Array,
    labels: jax.Array,
    mask: jax.Array,
    *,
    model: nn.Module,
) -> Metrics:
    """Computes the metrics of a batch, without augmentation or dropout.

    Args:
      state: the training state.
      images: uint8[N,28,28].
      labels: int32[N].
      mask: bool[N], which images count.
      model: the network.
    """
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    logits = jnp.asarray(model.apply(variables, augment.normalize(images), train=False))
    losses = losses_lib.cross_entropy(logits, labels)
    return Metrics.single_from_model_output(
        loss=losses, logits=logits, labels=labels, mask=mask
    )
