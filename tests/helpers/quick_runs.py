"""Lets the runs of a process share what takes each seconds to make: programs and pictures.

Two runs have the same programs if they train the same network, by the same augmentation, batch
size and learning rates, on the same images. The first of them makes the programs, as ever.
"""

import contextlib
import hashlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from helpers.pictures import one_picture
from mnist_flax import programs, train
from mnist_flax.parallel.sharding import DeviceSplit
from mnist_flax.steps import Recipe
from mnist_flax.sweep import seeds

_programs: dict[str, programs.Programs] = {}
# A schedule has no name to compare: so many of its learning rates have.
_STEPS = 100


@contextlib.contextmanager
def sharing_programs() -> Iterator[None]:
    """Has the runs that begin meanwhile, and seeds of a sweep, take the programs of others."""
    with (
        mock.patch.object(train, "Programs", _make),
        mock.patch.object(seeds, "Programs", _make),
    ):
        yield


@contextlib.contextmanager
def sharing() -> Iterator[None]:
    """Does the above, and has each figure saved as the same small picture."""
    with sharing_programs(), one_picture():
        yield


def _make(
    recipe: Recipe, train: DeviceSplit, test: DeviceSplit, seeds: int | None = None
) -> programs.Programs:
    # A config has one optimizer, and its learning rates are what it may differ in.
    rates = jax.jit(jax.vmap(recipe.learning_rate_fn))(jnp.arange(_STEPS))
    arrays = rates, train.images, train.labels, test.images, test.labels
    named = [recipe.model, recipe.augment, recipe.batch_size, recipe.dtype, seeds]
    key = " ".join(map(str, [*named, *map(_hash, arrays)]))
    if key not in _programs:
        _programs[key] = programs.Programs(recipe, train, test, seeds)
    return _programs[key]


def _hash(array: Any) -> str:
    return hashlib.sha256(np.asarray(array).tobytes()).hexdigest()
