"""Says which optional libraries are installed, and hides those that nothing here needs."""

import contextlib
import importlib.util
import sys
from collections.abc import Iterator


def is_installed(name: str) -> bool:
    """Says whether a library can be imported, without importing it.

    A folder of that name where a command was started is none: Python would import it, empty.
    """
    spec = importlib.util.find_spec(name)
    return spec is not None and spec.origin is not None


@contextlib.contextmanager
def hidden(name: str) -> Iterator[None]:
    """Makes an import of a library fail, unless it has been imported already."""
    imported = name in sys.modules
    sys.modules.setdefault(name, None)  # type: ignore[arg-type]
    try:
        yield
    finally:
        if not imported:
            del sys.modules[name]
