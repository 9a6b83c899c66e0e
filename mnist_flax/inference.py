"""Computes a network's answers for any number of images."""

import itertools
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from mnist_flax import augment, metrics
from mnist_flax.input_pipeline import Split
from mnist_flax.metrics import Scores

# Images at a time. It changes no figure, as each image counts by itself.
BATCH_SIZE = 500


def logits(
    model: nn.Module, variables: Mapping[str, Any], images: np.ndarray | jax.Array
) -> np.ndarray:
    """Computes the logits of images, without augmentation or dropout.

    Args:
      model: the network.
      variables: {'params': ..., 'batch_stats': ...}.
      images: uint8[N,28,28], 0 (background) to 255, any N.

    Returns:
      float32[N,10].
    """
    size = max(1, min(BATCH_SIZE, len(images)))

    def padded(batch: np.ndarray) -> np.ndarray:
        # The last batch is filled up, so that one program does for all.
        full = np.zeros((size, 28, 28), np.uint8)
        full[: len(batch)] = batch
        return np.asarray(_logits(model, variables, full))[: len(batch)]

    return in_batches(padded, np.asarray(images), size)


def evaluate_split(model: nn.Module, variables: Mapping[str, Any], split: Split) -> Scores:
    """Scores a network on a split, such as `input_pipeline.load('test')`.

    Args:
      model: the network.
      variables: {'params': ..., 'batch_stats': ...}.
      split: at least one image.
    """
    answers = logits(model, variables, split.images)
    return metrics.score(metrics.log_probabilities(answers), split.labels)


def in_batches(
    program: Callable[[np.ndarray], Any], images: np.ndarray, size: int = BATCH_SIZE
) -> np.ndarray:
    """Calls a program for a batch of images at a time.

    Args:
      program: gives float[n,10] for uint8[n,28,28], n at most `size`.
      images: uint8[N,28,28].
      size: images in a batch.

    Returns:
      float[N,10].
    """
    starts = range(0, len(images), size)
    parts = [np.asarray(program(images[i : i + size])) for i in starts]
    return np.concatenate(parts) if parts else np.zeros((0, 10), np.float32)


def shifted(images: np.ndarray) -> list[np.ndarray]:
    """Moves images by -1, 0 and 1 pixels across and down; black comes in.

    Args:
      images: uint8[N,28,28].

    Returns:
      Nine times uint8[N,28,28].
    """
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    height, width = images.shape[1:]
    return [
        padded[:, y : y + height, x : x + width]
        for y, x in itertools.product(range(3), repeat=2)
    ]


def augmented_log_probabilities(
    logits_of: Callable[[np.ndarray], np.ndarray], images: np.ndarray
) -> np.ndarray:
    """Averages the probabilities over `shifted`: test-time augmentation by translation.

    Args:
      logits_of: gives float[N,10] for uint8[N,28,28].
      images: uint8[N,28,28].

    Returns:
      float64[N,10].
    """
    views = [metrics.log_probabilities(logits_of(view)) for view in shifted(images)]
    mean: np.ndarray = np.logaddexp.reduce(views) - math.log(len(views))
    return mean


@partial(jax.jit, static_argnums=0)
def _logits(model: nn.Module, variables: Mapping[str, Any], images: jax.Array) -> jax.Array:
    return jnp.asarray(model.apply(variables, augment.normalize(images), train=False))
