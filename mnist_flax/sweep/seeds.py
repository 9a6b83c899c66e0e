"""Trains runs that differ in their seed only, one after the other or several at once."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mnist_flax import inference
from mnist_flax.epochs import NO_STEP
from mnist_flax.parallel import sharding
from mnist_flax.parallel.sharding import DeviceSplit
from mnist_flax.programs import Programs
from mnist_flax.steps import Recipe, TrainState

# Share of a device's free memory to fill with seeds; XLA needs some of the rest.
_SHARE = 0.8


class Curves(NamedTuple):
    """How a run went: an entry for each epoch, up to the one before it diverged.

    Attributes:
      train_loss: over the images as they were seen in training.
      train_accuracy: over the same, 0 to 1.
      test_loss: at the end of the epoch.
      test_accuracy: at the same time, 0 to 1.
    """

    train_loss: list[float]
    train_accuracy: list[float]
    test_loss: list[float]
    test_accuracy: list[float]


class Outcome(NamedTuple):
    """What the training of a seed came to.

    Attributes:
      curves: how the run went.
      diverged_at: the first step with a loss that was not finite; None if the run finished.
      tta_accuracy: with test-time augmentation after the last epoch, 0 to 1; None if it was
        not asked for, or the run diverged.
    """

    curves: Curves
    diverged_at: int | None
    tta_accuracy: float | None = None


class SeedPrograms:
    """The programs that train several seeds at once.

    Attributes:
      parallel: how many seeds.
    """

    def __init__(
        self, recipe: Recipe, train: DeviceSplit, test: DeviceSplit, parallel: int
    ) -> None:
        """Compiles the programs of a run, for `parallel` seeds at once."""
        self.parallel = parallel
        self._mesh, self._model, self._test = train.mesh, recipe.model, test
        # One seed takes the programs of a single run: its results are the same, bit for bit.
        self._programs = Programs(recipe, train, test, None if parallel == 1 else parallel)

    def train(
        self,
        seeds: list[int],
        num_epochs: int,
        progress: Callable[[int], None],
        *,
        tta: bool = False,
    ) -> tuple[list[Outcome], float]:
        """Trains seeds from their first epoch to their last, or until all have diverged.

        Args:
          seeds: 1 to `parallel` of them.
          num_epochs: epochs of each.
          progress: is called after each epoch with how many are done, those of each seed.
          tta: whether to test with test-time augmentation, too, after the last epoch.

        Returns:
          The outcome of each; the seconds that all of them together took.
        """
        begin = time.perf_counter()
        # Fewer seeds than `parallel` are filled up, so that one program is enough.
        filled = seeds + seeds[-1:] * (self.parallel - len(seeds))
        roots = jnp.stack([jax.random.key(seed) for seed in filled])
        starts = jax.vmap(jax.random.fold_in, (0, None))(roots, 0)
        if self.parallel == 1:
            roots, starts = roots[0], starts[0]
        roots, starts = sharding.replicate((roots, starts), self._mesh)
        state = self._programs.create(starts)
        diverged_at: list[int | None] = [None] * self.parallel
        curves = [Curves([], [], [], []) for _ in filled]
        for number in range(1, num_epochs + 1):
            epoch = self._programs.train_epoch(state, roots, number)
            state = epoch.train_state
            tested = self._programs.eval_epoch(state)
            bad, *sums = jax.device_get((epoch.first_non_finite, epoch.metrics, tested))
            bad = np.atleast_1d(bad)
            columns = [
                np.atleast_1d(metric.total / metric.count)
                for metrics in sums
                for metric in (metrics.loss, metrics.accuracy)
            ]
            for i, curve in enumerate(curves):
                if diverged_at[i] is None and bad[i] != NO_STEP:
                    diverged_at[i] = int(bad[i])
                if diverged_at[i] is None:
                    for values, column in zip(curve, columns, strict=True):
                        values.append(float(column[i]))
            progress(number * len(seeds))
            if None not in diverged_at:
                break
        answers = self._tta_accuracies(state) if tta else [None] * self.parallel
        outcomes = [
            Outcome(curve, step, accuracy if step is None else None)
            for curve, step, accuracy in zip(curves, diverged_at, answers, strict=True)
        ]
        return outcomes[: len(seeds)], time.perf_counter() - begin

    def _tta_accuracies(self, state: TrainState) -> list[float]:
        """Computes each seed's accuracy with test-time augmentation, 0 to 1."""
        program: Callable[..., jax.Array] = partial(inference.logits_of_batch, self._model)
        if self.parallel > 1:
            # The axis of seeds is behind that of the images.
            program = jax.jit(jax.vmap(program, (0, None), out_axes=1))
        variables = {"params": state.params, "batch_stats": state.batch_stats}
        images, labels = (
            np.asarray(x.addressable_data(0)) for x in (self._test.images, self._test.labels)
        )
        # A seed that has diverged answers with NaN.
        with np.errstate(invalid="ignore"):
            answers = inference.augmented_log_probabilities(
                lambda views: inference.in_batches(partial(program, variables), views), images
            )
        right = answers.reshape(len(labels), self.parallel, 10).argmax(-1) == labels[:, None]
        return [float(share) for share in right.mean(0)]


def most_at_once(recipe: Recipe, train: DeviceSplit, test: DeviceSplit, count: int) -> int:
    """Says how many of `count` seeds to train at once.

    On CPU it is one, which keeps all cores busy (docs/SPEED.md has the measurement). Elsewhere
    it is as many as memory holds, by what XLA says that one takes with an axis of seeds.
    """
    if jax.default_backend() == "cpu":
        return 1
    one = Programs(recipe, train, test, seeds=1)
    return _that_fit(_free_bytes(), one.bytes_needed(), count)


def _free_bytes() -> int | None:
    """Reads the free memory of the first device; None if the device does not say."""
    stats: dict[str, Any] = jax.local_devices()[0].memory_stats() or {}
    if "bytes_limit" not in stats:
        return None
    return int(stats["bytes_limit"]) - int(stats.get("bytes_in_use", 0))


def _that_fit(free: int | None, each: int, count: int) -> int:
    """Divides the free bytes by those of one seed: 1 to `count`; 1 if `free` is None."""
    if free is None:
        return 1
    return max(1, min(count, int(_SHARE * free / max(1, each))))
