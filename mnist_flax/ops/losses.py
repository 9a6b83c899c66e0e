"""Computes the loss, in the form that each backend does best."""

import jax
import jax.numpy as jnp
import optax

from mnist_flax.ops import backends


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Computes optax.softmax_cross_entropy_with_integer_labels.

    Args:
      logits: float[N,10].
      labels: int32[N], 0 to 9.

    Returns:
      float[N], in nats.
    """
    return backends.choose(
        logits,
        labels,
        cpu=optax.softmax_cross_entropy_with_integer_labels,
        gpu=cross_entropy_by_selection,
        tpu=cross_entropy_by_selection,
    )


def cross_entropy_by_selection(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Computes the same for GPU and TPU.

    optax gathers the labels' logits and scatters their gradients: operations that a GPU or TPU
    starts by themselves. A selection becomes part of what is computed around it.
    """
    chosen = labels[:, None] == jnp.arange(logits.shape[1])[None]
    # One term of the sum is not zero.
    return jax.nn.logsumexp(logits, axis=1) - jnp.where(chosen, logits, 0).sum(1)
