"""The record of a sweep: sweep.jsonl, a line a seed, and sweep.json, the settings."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_collections import ConfigDict

from mnist_flax import config as config_lib
from mnist_flax import metrics
from mnist_flax.errors import UserError
from mnist_flax.runs import files, writers

if TYPE_CHECKING:
    from mnist_flax.sweep.seeds import Outcome

LINES, SETTINGS = "sweep.jsonl", "sweep.json"

# Of a line, what resuming, the table and the picture need.
_FIELDS = {
    *("setting", "seed", "epochs", "test_accuracy", "diverged_at"),
    *("final_test_accuracy", "first_epoch_at_target"),
}


def begin(
    workdir: Path, names: Sequence[str], points: Sequence[ConfigDict]
) -> list[dict[str, Any]]:
    """Begins a sweep, or goes on with one: writes sweep.json.

    Args:
      workdir: a folder that `workdirs.hold` holds.
      names: of the settings of a grid.
      points: their configs.

    Returns:
      The lines of the seeds that are done.

    Raises:
      UserError: the workdir holds another sweep, or one that is damaged.
    """
    settings = {
        name: {
            key: value for key, value in config_lib.flatten(config).items() if key != "data_dir"
        }
        for name, config in zip(names, points, strict=True)
    }
    path = workdir / SETTINGS
    try:
        before = json.loads(path.read_text()) if path.exists() else None
        text = (workdir / LINES).read_text() if before else ""
        # Half a line may be left by a power cut; it is written again.
        lines = [_read_line(line) for line in text.rpartition("\n")[0].splitlines()]
    except FileNotFoundError:
        lines = []
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            f"the sweep in {workdir} cannot be read ({error}); use another"
        ) from None
    if before != settings and (before is not None or (workdir / LINES).exists()):
        raise UserError(
            f"the workdir {workdir} holds a sweep of another config or grid, by {SETTINGS}; "
            "use another --workdir"
        )
    files.replace(path, writers.to_json(settings, indent=2))
    files.replace(workdir / LINES, b"".join(map(writers.to_json, lines)))
    return lines


def _read_line(text: str) -> dict[str, Any]:
    """A line of sweep.jsonl.

    Raises:
      ValueError: it is none.
    """
    line = json.loads(text)
    if not isinstance(line, dict) or not line.keys() >= _FIELDS:
        raise ValueError(f"{text[:40]!r} is no line of {LINES}")
    return line


def figures(outcome: "Outcome", num_test: int, target: float) -> dict[str, Any]:
    """What a seed comes to; as in summary.json, but None where it diverged.

    Args:
      outcome: of its training.
      num_test: number of test images.
      target: config.target_accuracy.
    """
    accuracies = outcome.curves.test_accuracy
    correct = [metrics.count_correct(accuracy, num_test) for accuracy in accuracies]
    first = metrics.first_epoch_at_target(correct, num_test, target)
    ended = outcome.diverged_at is None
    return {
        "final_test_accuracy": correct[-1] / num_test if ended else None,
        "best_test_accuracy": max(correct) / num_test if ended else None,
        "first_epoch_at_target": first if ended else None,
        "diverged_at": outcome.diverged_at,
    }


def shown(line: dict[str, Any]) -> str:
    """What is printed of a line."""
    setting = f"{line['setting']}, " if line["setting"] else ""
    if line["diverged_at"] is not None:
        return f"{setting}seed {line['seed']}: diverged at step {line['diverged_at']}"
    first = line["first_epoch_at_target"]
    met = f"target met at epoch {first}" if first else "target not met"
    return (
        f"{setting}seed {line['seed']}: final {100 * line['final_test_accuracy']:.2f} %, "
        f"{met}, {line['seconds']:.1f} s"
    )
