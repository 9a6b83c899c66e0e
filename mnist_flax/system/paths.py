"""Paths that every library reads as the user means them."""

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from mnist_flax.errors import UserError

# Other characters mean something to a library: '[a]' is a pattern and '\' an escape to Orbax,
# 'gs://' an address to tfds; and what is no UTF-8 is no string to C++.
_PLAIN = re.compile(r"[A-Za-z0-9_./+=,@ -]*")


def local_path(name: str, text: str) -> Path:
    """Reads the name of a file or folder; '~' is the user's home.

    Args:
      name: what the error calls it, such as '--workdir'.
      text: the name of the file or folder.

    Raises:
      UserError: it is empty, is an address such as gs://bucket, holds a NUL, or names a home
        that is not known.
    """
    if not text:
        raise UserError(f"{name} is empty; name a path, or leave it out")
    if "\0" in text:
        raise UserError(f"{name} holds a NUL character; name another path")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", text):
        raise UserError(f"{name}={text} is an address; name a local path")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise UserError(f"{name}={text}: {error}; name a path without '~'") from None


def check_not_a_pipe(path: Path) -> None:
    """Raises UserError for a named pipe, which would be waited for without end.

    What a shell hands over, such as /dev/stdin and <(...), is read.
    """
    if path.is_fifo() and not str(path).startswith(("/dev/", "/proc/")):
        raise UserError(f"{path} is a named pipe; name a regular file")


def home_folder(*parts: str) -> Path:
    """Returns a folder in the user's home, or in the temporary one for a user without a home.

    A container may run as a user whom the system does not know, without HOME.
    """
    home = os.path.expanduser("~")
    if not os.path.isabs(home):
        return Path(tempfile.gettempdir(), f"mnist_flax-{os.getuid()}", *parts)
    return Path(home, *parts)


@contextlib.contextmanager
def safe_alias(folder: Path) -> Iterator[Path]:
    """Yields an absolute path of a folder that no library reads as a pattern or an escape.

    It is the folder's own path, or else a temporary symbolic link to it.
    """
    folder = folder.absolute()
    if _PLAIN.fullmatch(str(folder)):
        yield folder
        return
    places = (tempfile.gettempdir(), "/tmp", "/var/tmp")
    place = next((x for x in places if _PLAIN.fullmatch(x) and os.path.isdir(x)), None)
    with tempfile.TemporaryDirectory(prefix="mnist_flax-", dir=place) as temporary:
        link = Path(temporary, "folder")
        link.symlink_to(folder, target_is_directory=True)
        yield link
