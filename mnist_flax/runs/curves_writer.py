"""Draws curves.png at the end of a run."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mnist_flax import errors
from mnist_flax.runs import files
from mnist_flax.runs.writers import Answers


class CurvesWriter:
    """Keeps the epochs of a run for the picture at its end."""

    def __init__(self, workdir: Path, history: Sequence[Mapping[str, Any]]) -> None:
        """Takes the epochs that are done, as lines of metrics.jsonl."""
        self._workdir = workdir
        self._history = list(history)

    def epoch(self, record: Mapping[str, Any]) -> None:
        """Keeps a line of metrics.jsonl."""
        self._history.append(record)

    def finish(self, summary: Mapping[str, Any], answers: Callable[[], Answers]) -> None:
        """Draws the picture; a failure is a warning, as the run is on record without it."""
        try:
            # Matplotlib takes most of a second to import.
            from mnist_flax.plots.curves import draw_curves

            target, params = summary["target_accuracy"], summary["params"]
            files.replace(
                self._workdir / "curves.png", draw_curves(self._history, target, params)
            )
        except Exception as error:  # Whatever Matplotlib and the disk happen to raise.
            errors.warn(not_drawn("curves.png", self._workdir, error))


def not_drawn(what: str, workdir: Path, error: Exception) -> str:
    """Makes the warning for a picture of a finished run that could not be drawn."""
    return (
        f"{what} could not be drawn ({type(error).__name__}: {error}); everything else of the "
        f"run is on disk; python -m mnist_flax.report --workdir {shlex.quote(str(workdir))} "
        "draws its pictures"
    )
