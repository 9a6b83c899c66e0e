"""Marks the HTML pages that a command writes, so that it replaces no other file."""

import os
from pathlib import Path

from mnist_flax.errors import UserError

# Bytes at the start of a page in which its mark has to be.
_HEAD = 1000


def mark(command: str) -> bytes:
    """Makes the tag that every page of a command has in its head.

    Args:
      command: the module, such as 'mnist_flax.report'.
    """
    return f'<meta name="generator" content="{command}">'.encode()


def check_replaceable(page: Path, command: str) -> None:
    """Checks that nothing is at a path, or an earlier page of the same command.

    Args:
      page: where the command is to write its page.
      command: the module, such as 'mnist_flax.report'.

    Raises:
      UserError: anything else is there, or it cannot be read.
    """
    if not os.path.lexists(page):
        return
    try:
        with page.open("rb") as file:
            ours = mark(command) in file.read(_HEAD)
    except OSError as error:
        raise UserError(
            f"{page} cannot be read ({error.strerror}); move it out of the way"
        ) from None
    if not ours:
        raise UserError(f"{page} is not a page that {command} wrote; move it out of the way")
