"""Keeps the checksums of a folder's files in the folder, as `sha256sum` prints them."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

SUMS = "SHA256SUMS"


class DamagedError(Exception):
    """A folder that is not as it was written. The message is the reason, in one line."""


def write(folder: Path) -> None:
    """Writes SHA256SUMS into a folder, for all other files in it."""
    (folder / SUMS).write_text(_lines(_sums(folder)))


def check(folder: Path) -> None:
    """Raises DamagedError if a file is missing, is new, or is not as it was written."""
    try:
        text = (folder / SUMS).read_text(encoding="ascii")
        found = _sums(folder)
    except FileNotFoundError:
        raise DamagedError(f"{SUMS} is missing") from None
    except (OSError, ValueError) as error:
        raise DamagedError(f"its checksums cannot be read: {error}") from None
    if text == _lines(found):
        return
    written = {line[66:]: line[:64] for line in text.splitlines()}
    for name in sorted(written.keys() | found.keys()):
        if name not in found:
            raise DamagedError(f"{name} is missing")
        if written.get(name) != found[name]:
            raise DamagedError(f"{name} does not have its checksum")
    raise DamagedError(f"{SUMS} is not as it was written")


def _sums(path: Path) -> dict[str, str]:
    """Computes the SHA-256 of every file below a folder, by its path in it.

    It leaves out SHA256SUMS, and hidden files: Orbax writes none, but a file manager might.
    """
    sums = {}
    for file in path.rglob("*"):
        name = file.relative_to(path).as_posix()
        if file.is_file() and name != SUMS and not file.name.startswith("."):
            with file.open("rb") as content:
                sums[name] = hashlib.file_digest(content, "sha256").hexdigest()
    return sums


def _lines(sums: Mapping[str, str]) -> str:
    return "".join(f"{sums[name]}  {name}\n" for name in sorted(sums))
