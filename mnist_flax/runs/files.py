"""Writes files whole: a full disk or a power cut leaves what was there before."""

import contextlib
import errno
import os
import tempfile
import threading
from pathlib import Path

from mnist_flax.errors import UserError, WriteError

# Whoever holds it finishes a step of the record before a signal may end the process.
in_one_piece = threading.Lock()


def append(path: Path, data: bytes) -> None:
    """Appends all of `data` to a file, or nothing.

    Raises:
      WriteError: the data could not be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            size = os.fstat(descriptor).st_size
            try:
                _write(descriptor, data)
            except BaseException:
                os.ftruncate(descriptor, size)
                raise
        finally:
            os.close(descriptor)
    except OSError as error:
        raise WriteError(error.errno, error.strerror, str(path)) from error


def replace(path: Path, data: bytes) -> None:
    """Writes a file under a temporary name beside it, then renames it.

    Raises:
      WriteError: the data could not be written.
    """
    # A name may have 255 bytes.
    name = path.name if len(os.fsencode(path.name)) < 200 else "file"
    temporary = path.with_name(f".{name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(data)
        # Some file systems rename at once and write later.
        sync(temporary)
        temporary.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise WriteError(error.errno, error.strerror, str(path)) from error
        raise


def sync(path: Path) -> None:
    """Returns when a file's content, or a folder's list of names, would outlive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some file systems, network disks among them, sync no folders.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP) or not path.is_dir():
            raise
    finally:
        os.close(descriptor)


def check_room(folder: Path, size: int) -> None:
    """Checks that `size` more bytes can be written in a folder, by writing them.

    Raises:
      OSError: they cannot.
    """
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        _write(file.fileno(), bytes(size))


def check_new_file(flag: str, path: Path, size: int) -> None:
    """Checks that a flag names a file that can be made.

    Args:
      flag: the flag, such as '--output'.
      path: the file.
      size: the bytes it will need at most.

    Raises:
      UserError: there is one already, or its folder is missing, read-only or full.
    """
    try:
        with contextlib.suppress(FileNotFoundError):
            path.lstat()
            raise UserError(f"{flag} {path} exists already; remove it, or name another file")
        check_room(path.parent, size)
    except OSError as error:
        raise UserError(
            f"{flag} {path} cannot be written ({error.strerror}); name a file in a folder that "
            "is there, may be written and has room"
        ) from None


def _write(descriptor: int, data: bytes) -> None:
    """Writes all of `data`: os.write may write less, and fail only at the next call."""
    while data:
        data = data[os.write(descriptor, data) :]
