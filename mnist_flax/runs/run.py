"""One run, from the lock on its folder to its last picture; `train` records through it."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from mnist_flax import config as config_lib
from mnist_flax.errors import UserError, warn
from mnist_flax.parallel import processes
from mnist_flax.runs import checkpoints, devices, files, workdirs
from mnist_flax.runs.curves_writer import CurvesWriter
from mnist_flax.runs.summary import summarize
from mnist_flax.runs.tensorboard import TensorBoardWriter
from mnist_flax.runs.terminal import Progress, Terminal, say
from mnist_flax.runs.writers import Answers, MetricsWriter, Writer, to_plain
from mnist_flax.system import progress


class Run:
    """A run in a folder that this process, or the first of several, has locked.

    Attributes:
      workdir: the folder.
      history: the epochs that are done, as lines of metrics.jsonl.
      saved_state: the training state after them, NumPy arrays; None for a new run.
    """

    def __init__(
        self,
        workdir: Path,
        config: ConfigDict,
        saved: checkpoints.Saved | None,
        overwrite: bool,
    ) -> None:
        """Takes what was saved. Call `open_run` to make a Run."""
        self.workdir = workdir
        self.history = list(saved.history) if saved else []
        self.saved_state = saved.state if saved else None
        self._began = saved.began if saved else devices.here()
        self._config, self._overwrite = config, overwrite
        # The start of the run, moved back by the times of the epochs before a resume.
        earlier = sum(line["train_seconds"] + line["test_seconds"] for line in self.history)
        self._since = time.perf_counter() - earlier
        self._watched = False
        self._terminal: Terminal | None = None
        self._writers: list[Writer] = []

    def begin(
        self, *, model_table: str, num_train: int, num_test: int, example: np.ndarray
    ) -> None:
        """Opens the files of the run and prints the model table. Now the folder changes.

        Args:
          model_table: the table of layers that the head shows.
          num_train: number of training images.
          num_test: number of test images.
          example: uint8[28,28], the image that TensorBoard shows the augmentations of.
        """
        self._watched = processes.told_by_first(partial(progress.is_live, sys.stdout))
        if not processes.is_first():
            return
        if self._overwrite:
            checkpoints.remove(self.workdir)
        # A killed save may have left files; if no epoch follows, no later save removes them.
        checkpoints.remove_unfinished(self.workdir)
        steps = config_lib.steps_per_epoch(self._config, num_train)
        self._terminal = Terminal(
            self.workdir, self._config.num_epochs, steps, num_test, watched=self._watched
        )
        metrics = MetricsWriter(self.workdir, self._config, self.history)
        events = TensorBoardWriter(self.workdir, self._config, self.history, example)
        curves = CurvesWriter(self.workdir, self.history)
        # In this order: the figures are written and printed before anything is drawn.
        self._writers = [metrics, self._terminal, events, curves]
        # If no epoch is left to train, the report and the page of the run stay valid.
        ended = len(self.history) == self._config.num_epochs
        patterns = workdirs.TRAINING_FILES if ended else workdirs.RUN_FILES
        keep = {*MetricsWriter.FILES, events.path.name}
        workdirs.remove_stale(self.workdir, keep, patterns)
        self._terminal.print_head(model_table, len(self.history))
        say(f"Device: {devices.in_words()}")
        changes = devices.changes(self._began)
        if changes:
            warn(f"the run may end otherwise than it would have: {changes}")

    @contextlib.contextmanager
    def progress(self, epoch: int) -> Iterator[Progress | None]:
        """Shows a progress bar for an epoch, from 1, on a terminal and in a notebook.

        Yields:
          The function that moves the bar, or None if there is no bar. If the first process has
          a bar, every process gets a function, so that all split an epoch into the same parts.
        """
        if not self._watched:
            yield None
        elif self._terminal is None:
            yield _ignore
        else:
            with self._terminal.bar(epoch) as update:
                yield update

    def save(self, state: Any, record: Mapping[str, Any]) -> None:
        """Records the end of an epoch: the checkpoint first, then every writer.

        Args:
          state: tree of arrays.
          record: the epoch's line of metrics.jsonl.

        Raises:
          WriteError: a file cannot be written.
        """
        line = to_plain(record)
        with files.in_one_piece:
            # A line on record always has its checkpoint.
            history = [*self.history, line]
            checkpoints.save(self.workdir, self._config, state, history, self._began)
            for writer in self._writers:
                writer.epoch(line)
        self.history.append(line)

    def finish(
        self,
        *,
        params: int,
        num_test: int,
        answers: Callable[[], Answers],
        **environment: Any,
    ) -> dict[str, Any]:
        """Ends the run: summary.json and the verdict, then the pictures.

        Args:
          params: number of the network's parameters.
          num_test: number of test images.
          answers: computes the network's answers, on the first process alone.
          **environment: compile_seconds, backend and device_count of summary.json.

        Returns:
          The content of summary.json, on every process.
        """

        def finish() -> dict[str, Any]:
            seconds = time.perf_counter() - self._since
            summary = summarize(
                self._config, self.history, params, num_test, seconds, **environment
            )
            for writer in self._writers:
                writer.finish(summary, answers)
            return summary

        summary: dict[str, Any] = processes.told_by_first(finish)
        return summary


@contextlib.contextmanager
def open_run(
    workdir: str | Path | None,
    config: ConfigDict,
    like: Any,
    *,
    overwrite: bool = False,
    resume: bool = False,
) -> Iterator[Run]:
    """Makes or finds the folder of a run, locks it, and loads what is saved there.

    Until `Run.begin` nothing in the folder changes. A folder that was made here and is still
    empty at the end is removed. With several processes, each must call this; the first one
    chooses the folder.

    Args:
      workdir: the folder; None makes a new one in runs/, named by the time.
      config: the run's.
      like: the structure, shapes and dtypes of the training state.
      overwrite: whether to replace a run that the folder holds.
      resume: whether to continue a run that the folder holds.

    Raises:
      UserError: the folder or the run in it cannot be used, or the processes were not started
        alike.
      TrainingError: another process has stopped.
    """
    fields = config_lib.flatten(config)
    with contextlib.ExitStack() as stack, processes.together():
        processes.check_same("config", {k: v for k, v in fields.items() if k != "data_dir"})
        processes.check_same("flags", {"overwrite": overwrite, "resume": resume})
        folders: list[Path] = []

        def hold() -> str:
            lock = workdirs.hold(workdir, may_hold_a_run=overwrite or resume)
            folders.append(stack.enter_context(lock))
            return str(folders[0].absolute())

        place = processes.told_by_first(hold)
        folder = folders[0] if folders else Path(place)
        saved = None
        if resume:
            saved = processes.agree(partial(checkpoints.load_latest, folder, config, like))
            # A shared disk may show the processes different moments.
            processes.check_same("run", {"epochs": len(saved.history) if saved else 0})
            if saved is None:
                _check_nothing_on_record(folder)
            elif len(saved.history) > config.num_epochs:
                raise UserError(
                    f"config.num_epochs is {config.num_epochs}, and the run in {folder} has "
                    f"{len(saved.history)} epochs done; ask for at least as many"
                )
        yield Run(folder, config, saved, overwrite)


def _check_nothing_on_record(workdir: Path) -> None:
    """Raises UserError if a resume would start a run anew that has lost its checkpoints."""
    epochs = workdirs.epochs_on_record(workdir)
    if epochs:
        raise UserError(
            f"the run in {workdir} has {epochs} epochs on record and no checkpoint to resume "
            "from; start it anew with --overwrite, or use another --workdir"
        )


def _ignore(steps_done: int, loss: float, accuracy: float) -> None:
    """Takes the place of a progress bar on the processes that show none."""
