"""Pictures of a digit by how they were lit and photographed."""

import numpy as np
from PIL import Image
from scipy import ndimage

from helpers.own_digits import sheets
from helpers.own_digits.sheets import Rng, image, inked, noisy, place, shades


def shading(rng: Rng, glyph: np.ndarray) -> Image.Image:
    """Light that falls off to one side."""
    ink = place(rng, glyph).ink
    (y, x), angle = sheets.grid(ink.shape), rng.uniform(0, 2 * np.pi)
    light = 1 - rng.uniform(0.15, 0.3) * (1 + np.cos(angle) * x + np.sin(angle) * y) / 2
    return image(noisy(rng, inked(ink, *shades(rng)) * light, 2))


def light_spot(rng: Rng, glyph: np.ndarray, more: float) -> Image.Image:
    """A broad spot of light, brighter than the paper around it by `more`."""
    ink = place(rng, glyph).ink
    y, x = sheets.grid(ink.shape)
    middle, size = rng.uniform(-0.5, 0.5, 2), rng.uniform(0.35, 0.6)
    spot = np.exp(-((y - middle[0]) ** 2 + (x - middle[1]) ** 2) / (2 * size**2))
    paper = rng.uniform(140, 160)
    light = 1 + more / paper * spot
    return image(noisy(rng, inked(ink, paper, rng.uniform(5, 50)) * light, 2))


def grainy(rng: Rng, glyph: np.ndarray, contrast: float, sd: float) -> Image.Image:
    """Noise of a standard deviation, at a contrast of ink and paper."""
    paper = rng.uniform(contrast + 10, 250)
    ink = ndimage.gaussian_filter(place(rng, glyph).ink, 0.7)
    return image(noisy(rng, inked(ink, paper, paper - contrast), sd))


def salt_and_pepper(rng: Rng, glyph: np.ndarray) -> Image.Image:
    """One to three of a hundred pixels white, as many black."""
    picture = inked(place(rng, glyph).ink, *shades(rng))
    chance, share = rng.random(picture.shape), rng.uniform(0.01, 0.03)
    return image(np.where(chance < share, 0, np.where(chance > 1 - share, 255, picture)))


def hard_shadow(rng: Rng, glyph: np.ndarray, diagonal: bool) -> Image.Image:
    """A shadow with an edge, over about half of the sheet."""
    ink = place(rng, glyph).ink
    y, x = sheets.grid(ink.shape)
    angle = rng.integers(4) * np.pi / 2 + (rng.uniform(0.3, 1.2) if diagonal else 0)
    side = np.cos(angle) * x + np.sin(angle) * y - rng.uniform(-0.3, 0.3)
    shadow = ndimage.gaussian_filter((side > 0).astype(np.float32), rng.uniform(0.7, 3))
    light = 1 - rng.uniform(0.3, 0.5) * shadow
    return image(noisy(rng, inked(ink, rng.uniform(225, 255), rng.uniform(5, 60)) * light, 2))


def photo(
    rng: Rng,
    glyph: np.ndarray,
    side: tuple[float, float] = (100, 140),
    margin: tuple[float, float] = (0.3, 0.5),
    blur: tuple[float, float] = (0.5, 0.8),
    noise: tuple[float, float] = (1, 2),
    shadow: tuple[float, float] = (0, 0.1),
) -> Image.Image:
    """A photo: placed, blurred by a share of its side, grainy, in a soft shadow."""
    sheet = place(rng, glyph, side, margin)
    ink = ndimage.gaussian_filter(
        sheet.ink, rng.uniform(*blur) * max(sheet.height, sheet.width) / 100
    )
    dark = 1 / (1 + np.exp(-2.5 * sheets.smooth(rng, ink.shape, min(ink.shape) / 4)))
    light = 1 - rng.uniform(*shadow) * dark
    return image(noisy(rng, inked(ink, *shades(rng)) * light, rng.uniform(*noise)))
