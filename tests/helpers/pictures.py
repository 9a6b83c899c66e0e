"""Leaves out the rendering of figures, for tests in which nobody looks at them."""

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

from matplotlib.figure import Figure
from PIL import Image


def _savefig(figure: Figure, file: Any, **_: Any) -> None:
    Image.new("L", (1, 1)).save(file, "png")


@contextlib.contextmanager
def one_picture() -> Iterator[None]:
    """Has each figure saved as the same small picture; it is made up to there."""
    with mock.patch.object(Figure, "savefig", _savefig):
        yield


def one_picture_for_good() -> None:
    """Does the same to the end of this process."""
    Figure.savefig = _savefig  # type: ignore[method-assign]
