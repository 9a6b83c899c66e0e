"""Runs that differ in their seed only, one after the other or several at once."""

import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from mnist_flax.parallel import sharding
from mnist_flax.parallel.sharding import DeviceSplit
from mnist_flax.programs import Programs
from mnist_flax.steps import NO_STEP, create_recipe

# Of a device's memory, for the seeds that are trained at once: the rest is XLA's own.
_SHARE = 0.8


class Curves(NamedTuple):
    """How a run went; an entry an epoch each, up to the one before it diverged.

    Attributes:
      train_loss: as each image was seen in training.
      train_accuracy: the same, 0 to 1.
      test_loss: at the end of the epoch.
      test_accuracy: the same, 0 to 1.
    """

    train_loss: list[float]
    train_accuracy: list[float]
    test_loss: list[float]
    test_accuracy: list[float]


class Outcome(NamedTuple):
    """What became of a seed.

    Attributes:
      curves: how its run went.
      diverged_at: the first step with a loss that was not finite; None if there was none, and
        the run came to its end.
    """

    curves: Curves
    diverged_at: int | None


class SeedPrograms:
    """Trains some seeds of a config at once.

    Attributes:
      parallel: how many.
      compile_seconds: how long compilation took.
    """

    def __init__(
        self, config: ConfigDict, train: DeviceSplit, test: DeviceSplit, parallel: int
    ) -> None:
        """Compiles the programs of a run, for `parallel` seeds at once."""
        self.parallel = parallel
        self._config, self._mesh = config, train.mesh
        # The programs of one seed are those of a run alone, so that its figures are, too.
        recipe = create_recipe(config, train.size)
        self._programs = Programs(recipe, train, test, None if parallel == 1 else parallel)
        self.compile_seconds = self._programs.seconds

    def train(self, seeds: list[int]) -> tuple[list[Outcome], float]:
        """Trains seeds from their first epoch to their last, or until all have diverged.

        Args:
          seeds: `parallel` of them at most, and at least one.

        Returns:
          The outcome of each; seconds, of all of them together.
        """
        begin = time.perf_counter()
        # What is left over at the end is filled up, so that one program does for all.
        filled = seeds + seeds[-1:] * (self.parallel - len(seeds))
        roots = jnp.stack([jax.random.key(seed) for seed in filled])
        starts = jax.vmap(jax.random.fold_in, (0, None))(roots, 0)
        if self.parallel == 1:
            roots, starts = roots[0], starts[0]
        roots, starts = sharding.replicate((roots, starts), self._mesh)
        state = self._programs.create(starts)
        diverged_at: list[int | None] = [None] * self.parallel
        curves = [Curves([], [], [], []) for _ in filled]
        for number in range(1, self._config.num_epochs + 1):
            epoch = self._programs.train_epoch(state, roots, number)
            state = epoch.train
            tested = self._programs.eval_epoch(state)
            bad, *sums = jax.device_get((epoch.first_non_finite, epoch.metrics, tested))
            bad = np.atleast_1d(bad)
            figures = [
                np.atleast_1d(metric.total / metric.count)
                for metrics in sums
                for metric in (metrics.loss, metrics.accuracy)
            ]
            for i, curve in enumerate(curves):
                if diverged_at[i] is None and bad[i] != NO_STEP:
                    diverged_at[i] = int(bad[i])
                if diverged_at[i] is None:
                    for column, figure in zip(curve, figures, strict=True):
                        column.append(float(figure[i]))
            if None not in diverged_at:
                break
        outcomes = list(map(Outcome, curves, diverged_at))[: len(seeds)]
        return outcomes, time.perf_counter() - begin


def most_at_once(config: ConfigDict, train: DeviceSplit, test: DeviceSplit, seeds: int) -> int:
    """How many of some seeds to train at once.

    On CPU one: its cores are busy with one (docs/SPEED.md has the measurement). Elsewhere as
    many as memory holds, by what XLA says that one takes.
    """
    if jax.default_backend() == "cpu":
        return 1
    programs = Programs(create_recipe(config, train.size), train, test, 1)
    return _that_fit(_free_bytes(), programs.bytes_needed(), seeds)


def _free_bytes() -> int | None:
    """Of the first device; None if it does not say."""
    stats: dict[str, Any] = jax.local_devices()[0].memory_stats() or {}
    if "bytes_limit" not in stats:
        return None
    return int(stats["bytes_limit"]) - int(stats.get("bytes_in_use", 0))


def _that_fit(free: int | None, each: int, seeds: int) -> int:
    """How many of some seeds fit; one where it is not known."""
    if free is None:
        return 1
    return max(1, min(seeds, int(_SHARE * free / max(1, each))))
