"""Colours: that text stands out from what is behind it."""

import numpy as np
import pytest
from helpers.figures import THEMES
from matplotlib.colors import to_rgb

from mnist_flax.plots import themes
from mnist_flax.plots.themes import LIGHT, Theme


@THEMES
def test_counts_stand_out(theme: Theme) -> None:
    """By 4.5 to 1, WCAG 2.2's ratio, from every colour but a few where neither text does."""
    black, white = (themes.readable(to_rgb(color), LIGHT) for color in ("#ffffff", "#000000"))
    assert (black, white) == (LIGHT.text, LIGHT.surface)
    for share in np.linspace(0, 0.5, 100):
        behind = theme.around_zero(share)[:3]
        ratios = {}
        for color in (theme.text, theme.surface):
            low, high = sorted(themes._luminance(rgb) for rgb in (behind, to_rgb(color)))
            ratios[color] = (high + 0.05) / (low + 0.05)
        assert ratios[themes.readable(behind, theme)] == max(ratios.values()) > 3


def test_luminance_as_published() -> None:
    """https://www.w3.org/TR/WCAG22/#dfn-relative-luminance, of the primaries and a grey."""
    found = [themes._luminance(to_rgb(c)) for c in ("#f00", "#0f0", "#00f", "#fff", "#777777")]
    assert found == pytest.approx([0.2126, 0.7152, 0.0722, 1.0, 0.1845], abs=1e-4)
