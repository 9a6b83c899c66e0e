"""Files that are always complete: a disk that is full leaves what was there before."""

import contextlib
import os
from pathlib import Path


def append(path: Path, data: bytes) -> None:
    """Appends all of `data` to a file, or nothing.

    Raises:
        OSError: The data could not be written; it names the file.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        size = os.fstat(descriptor).st_size
        try:
            _write(descriptor, data)
        except BaseException:
            os.ftruncate(descriptor, size)
            raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        os.close(descriptor)


def replace(path: Path, data: bytes) -> None:
    """Writes a file under a temporary name beside it, then renames it.

    Raises:
        OSError: The data could not be written; it names the file.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def _write(descriptor: int, data: bytes) -> None:
    """os.write until all is written: at a limit it writes a part and says so only next time."""
    while data:
        data = data[os.write(descriptor, data) :]
