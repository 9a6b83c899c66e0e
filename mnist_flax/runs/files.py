"""Files that are always complete: a full disk or a power cut leaves what was there before."""

import contextlib
import os
import tempfile
from pathlib import Path

from mnist_flax.errors import WriteError


def append(path: Path, data: bytes) -> None:
    """Appends all of `data` to a file, or nothing.

    Raises:
        WriteError: The data could not be written.
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
        WriteError: The data could not be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
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
    finally:
        os.close(descriptor)


def check_room(folder: Path, size: int) -> None:
    """Checks that `size` more bytes can be written in a folder, by writing them.

    Raises:
        OSError: They cannot.
    """
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        _write(file.fileno(), bytes(size))


def _write(descriptor: int, data: bytes) -> None:
    """os.write until all is written: at a limit it writes a part and says so only next time."""
    while data:
        data = data[os.write(descriptor, data) :]
