"""Compiles the functions of `steps` for a run, and dispatches an epoch at a time.

Everything an epoch needs is on the device before it starts: the images, the labels, the key.
The host asks for an epoch and gets its metrics. In between nothing is transferred, except the
numbers of a progress bar.
"""

import itertools
import time
from collections.abc import Callable
from concurrent import futures
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mnist_flax.epochs import EpochState, eval_epoch, full_steps, last_step, start_epoch
from mnist_flax.ops import backends, compiler_options
from mnist_flax.parallel import processes, sharding
from mnist_flax.parallel.sharding import DeviceSplit
from mnist_flax.steps import Metrics, Recipe, TrainState, init_state
from mnist_flax.system import progress as progress_lib

# How often the progress bar moves in an epoch. On CPU a dispatch costs about as much as a step:
# 20 dispatches took 3 % of an epoch; what 8 take cannot be measured.
BAR_UPDATES = 8


class Programs:
    """The programs of a run, each compiled once.

    Those that end an epoch, its last step and the test, are compiled while the first one runs.

    Attributes:
      seconds: how long it took until the first epoch could begin.
    """

    def __init__(
        self, recipe: Recipe, train: DeviceSplit, test: DeviceSplit, seeds: int | None = None
    ) -> None:
        """Compiles for two splits, and for the devices that they are on.

        Args:
          recipe: what to train, from `steps.create_recipe(config, train.size)`.
          train: the training split.
          test: the test split.
          seeds: how many runs to train at once; keys, states and metrics then have a first axis
            of that size. None: a single run, without that axis.
        """
        begin = time.perf_counter()
        self._train, self._test, self._mesh = train, test, train.mesh
        self._steps, self._rest = divmod(train.size, recipe.batch_size)

        once = compiler_options.for_once(recipe.dtype)
        loops = compiler_options.for_loops(recipe.dtype)
        index = jax.ShapeDtypeStruct((), jnp.int32)
        key = jax.eval_shape(jax.random.key, 0)
        if seeds is not None:
            key = jax.ShapeDtypeStruct((seeds,), key.dtype)

        def jit(f: Callable[..., Any], *axes: int | None, donate: bool = False) -> Any:
            """Wraps a function; `axes` says which of its arguments have an axis of seeds."""
            f = f if seeds is None else jax.vmap(f, in_axes=axes)
            return jax.jit(
                f,
                out_shardings=sharding.everywhere(self._mesh),
                donate_argnums=(0,) if donate else (),
            )

        compiling = progress_lib.shown(
            "Compiling (less the next time)", here=processes.is_first()
        )
        # One thread compiles in the order in which programs are needed, while Python traces on.
        pool = futures.ThreadPoolExecutor(1, "compile")
        with compiling, jax.set_mesh(self._mesh):
            create = jit(partial(init_state, recipe=recipe), 0)
            state = jax.eval_shape(create, key)
            start = jit(partial(start_epoch, num_images=train.size), 0, 0, None, donate=True)
            epoch_state, order, epoch_key = jax.eval_shape(start, state, key, index)
            ahead = backends.batches_ahead(
                self._mesh.devices.flat[0].platform, recipe.batch_size
            )
            full = partial(full_steps, recipe=recipe, ahead=ahead)
            steps = jit(full, 0, None, 0, 0, None, None, donate=True)
            lowered = steps.lower(epoch_state, train, order, epoch_key, index, index)
            first = pool.submit(lowered.compile, loops)
            self.create = create.lower(key).compile(once)
            self._start = start.lower(state, key, index).compile(once)
            if self._rest:
                last = jit(partial(last_step, recipe=recipe), 0, None, 0, 0, donate=True)
                lowered = last.lower(epoch_state, train, order, epoch_key)
                self._last = pool.submit(lowered.compile, once)
            evaluate = jit(partial(eval_epoch, model=recipe.model), 0, None)
            self._eval = pool.submit(evaluate.lower(state, test).compile, loops)
            pool.shutdown(wait=False)
            self._full = first.result()
        self.seconds = time.perf_counter() - begin

    def wait_until_compiled(self) -> None:
        """Waits for the programs that end an epoch; otherwise the first epoch does."""
        self._eval.result()

    def bytes_needed(self) -> int:
        """Returns the bytes that a run needs on a device besides the splits, as XLA says."""
        analyses = [x.memory_analysis() for x in (self._full, self._eval.result())]
        return max(x.temp_size_in_bytes + x.output_size_in_bytes for x in analyses)

    def train_epoch(
        self,
        state: TrainState,
        key: jax.Array,
        epoch: int,
        progress: Callable[[int, float, float], None] | None = None,
    ) -> EpochState:
        """Trains on every image once. Returns before the device has finished; see `wait`.

        Args:
          state: the training state. It is donated: do not use it afterwards.
          key: the run's root key.
          epoch: its number, from 1.
          progress: is called several times with the steps done, the loss of the last of them
            and the accuracy of the epoch so far; None: the host does nothing in between.
        """
        parts = min(BAR_UPDATES, self._steps) if progress else 1
        bounds = [self._steps * i // parts for i in range(parts + 1)]
        # All the numbers that the device still needs, sent at once.
        numbers = sharding.replicate([np.int32(x) for x in (epoch, *bounds)], self._mesh)
        epoch_state, order, epoch_key = self._start(state, key, numbers[0])
        parts_of_epoch = zip(bounds[1:], itertools.pairwise(numbers[1:]), strict=True)
        for end, (start, stop) in parts_of_epoch:
            epoch_state = self._full(epoch_state, self._train, order, epoch_key, start, stop)
            if progress:
                progress(end, *_so_far(epoch_state))
        if self._rest:
            epoch_state = self._last.result()(epoch_state, self._train, order, epoch_key)
            if progress:
                progress(self._steps + 1, *_so_far(epoch_state))
        return epoch_state

    def eval_epoch(self, state: TrainState) -> Metrics:
        """Computes the metrics of the test split."""
        return self._eval.result()(state, self._test)


def wait(array: jax.Array, seconds: float = 0.002) -> None:
    """Waits for an array by looking every few ms: block_until_ready would delay Ctrl-C.

    (In a notebook, say. A command of its own is ended at once by `cli.stopping`.)
    """
    while not array.is_ready():  # type: ignore[attr-defined]
        time.sleep(seconds)


def _so_far(epoch_state: EpochState) -> tuple[float, float]:
    """Fetches the loss of the last step, and the accuracy of the epoch so far."""
    loss, metrics = jax.device_get((epoch_state.last_loss, epoch_state.metrics))
    return float(loss), metrics.accuracy.total / metrics.accuracy.count
