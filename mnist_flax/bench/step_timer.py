"""Times the training step of a network, in a loop and dispatched alone."""

import functools
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import lax

from mnist_flax.ops.compiler_options import Options
from mnist_flax.steps import Recipe, TrainState, init_state, train_step

# Training steps in a dispatch. Training itself has a whole epoch in one dispatch, and on CPU a
# step is faster in a loop than alone: ten are a loop, and still short enough to repeat.
STEPS = 10
# How often a round times what is short.
DISPATCHES = 10


class StepTimer:
    """Takes training steps on fixed batches, and times them.

    The batches are on the device, ready and not augmented; dropout is on. All steps run on one
    device, also where training would share a batch out to several.
    """

    def __init__(
        self,
        recipe: Recipe,
        key: jax.Array,
        options: Options,
        *,
        steps: int = STEPS,
        dispatches: int = DISPATCHES,
    ) -> None:
        """Compiles nothing yet: the first call of a method does.

        Args:
          recipe: what to train.
          key: PRNG key of everything that is random.
          options: for the compiler.
          steps: training steps in a loop, one dispatch.
          dispatches: how many times a method returns.
        """
        self._recipe, self._key, self._options = recipe, key, options
        self._steps, self._dispatches = steps, dispatches

    def in_loop_ms(self) -> list[float]:
        """Times a training step in a loop of several: the time of the loop by their number."""
        # The device gets the number, so that XLA cannot unroll the loop.
        count = np.int32(self._steps)
        times = times_ms(lambda: self._loop(count), self._dispatches)
        return [ms / self._steps for ms in times]

    def alone_ms(self) -> list[float]:
        """Times a training step that is dispatched alone."""
        return times_ms(self._step, self._dispatches)

    @functools.cached_property
    def _batches(self) -> tuple[jax.Array, jax.Array]:
        """A batch for each step of a loop: XLA could take work on a single one out of it."""
        shape = (self._steps, self._recipe.batch_size)
        images = jax.random.normal(self._key, (*shape, 28, 28, 1))
        return images, jax.random.randint(self._key, shape, 0, 10)

    @functools.cached_property
    def _loop(self) -> Callable[[np.int32], TrainState]:
        images, labels = self._batches
        program = self._jit(partial(_train_steps, recipe=self._recipe))
        state = init_state(self._key, self._recipe)
        return lambda count: program(state, images, labels, self._key, count)

    @functools.cached_property
    def _step(self) -> Callable[[], TrainState]:
        images, labels = (batches[0] for batches in self._batches)
        program = self._jit(partial(_train_step, recipe=self._recipe))
        state = init_state(self._key, self._recipe)
        return lambda: program(state, images, labels, self._key)

    def _jit(self, function: Callable[..., TrainState]) -> Callable[..., TrainState]:
        return jax.jit(function, compiler_options=self._options)


def times_ms(dispatch: Callable[[], Any], dispatches: int = DISPATCHES) -> list[float]:
    """Times calls in milliseconds, each to the end of all that it computes."""
    milliseconds = []
    for _ in range(dispatches + 2):
        begin = time.perf_counter()
        jax.block_until_ready(dispatch())
        milliseconds.append(1e3 * (time.perf_counter() - begin))
    return milliseconds[2:]  # The first ones compile and warm up.


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
    """Takes `count` steps, one on each of the first batches of float32[B,N,28,28,1]."""

    def body(i: jax.Array, state: TrainState) -> TrainState:
        step_key = jax.random.fold_in(key, i)
        return _train_step(state, images[i], labels[i], step_key, recipe)

    return lax.fori_loop(0, count, body, state)
