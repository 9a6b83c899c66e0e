"""Makes, checks and locks the folder of a run, for one process at a time."""

import contextlib
import fcntl
import itertools
import os
import tempfile
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from pathlib import Path

from mnist_flax.errors import UserError
from mnist_flax.system import paths

# The folder of the checkpoints in a workdir; see `checkpoints`.
CHECKPOINTS = "checkpoints"

# What a run writes into its folder, and what the commands on a run do.
TRAINING_FILES = (
    *("metrics.jsonl", "summary.json", "config.json", "curves.png"),
    "events.out.tfevents.*",
)
RUN_FILES = (*TRAINING_FILES, "report.html", "report/*.png", "demo/index.html")

_LOCK, _LOCK_ATTEMPTS = ".lock", 20

# The folders that this process has locked: what a command says when a signal ends it.
held: list[Path] = []


@contextlib.contextmanager
def hold(workdir: str | Path | None, may_hold_a_run: bool, prefix: str = "") -> Iterator[Path]:
    """Makes or finds the folder of a run, checks that it can be written, and locks it.

    The system releases the lock however the process ends. No file of a run is touched. A
    folder that was made here and is still empty at the end is removed.

    Args:
      workdir: the folder, or where it is to be made; None makes a new one in runs/.
      may_hold_a_run: whether a run may be there.
      prefix: what the name of a new one begins with, before the time.

    Yields:
      The folder.

    Raises:
      UserError: the folder cannot be made or written, another process runs in it, or it
        holds a run and may not.
    """
    wanted = Path("runs", "new") if workdir is None else Path(workdir)
    made = [path for path in (wanted, *wanted.parents) if not os.path.lexists(path)]
    if workdir is None:
        workdir = make_fresh(Path("runs"), prefix)
        made[:1] = [workdir]
    workdir = Path(workdir)
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        lock = _lock(workdir / _LOCK)
    except BlockingIOError:
        raise UserError(
            f"another process runs in the workdir {workdir}; wait for it to end, or "
            "choose another --workdir"
        ) from None
    except OSError as error:
        _remove_empty(made)
        raise _cannot_be_written(workdir, error) from None
    try:
        _check(workdir, may_hold_a_run)
        held.append(workdir)
        yield workdir
    finally:
        if workdir in held:
            held.remove(workdir)
        # Before the lock is released: after that the file may be another process's.
        with contextlib.suppress(OSError):
            (workdir / _LOCK).unlink()
        _remove_empty(made)
        os.close(lock)


def _remove_empty(folders: Sequence[Path]) -> None:
    """Removes folders, the innermost first, until one holds something worth keeping."""
    with contextlib.suppress(OSError):
        for folder in folders:
            folder.rmdir()


def epochs_on_record(workdir: Path) -> int:
    """Counts the epochs in the metrics.jsonl of a run; half a line does not count."""
    path = workdir / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def remove_stale(
    workdir: Path, keep: Collection[str], patterns: Sequence[str] = RUN_FILES
) -> None:
    """Removes the files of an earlier run, and what a kill left of them half-written.

    Args:
      workdir: the folder, which this process has locked.
      keep: names of files that stay, being the new run's.
      patterns: RUN_FILES, or a part of them.
    """
    for pattern in patterns:
        folder, name = (workdir / pattern).parent, Path(pattern).name
        for path in (*folder.glob(name), *folder.glob(f".{name}.*.tmp")):
            if path.name not in keep:
                path.unlink()


def make_fresh(parent: Path, prefix: str = "") -> Path:
    """Makes a folder named by the time; two that start together get two of them.

    Args:
      parent: where; made if it is not there.
      prefix: what the name begins with.

    Raises:
      UserError: no folder can be made there.
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
      BlockingIOError: another process, or another part of this one, has it locked.
      OSError: it cannot be opened, or this file system has no locks.
    """
    for attempt in itertools.count(1):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The previous holder may have removed the file: a lock on a file without a name
            # excludes nobody.
            with contextlib.suppress(FileNotFoundError):
                same = os.path.samestat(os.fstat(descriptor), path.stat())
                # On some file systems a file never looks the same twice.
                if same or attempt == _LOCK_ATTEMPTS:
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    raise AssertionError("unreachable")


def _check(workdir: Path, may_hold_a_run: bool) -> None:
    """Raises UserError unless a run can be written in a folder, and may be."""
    try:
        # Orbax will need it if the folder's name is an odd one.
        with paths.safe_alias(workdir):
            pass
    except OSError as error:
        raise _cannot_be_written(workdir, error) from None
    # Below it, Orbax makes folders and files with names of their own.
    longest = os.pathconf(workdir, "PC_PATH_MAX") - 200
    if len(os.fsencode(workdir.absolute())) > longest:
        raise UserError(
            f"the name of the workdir has more than {longest} bytes; choose another"
        )
    for name in (*TRAINING_FILES, CHECKPOINTS):
        path = workdir / name
        if os.path.lexists(path) and path.is_dir() != (name == CHECKPOINTS):
            raise UserError(
                f"{path} is in the way of a run; move it, or choose another --workdir"
            )
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
                "choose another --workdir, continue that run with --resume, "
                "or replace it with --overwrite"
            )


def _cannot_be_written(folder: Path, error: OSError) -> UserError:
    return UserError(
        f"the workdir {folder} cannot be written ({error.strerror}); choose another"
    )
