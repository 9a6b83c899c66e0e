"""Runs the forms that an operation has on other platforms, on the CPU that is here."""

import contextlib
from collections.abc import Iterator
from unittest import mock

from mnist_flax.ops import backends

PLATFORMS = ("cpu", "gpu", "tpu")


@contextlib.contextmanager
def of(platform: str) -> Iterator[None]:
    """Traces the forms of a platform. What was traced before stays as it was.

    Args:
      platform: one of PLATFORMS.
    """

    def choose(*operands, **forms):
        return forms[platform](*operands)

    with mock.patch.object(backends, "choose", choose):
        yield
