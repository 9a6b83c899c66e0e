"""The state of a run on disk: the latest epoch and the best one, kept by Orbax.

An Orbax checkpoint appears under its name in one rename: a process that is killed while it
saves leaves the ones before it as they were.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import jax
from ml_collections import ConfigDict
from orbax.checkpoint import v1 as ocp

from mnist_flax.config import flatten
from mnist_flax.errors import UserError

State = TypeVar("State")

FOLDER = "checkpoints"


class Checkpoints:
    """The checkpoints of one run, in its workdir's folder `checkpoints`, named by epoch."""

    def __init__(self, workdir: Path) -> None:
        """Opens the folder; makes it if need be."""
        policies = ocp.training.preservation_policies
        best = policies.BestN(get_metric_fn=lambda metrics: metrics["test_accuracy"], n=1)
        self._checkpointer = ocp.training.Checkpointer(
            (workdir / FOLDER).absolute(),
            # Without a policy of its own Orbax leaves out what it takes for too frequent.
            save_decision_policy=ocp.training.save_decision_policies.FixedIntervalPolicy(1),
            preservation_policy=policies.AnyPreservationPolicy([policies.LatestN(1), best]),
            cleanup_tmp_directories=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._checkpointer.close()

    def save(self, state: Any, history: Sequence[Mapping[str, Any]]) -> None:
        """Saves the end of an epoch.

        Args:
          state: tree of arrays.
          history: the lines of metrics.jsonl so far; the last one names the epoch.
        """
        last = history[-1]
        self._checkpointer.save(
            last["epoch"],
            state,
            metrics={"test_accuracy": last["test_accuracy"]},
            custom_metadata={"history": list(history)},
        )

    @property
    def epochs(self) -> list[int]:
        """The epochs that are there, in order."""
        return [checkpoint.step for checkpoint in self._checkpointer.checkpoints]

    def restore(self, epoch: int, like: State) -> tuple[State, list[dict[str, Any]]]:
        """What `save` was given at the end of an epoch.

        Args:
          epoch: one of `epochs`.
          like: the structure, shapes and dtypes of the state.
        """
        # Where to put it is said here: it may have been saved on another kind of device.
        device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        target = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device), like
        )
        state = self._checkpointer.load(epoch, target)
        metadata = self._checkpointer.checkpointables_metadata(epoch).custom_metadata
        return state, metadata["history"]


def check_same_config(workdir: Path, config: ConfigDict) -> None:
    """Checks that the run in a workdir has a certain config, but for the place of the data.

    Raises:
      UserError: it has another one, or it cannot be read. It names every difference.
    """
    path = workdir / "config.json"
    try:
        before = flatten(ConfigDict(dict(json.loads(path.read_bytes()))))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path} cannot be read ({error}); the run cannot go on") from None
    now = flatten(config)
    different = [
        f"config.{key} was {before.get(key)!r} and is {now.get(key)!r}"
        for key in sorted(before.keys() | now.keys())
        if key != "data_dir" and before.get(key) != now.get(key)
    ]
    if different:
        raise UserError(
            f"the run in {workdir} has another config: {'; '.join(different)}; "
            "use its config, or another --workdir"
        )
