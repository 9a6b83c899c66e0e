"""Saves and loads the state of a run: its latest two epochs and its best one.

A checkpoint is the folder checkpoints/EPOCH of a workdir. It holds what Orbax writes, and
SHA256SUMS, the checksums of these files as `sha256sum` prints them. It is written under another
name, synced to the disk, and then renamed: under its own name it is always whole, whenever the
process is killed or the power fails. Damage that comes later is found by the checksums, before
anything else reads the files.

A checkpoint holds all that a resume needs: the weights, batch norm's statistics, the state of
the optimizer with its place in the schedule, the lines of metrics.jsonl, and the config. The
seed in the config and the number of an epoch make every random number of that epoch.
"""

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np
from ml_collections import ConfigDict
from orbax.checkpoint import v1 as ocp

import mnist_flax
from mnist_flax import errors
from mnist_flax.config import flatten
from mnist_flax.errors import UserError, WriteError
from mnist_flax.runs import checksums, devices, files, workdirs
from mnist_flax.runs.checksums import DamagedError
from mnist_flax.system import paths

State = TypeVar("State")

FOLDER = workdirs.CHECKPOINTS

# The version of the content. It rises when an older program could not resume from it.
FORMAT = 1

_UNFINISHED = ".unfinished"
_REMOVED = f".{FOLDER}.removed"


class Saved(NamedTuple):
    """What a checkpoint holds: the end of an epoch.

    Attributes:
      state: the training state, NumPy arrays.
      history: the lines of metrics.jsonl so far; the last one is this epoch's.
      began: on what the run began, see `devices.here`; empty if that was not noted.
    """

    state: Any
    history: list[dict[str, Any]]
    began: Mapping[str, Any] = {}


def save(
    workdir: Path,
    config: ConfigDict,
    state: Any,
    history: Sequence[Mapping[str, Any]],
    began: Mapping[str, Any] | None = None,
) -> None:
    """Saves the end of an epoch. Of the earlier checkpoints the last and the best stay.

    Where there are several processes, all have to call this, because Orbax lets them wait for
    each other; the first one writes.

    Args:
      workdir: the folder of a run, which this process or the first one has locked.
      config: the run's.
      state: tree of arrays.
      history: the lines of metrics.jsonl, this epoch's included, which is the last.
      began: on what the run began, see `devices.here`; None: on what is here.

    Raises:
      WriteError: it could not be written. The earlier ones are as they were.
    """
    folder, epoch = workdir / FOLDER, history[-1]["epoch"]
    # Of equal epochs the first is the best, as in summary.json.
    best = max(history, key=lambda record: record["test_accuracy"])["epoch"]
    # With arrays on a device Orbax takes twice as long, and records which device it was.
    arrays = jax.device_get(state)
    metadata = {
        "format": FORMAT,
        "config": config.to_dict(),
        "arrays": _describe(arrays),
        "history": [dict(record) for record in history],
        "began": dict(began or devices.here()),
    }
    if jax.process_index() > 0:
        with paths.safe_alias(folder) as alias:
            ocp.save(alias / _UNFINISHED / str(epoch), arrays, custom_metadata=metadata)
        return
    try:
        with _unfinished(folder) as unfinished:
            new = unfinished / str(epoch)
            _write(new, arrays, metadata)
            # Only a damaged one can be there: the run would have resumed from a good one.
            _move_away(folder, epoch)
            new.rename(folder / new.name)
            files.sync(folder)
            for old in epochs(workdir):
                if old < epoch - 1 and old != best:
                    _move_away(folder, old)
    except OSError as error:
        raise WriteError(error.errno, error.strerror, str(folder / str(epoch))) from error


