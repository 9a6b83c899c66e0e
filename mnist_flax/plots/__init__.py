"""Draws pictures: curves, augmentations, mistakes, predictions, and their colours.

The user's settings of Matplotlib change nothing in a picture; see `themes.isolated`.
"""

import logging
import os


def _import_matplotlib() -> None:
    """Imports Matplotlib, whatever its environment and its files of settings say.

    MPLBACKEND may name a backend that is not installed here, such as a notebook's; a picture
    needs none. What Matplotlib has to say of its settings and its cache does not matter.
    """
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.ERROR)
    backend = os.environ.get("MPLBACKEND")
    try:
        try:
            import matplotlib.font_manager
        except ValueError:
            if backend is None:
                raise
            del os.environ["MPLBACKEND"]
            import matplotlib.font_manager  # noqa: F401
    finally:
        logger.setLevel(level)
        if backend is not None:
            os.environ["MPLBACKEND"] = backend


_import_matplotlib()
