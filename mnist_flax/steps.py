"""What one batch does: the training state, a step of training, a step of evaluation."""

from typing import Any, NamedTuple

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import optax
from clu import metrics as clu_metrics
from jax import lax
from ml_collections import ConfigDict

from mnist_flax import augment, models
from mnist_flax.optimizers import create_learning_rate_fn, create_optimizer
from mnist_flax.parallel import sharding
from mnist_flax.parallel.sharding import DeviceSplit

# Test images at a time; their number changes no figure, as each image counts by itself.
EVAL_BATCH = 500


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


@flax.struct.dataclass
class Metrics(clu_metrics.Collection):
    """Sums over the images seen, so that every image counts the same in any batch."""

    loss: clu_metrics.Average.from_output("loss")  # type: ignore[valid-type]
    accuracy: clu_metrics.Accuracy


def create_model(config: ConfigDict) -> models.ConvNet:
    """The network of a config."""
    return models.ConvNet(**config.model)


def create_train_state(
    key: jax.Array, config: ConfigDict, num_images: int = 60_000
) -> TrainState:
    """A network with fresh weights, and an optimizer that has seen nothing.

    Args:
      key: PRNG key of the weights.
      config: uses model, optimizer, learning_rate, schedule, num_epochs and batch_size.
      num_images: size of the training split, to count the schedule's epochs in steps.
    """
    variables = create_model(config).init(key, jnp.zeros((1, 28, 28, 1)), train=False)
    params, batch_stats = variables["params"], variables["batch_stats"]
    learning_rate_fn = create_learning_rate_fn(config, -(-num_images // config.batch_size))
    opt_state = create_optimizer(config, learning_rate_fn).init(params)
    return TrainState(jnp.zeros((), jnp.int32), params, batch_stats, opt_state)


def train_step(
    state: TrainState,
    images: jax.Array,
    labels: jax.Array,
    key: jax.Array,
    *,
    model: nn.Module,
    optimizer: optax.GradientTransformation,
) -> tuple[TrainState, dict[str, jax.Array]]:
    """One step of the optimizer.

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
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
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
    """Metrics of a batch without augmentation or dropout.

    Args:
      state: the training state.
      images: uint8[N,28,28].
      labels: int32[N].
      mask: bool[N], which images count.
      model: the network.
    """
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    logits = model.apply(variables, augment.normalize(images), train=False)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return Metrics.single_from_model_output(
        loss=losses, logits=logits, labels=labels, mask=mask
    )


def evaluate(state: TrainState, split: DeviceSplit, config: ConfigDict) -> Metrics:
    """Metrics of a split on the devices; every image counts exactly once."""
    model, devices = create_model(config), sharding.num_devices()
    size = -(-EVAL_BATCH // devices) * devices

    def body(i: jax.Array, metrics: Metrics) -> Metrics:
        indices = i * size + jnp.arange(size)
        images, labels = sharding.take(split, jnp.minimum(indices, split.size - 1))
        mask = indices < split.size
        return metrics.merge(eval_step(state, images, labels, mask, model=model))

    return lax.fori_loop(0, -(-split.size // size), body, Metrics.empty())