def epochs(workdir: Path) -> list[int]:
    """Lists the epochs that have a checkpoint, in order."""
    try:
        paths = list((workdir / FOLDER).iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise UserError(
            f"the checkpoints in {workdir} cannot be read ({error.strerror}); use another run"
        ) from None
    return sorted(int(path.name) for path in paths if path.name.isdecimal())


def load(workdir: Path, epoch: int, config: ConfigDict, like: State) -> Saved:
    """Loads what was given to `save`. Where there are several processes, all have to call it.

    Args:
      workdir: the folder of the run.
      epoch: one of `epochs(workdir)`.
      config: of the run that is to go on, or to be used.
      like: the structure, shapes and dtypes of its state.

    Raises:
      DamagedError: it is not as it was written.
      UserError: it comes from a newer version, from another network, or from a config that
        would have trained its epochs differently. The message names every difference.
    """
    path = workdir / FOLDER / str(epoch)
    try:
        os.listdir(path)
        with paths.safe_alias(path.parent):
            pass
    except OSError as error:
        if error.errno == errno.ENOTDIR:
            raise DamagedError("it is not a folder") from None
        raise UserError(
            f"the checkpoint {path} cannot be read ({error.strerror}); mend that, or use "
            "another run"
        ) from None
    checksums.check(path)
    try:
        with paths.safe_alias(path.parent) as folder:
            metadata = ocp.metadata(folder / path.name).custom_metadata
        _check_format(path, metadata["format"])
        _check_config(workdir, flatten(ConfigDict(metadata["config"])), flatten(config))
        _check_same(workdir, "network", metadata["arrays"], _describe(like))
        target = jax.tree.map(lambda x: np.empty(x.shape, x.dtype), like)
        with paths.safe_alias(path.parent) as folder:
            state = ocp.load(folder / path.name, target)
        return Saved(state, metadata["history"], metadata.get("began", {}))
    except UserError:
        raise
    except Exception as error:  # Whatever Orbax and what it uses happen to raise.
        raise DamagedError(
            " ".join(f"{type(error).__name__}: {error}".split())[:200]
        ) from error


def load_latest(workdir: Path, config: ConfigDict, like: State) -> Saved | None:
    """Loads the latest good checkpoint; see `load`. Nothing is changed.

    Returns:
      None if there is no checkpoint at all. A warning on stderr names each damaged one that is
      passed over.

    Raises:
      UserError: all are damaged; or see `load`.
    """
    damaged: list[str] = []
    for epoch in reversed(epochs(workdir)):
        try:
            saved = load(workdir, epoch, config, like)
        except DamagedError as error:
            damaged.append(f"{workdir / FOLDER / str(epoch)} is damaged ({error})")
            continue
        for text in damaged:
            errors.warn(f"the checkpoint {text}; the one of epoch {epoch} is used")
        return saved
    if damaged:
        raise UserError(
            f"the run in {workdir} has no good checkpoint: {'; '.join(damaged)}; "
            "start it anew with --overwrite, or use another --workdir"
        )
    return None


def remove(workdir: Path) -> None:
    """Removes all checkpoints of a run, in one step.

    Raises:
      WriteError: they cannot be removed.
    """
    folder = workdir / FOLDER
    gone = workdir / _REMOVED
    try:
        shutil.rmtree(gone, ignore_errors=True)
        if folder.is_symlink():
            # They are on another disk, and so will be those to come: the link stays.
            for path in folder.iterdir():
                shutil.rmtree(path)
        elif folder.exists():
            folder.rename(gone)
            shutil.rmtree(gone)
    except OSError as error:
        reason = error.strerror or str(error)
        raise WriteError(error.errno, reason, str(folder)) from error


def remove_unfinished(workdir: Path) -> None:
    """Removes what a killed process left beside the checkpoints of a run."""
    for left in (workdir / FOLDER / _UNFINISHED, workdir / _REMOVED):
        shutil.rmtree(left, ignore_errors=True)


@contextlib.contextmanager
def _unfinished(folder: Path) -> Iterator[Path]:
    """Makes an empty folder for checkpoints that are being written or removed."""
    path = folder / _UNFINISHED
    remove_unfinished(folder.parent)
    path.mkdir(parents=True)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _move_away(folder: Path, epoch: int) -> None:
    """Moves a checkpoint, if there is one, to where it is removed.

    A kill during a removal in place would leave a checkpoint that looks damaged.
    """
    with contextlib.suppress(FileNotFoundError):
        (folder / str(epoch)).rename(folder / _UNFINISHED / f"{epoch}-old")


def _write(path: Path, arrays: Any, metadata: dict[str, Any]) -> None:
    """Writes a checkpoint and waits until it is on the disk.

    Raises:
      OSError: it cannot be written.
    """
    # On a full disk Orbax prints a traceback for each array before it raises. It needs less
    # than this: the bytes of the arrays, and a description of each.
    size = sum(array.nbytes for array in jax.tree.leaves(arrays))
    files.check_room(path.parent, 2 * size + 2**20)
    try:
        with paths.safe_alias(path.parent) as folder:
            ocp.save(folder / path.name, arrays, custom_metadata=metadata)
    except ValueError as error:  # What TensorStore makes of an OSError.
        number = re.search(r"os_error_code='(\d+)'", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1]))) from error
    checksums.write(path)
    for entry in (*path.rglob("*"), path):
        files.sync(entry)


def _check_format(path: Path, number: int) -> None:
    if number > FORMAT:
        raise UserError(
            f"the checkpoint {path} has format {number}, and mnist_flax "
            f"{mnist_flax.__version__} knows formats up to {FORMAT}; install a newer "
            "mnist_flax, or use another --workdir"
        )


def _check_config(workdir: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raises UserError if the new config would have trained the epochs so far differently."""
    # data_dir changes no result; nor does num_epochs under a 'step' schedule.
    free = {"data_dir"}
    if before.get("schedule.kind") == now.get("schedule.kind") == "step":
        free.add("num_epochs")
    changed = [key for key in now if before.get(key) != now[key]]
    advice = ""
    if changed == ["num_epochs"]:
        advice = " (by this schedule a run of another length has other learning rates)"
    _check_same(workdir, "config", before, now, free, advice)


def _check_same(
    workdir: Path,
    what: str,
    before: Mapping[str, Any],
    now: Mapping[str, Any],
    free: Collection[str] = (),
    advice: str = "",
) -> None:
    """Raises a UserError that names every difference, but for keys that are free to differ."""
    different = [
        f"{what}.{key} was {before.get(key)!r} and is {now.get(key)!r}"
        for key in sorted(before.keys() | now.keys())
        if key not in free and before.get(key) != now.get(key)
    ]
    if different:
        raise UserError(
            f"the run in {workdir} has another {what}: {'; '.join(different)}{advice}; "
            f"use its {what}, or another --workdir"
        )


def _describe(tree: Any) -> dict[str, str]:
    """Describes the arrays of a tree: {'params/fc/bias': 'float32[10]'}."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): f"{leaf.dtype}{[*leaf.shape]}"
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }
