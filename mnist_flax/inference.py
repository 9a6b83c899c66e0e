"""Computes the answers of a network for any number of images, and scores them."""

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

# Images in a batch. It does not change the results: each image is computed by itself.
BATCH_SIZE = 500


def logits(
    model: nn.Module, variables: Mapping[str, Any], images: np.ndarray | jax.Array
) -> np.ndarray:
    """Computes the logits of images, without augmentation or dropout.

    Args:
      model: the network, called as `model(float32[n,28,28,1], train=False)`.
      variables: {'params': ..., 'batch_stats': ...}.
      images: uint8[N,28,28], 0 (background) to 255, any N.

    Returns:
      float32[N,10].

    Raises:
      TypeError: the images are not uint8.
      ValueError: the images have another shape.
    """
    images = np.asarray(images)
    size = max(1, min(BATCH_SIZE, len(images)))

    def padded(batch: np.ndarray) -> np.ndarray:
        # The last batch is filled up with black images, so that one compiled program is enough.
        full = np.zeros((size, *batch.shape[1:]), batch.dtype)
        full[: len(batch)] = batch
        return np.asarray(logits_of_batch(model, variables, full))[: len(batch)]

    return in_batches(padded, images, size)


def evaluate_split(model: nn.Module, variables: Mapping[str, Any], split: Split) -> Scores:
    """Scores a network on a split, without augmentation or dropout.

    Args:
      model: the network, called as `model(float32[n,28,28,1], train=False)`.
      variables: {'params': ..., 'batch_stats': ...}.
      split: from `input_pipeline.load`; at least one image.

    Returns:
      Every image counts once: number, accuracy, loss, confusion, calibration.
    """
    answers = logits(model, variables, split.images)
    return metrics.score(metrics.log_probabilities(answers), split.labels)


def in_batches(
    program: Callable[[np.ndarray], Any], images: np.ndarray, size: int = BATCH_SIZE
) -> np.ndarray:
    """Calls a program on one batch of images at a time.

    Args:
      program: maps uint8[n,28,28] to float[n,...,10], n at most `size`.
      images: uint8[N,28,28].
      size: images in a batch.

    Returns:
      float[N,...,10].
    """
    starts = range(0, len(images), size)
    parts = [np.asarray(program(images[i : i + size])) for i in starts]
    return np.concatenate(parts) if parts else np.zeros((0, 10), np.float32)


def shifted(images: np.ndarray) -> list[np.ndarray]:
    """Moves images by -1, 0 and 1 pixels across and down; the gaps are black.

    Args:
      images: uint8[N,28,28].

    Returns:
      Nine arrays, uint8[N,28,28].
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
      logits_of: maps uint8[N,28,28] to float[N,...,10].
      images: uint8[N,28,28].

    Returns:
      float64[N,...,10].
    """
    views = [metrics.log_probabilities(logits_of(view)) for view in shifted(images)]
    mean: np.ndarray = np.logaddexp.reduce(views) - math.log(len(views))
    return mean


@partial(jax.jit, static_argnums=0)
def logits_of_batch(
    model: nn.Module, variables: Mapping[str, Any], images: jax.Array
) -> jax.Array:
    """Computes `logits` of one batch in one program: uint8[n,28,28] to float32[n,10]."""
    return jnp.asarray(model.apply(variables, augment.normalize(images), train=False))
