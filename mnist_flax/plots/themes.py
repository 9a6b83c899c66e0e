"""Defines the colours of the plots, for light and dark pages.

Colour-blind people can tell blue from orange. Text has a contrast of at least 4.5 to 1 with its
background (WCAG 2.2, 1.4.3), lines and marks at least 3 to 1 (1.4.11).
"""

import functools
import io
import warnings
from collections.abc import Callable
from typing import NamedTuple, ParamSpec, TypeVar

import matplotlib
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure

P = ParamSpec("P")
R = TypeVar("R")


class Theme(NamedTuple):
    """Colours by their use, as '#rrggbb'."""

    surface: str
    text: str
    faint_text: str
    grid: str
    train: str
    test: str
    target: str

    @property
    def around_zero(self) -> LinearSegmentedColormap:
        """A colour map: `target` for negative numbers, `surface` for 0, `test` for positive."""
        return LinearSegmentedColormap.from_list("", [self.target, self.surface, self.test])


LIGHT = Theme("#ffffff", "#24292f", "#59636e", "#d8dee4", "#8a97a8", "#1f6feb", "#c2410c")
DARK = Theme("#161b22", "#e6edf3", "#9da7b3", "#30363d", "#8b949e", "#6cb0ff", "#ffa657")


def style(axes: Axes, theme: Theme) -> None:
    """Colours the axes of a plot, and hides the two spines that carry no ticks."""
    axes.set_facecolor(theme.surface)
    axes.grid(color=theme.grid, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(theme.faint_text)
    axes.tick_params(colors=theme.text)
    for text in (axes.title, axes.xaxis.label, axes.yaxis.label):
        text.set_color(theme.text)


def readable(background: tuple[float, ...], theme: Theme) -> str:
    """Chooses the colour for text, `text` or `surface`: the one with the higher contrast.

    The measure is WCAG 2.2's contrast ratio (https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio).

    Args:
      background: red, green and blue of sRGB, 0 to 1.
      theme: the colours.

    Returns:
      A colour as '#rrggbb'.
    """
    behind = _luminance(background)

    def contrast(color: str) -> float:
        low, high = sorted([behind, _luminance(to_rgb(color))])
        return (high + 0.05) / (low + 0.05)

    return max(theme.text, theme.surface, key=contrast)


def _luminance(rgb: tuple[float, ...]) -> float:
    """Computes WCAG 2.2's relative luminance, 0 to 1."""
    red, green, blue = (
        x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in rgb
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def isolated(draw: Callable[P, R]) -> Callable[P, R]:
    """Makes a function draw the same picture whatever the user's settings of Matplotlib are."""

    @functools.wraps(draw)
    def draw_alone(*args: P.args, **kwargs: P.kwargs) -> R:
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            return draw(*args, **kwargs)

    return draw_alone


def png(figure: Figure) -> bytes:
    """Saves a figure as a PNG, on its own background colour."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        # The font may lack letters of a file's name.
        warnings.filterwarnings("ignore", "Glyph .* missing")
        figure.savefig(file, format="png", facecolor=figure.get_facecolor())
    return file.getvalue()
