"""The folder of a run: made, checked, and held by one process at a time."""

import contextlib
import fcntl
import itertools
import os
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from mnist_flax.errors import UserError

# The folder of the checkpoints in a workdir; a room of its own says what is in it.
CHECKPOINTS = "checkpoints"

# What a run writes into its folder, and all that --overwrite removes from it.
RUN_FILES = (
    "metrics.jsonl",
    "summary.json",
    "config.json",
    "curves.png",
    "events.out.tfevents.*",
    "report.html",
    "report/*.png",
)

_LOCK = ".lock"


@contextlib.contextmanager
def hold(workdir: Path, may_hold_a_run: bool) -> Iterator[None]:
    """Makes the folder of a run, checks that one can be written there, and keeps others out.

    The system lets go of the lock however the process ends. No file of a run is touched.

    Args:
        workdir: The folder, or where it is to be made.
        may_hold_a_run: Whether one may be there.

    Raises:
        UserError: The folder cannot be made or written, another process is at a run in it, or
            it holds a run and may not.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        lock = _lock(workdir / _LOCK)
    except BlockingIOError:
        raise UserError(
            f"another process is at a run in the workdir {workdir}; wait for it to end, or "
            "choose another --workdir"
        ) from None
    except OSError as error:
        raise _cannot_be_written(workdir, error) from None
    try:
        _check(workdir, may_hold_a_run)
        yield
    finally:
        # Before it is let go of: after that it may be another process's.
        with contextlib.suppress(OSError):
            (workdir / _LOCK).unlink()
        os.close(lock)


def make_fresh(parent: Path, prefix: str = "") -> Path:
    """Makes a folder named by the time; two that start together get two of them.

    Args:
        parent: Where; made if it is not there.
        prefix: What the name begins with.

    Raises:
        UserError: No folder can be made there.
    """
    stamp = prefix + datetime.now().strftime("%Y%m%d-%H%M%S")
    try:
        parent.mkdir(exist_ok=True)
        for number in itertools.count(1):
            workdir = parent / (stamp if number == 1 else f"{stamp}-{number}")
            with contextlib.suppress(FileExistsError):
                workdir.mkdir()
                break
    except OSError as error:
        raise UserError(
            f"no folder can be made in {parent} ({error.strerror}); choose one with --workdir"
        ) from None
    return workdir


def _lock(path: Path) -> int:
    """Opens and locks a file.

    Raises:
        BlockingIOError: Another process, or another part of this one, has it locked.
        OSError: It cannot be opened, or this file system has no locks.
    """
    while True:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Who had it until now may have removed it in between: then it keeps nobody out.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), path.stat()):
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _check(workdir: Path, may_hold_a_run: bool) -> None:
    for folder in filter(Path.exists, (workdir, workdir / CHECKPOINTS)):
        try:
            with tempfile.TemporaryFile(dir=folder, buffering=0) as probe:
                probe.write(b"\n")
        except OSError as error:
            raise _cannot_be_written(folder, error) from None
    if may_hold_a_run:
        return
    for pattern in (*RUN_FILES, CHECKPOINTS):
        for path in workdir.glob(pattern):
            raise UserError(
                f"the workdir {workdir} already holds a run ({path.name}); "
                "choose another --workdir, go on with that run with --resume, "
                "or replace it with --overwrite"
            )


def _cannot_be_written(folder: Path, error: OSError) -> UserError:
    return UserError(
        f"the workdir {folder} cannot be written ({error.strerror}); choose another"
    )
