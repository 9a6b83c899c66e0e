"""Colours of figures, on light paper and on dark, and how a figure becomes a file.

Blue and orange are told apart whatever colours an eye confuses; text is at least 4.5 times as
light or dark as what it stands on (WCAG 2.2, 1.4.3), lines and marks 3 times (1.4.11).
"""

import io
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure


class Theme(NamedTuple):
    """Colours by what they are for, as '#rrggbb'."""

    surface: str
    text: str
    faint_text: str
    grid: str
    train: str
    test: str
    target: str

    @property
    def around_zero(self) -> LinearSegmentedColormap:
        """From negative numbers (`target`) by 0 (`surface`) to positive ones (`test`)."""
        return LinearSegmentedColormap.from_list("", [self.target, self.surface, self.test])


LIGHT = Theme("#ffffff", "#24292f", "#59636e", "#d8dee4", "#8a97a8", "#1f6feb", "#c2410c")
DARK = Theme("#161b22", "#e6edf3", "#9da7b3", "#30363d", "#8b949e", "#6cb0ff", "#ffa657")


def style(axes: Axes, theme: Theme) -> None:
    """Colours the frame of a plot, and takes away what says nothing."""
    axes.set_facecolor(theme.surface)
    axes.grid(color=theme.grid, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(theme.faint_text)
    axes.tick_params(colors=theme.text)
    for text in (axes.title, axes.xaxis.label, axes.yaxis.label):
        text.set_color(theme.text)


def readable(background: tuple[float, ...], theme: Theme) -> str:
    """The colour of text, `text` or `surface`, that stands out more from a background.

    By the contrast ratio of WCAG 2.2 (https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio).

    Args:
      background: red, green and blue of sRGB, 0 to 1.
      theme: the colours.
    """
    behind = _luminance(background)

    def contrast(color: str) -> float:
        low, high = sorted([behind, _luminance(to_rgb(color))])
        return (high + 0.05) / (low + 0.05)

    return max(theme.text, theme.surface, key=contrast)


def _luminance(rgb: tuple[float, ...]) -> float:
    """The relative luminance of WCAG 2.2, 0 to 1."""
    red, green, blue = (
        x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in rgb
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def png(figure: Figure) -> bytes:
    """A figure as a PNG file, on its own background."""
    file = io.BytesIO()
    figure.savefig(file, format="png", facecolor=figure.get_facecolor())
    return file.getvalue()
