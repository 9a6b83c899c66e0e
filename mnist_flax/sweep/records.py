"""Keeps the record of a sweep: sweep.jsonl, a line a seed, and sweep.json, the settings."""

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

# What a line must have, for resuming, the table and the picture.
_FIELDS = {
    *("setting", "seed", "epochs", "test_accuracy", "diverged_at"),
    *("final_test_accuracy", "first_epoch_at_target"),
}


def begin(workdir: Path, settings: Sequence[tuple[str, ConfigDict]]) -> list[dict[str, Any]]:
    """Begins a sweep, or resumes the one in the workdir: writes sweep.json.

    Args:
      workdir: a folder that `workdirs.hold` has locked.
      settings: the name and the config of each.

    Returns:
      The lines of the seeds that are done.

    Raises:
      UserError: the workdir holds another sweep, or a damaged one.
    """
    content = {name: _fields(config) for name, config in settings}
    path = workdir / SETTINGS
    try:
        before = json.loads(path.read_text()) if path.exists() else None
        text = (workdir / LINES).read_text() if before else ""
        # A power cut may have left half a line at the end: that seed is trained again.
        lines = [read_line(line) for line in text.rpartition("\n")[0].splitlines()]
    except FileNotFoundError:
        lines = []
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            f"the sweep in {workdir} cannot be read ({error}); use another --workdir"
        ) from None
    if before != content and (before is not None or (workdir / LINES).exists()):
        raise UserError(
            f"the workdir {workdir} holds a sweep of another config or grid ({SETTINGS}); "
            "use another --workdir"
        )
    files.replace(path, writers.to_json(content, indent=2))
    files.replace(workdir / LINES, b"".join(map(writers.to_json, lines)))
    return lines


def _fields(config: ConfigDict) -> dict[str, Any]:
    """Lists the fields of a config, but for where the data is: that changes no result."""
    fields = config_lib.flatten(config)
    del fields["data_dir"]
    return fields


def read_line(text: str) -> dict[str, Any]:
    """Parses a line of sweep.jsonl.

    Raises:
      ValueError: it is not JSON, or lacks a field.
    """
    line = json.loads(text)
    if not isinstance(line, dict) or not line.keys() >= _FIELDS:
        raise ValueError(f"{text[:40]!r} is not a line of {LINES}")
    return line


def scores(outcome: "Outcome", num_test: int, target: float) -> dict[str, Any]:
    """Scores the training of a seed, under the names of summary.json.

    Args:
      outcome: of the training.
      num_test: number of test images.
      target: config.target_accuracy.

    Returns:
      The scores, None if the seed diverged, and 'diverged_at'.
    """
    accuracies = outcome.curves.test_accuracy
    correct = [metrics.count_correct(accuracy, num_test) for accuracy in accuracies]
    first = metrics.first_epoch_at_target(correct, num_test, target)
    finished = outcome.diverged_at is None
    return {
        "final_test_accuracy": correct[-1] / num_test if finished else None,
        "best_test_accuracy": max(correct) / num_test if finished else None,
        "first_epoch_at_target": first if finished else None,
        "diverged_at": outcome.diverged_at,
        "tta_test_accuracy": outcome.tta_accuracy,
    }


def describe_seeds(setting: str, seeds: Sequence[int]) -> str:
    """Names seeds that are trained at once, for the terminal."""
    words = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]} to {seeds[-1]}"
    return f"{setting}, {words}" if setting else words


def describe(line: dict[str, Any]) -> str:
    """Puts a line of sweep.jsonl into words, for the terminal."""
    setting = f"{line['setting']}, " if line["setting"] else ""
    if line["diverged_at"] is not None:
        return f"{setting}seed {line['seed']}: diverged at step {line['diverged_at']}"
    first = line["first_epoch_at_target"]
    met = f"target met at epoch {first}" if first else "target not met"
    return (
        f"{setting}seed {line['seed']}: final {100 * line['final_test_accuracy']:.2f} %, "
        f"{met}, {line['seconds']:.1f} s"
    )
