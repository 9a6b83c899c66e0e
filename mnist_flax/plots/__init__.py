"""Draws pictures: curves, augmentations, mistakes, predictions, and their colours.

The user's settings of Matplotlib change nothing in a picture; see `themes.isolated`.
"""

import importlib
import importlib.util
import logging
import os
import sys


def _import_matplotlib() -> None:
    """Imports Matplotlib, whatever its environment and its files of settings say.

    MPLBACKEND may name a backend that is not installed here, such as a notebook's, and a
    matplotlibrc may be unreadable: a picture needs neither. What Matplotlib has to say of its
    settings and its cache does not matter.
    """
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        try:
            importlib.import_module("matplotlib.font_manager")
        except (ValueError, OSError):
            # What was imported so far belongs to a Matplotlib that failed.
            for name in [x for x in sys.modules if x.partition(".")[0] == "matplotlib"]:
                del sys.modules[name]
            _import_matplotlib_alone()
    finally:
        logger.setLevel(level)


def _import_matplotlib_alone() -> None:
    """Imports Matplotlib without the user's backend and settings."""
    backend, here = os.environ.pop("MPLBACKEND", None), os.getcwd()
    spec = importlib.util.find_spec("matplotlib")
    assert spec is not None
    assert spec.origin is not None
    try:
        # Matplotlib takes the matplotlibrc in the working folder first: here it is its own.
        os.chdir(os.path.join(os.path.dirname(spec.origin), "mpl-data"))
        importlib.import_module("matplotlib.font_manager")
    finally:
        os.chdir(here)
        if backend is not None:
            os.environ["MPLBACKEND"] = backend


_import_matplotlib()
