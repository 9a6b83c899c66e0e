"""Makes images to tell digits from anything else by: samples for benchmarks/doubt_table.py."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage
from scipy.interpolate import CubicSpline

from mnist_flax import input_pipeline

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from helpers.own_digits import glyphs, others, sheets

from benchmarks import own_digits

# The label of what is no digit.
OTHER = 10


class Samples(NamedTuple):
    """Images and what they show.

    Attributes:
      images: uint8[N,28,28].
      labels: int64[N], 0 to 9, or OTHER.
      weights: float32[N], how often each is to be seen; the sum is 1.
    """

    images: np.ndarray
    labels: np.ndarray
    weights: np.ndarray


def draw(split: input_pipeline.Split, write: glyphs.Writer, share: float) -> Samples:
    """Draws MNIST's digits, as they are and turned a little, printed ones, and the rest.

    Args:
      split: MNIST's training images.
      write: writes in the fonts of the printed digits, of letters and of words.
      share: of the usual number of samples, 0 to 1.
    """
    rng = np.random.default_rng(0)
    chosen = rng.permutation(len(split.labels))[: round(23_000 * share)]
    turned = chosen[: round(8_000 * share)]
    printed = np.arange(max(10, round(6_000 * share))) % 10
    images = [
        *split.images[chosen],
        *(turned_a_little(rng, split.images[i]) for i in turned),
        *(small(by_hand(rng, write(rng, str(digit)))) for digit in printed),
    ]
    rest = list(no_digits(rng, split, write, share))
    labels = [split.labels[chosen], split.labels[turned], printed, np.full(len(rest), OTHER)]
    # The share of the rest sets how soon an answer is doubted.
    groups = ((len(chosen) + len(turned), 0.42), (len(printed), 0.26), (len(rest), 0.32))
    weights = np.concatenate([np.full(n, part / n, np.float32) for n, part in groups])
    return Samples(np.array([*images, *rest]), np.concatenate(labels), weights)


def small(glyph: np.ndarray) -> np.ndarray:
    """Makes a glyph an image like MNIST's, uint8[28,28]."""
    picture = sheets.image(255 * (1 - np.pad(glyphs.scaled(glyph, 80), 10)))
    seen = own_digits.read_plainly(picture).image
    assert seen is not None
    return seen


def by_hand(rng: np.random.Generator, glyph: np.ndarray) -> np.ndarray:
    """Bends a glyph as no two hands are alike, and draws half of them with another pen."""
    glyph = np.pad(glyphs.scaled(glyph, 100), 20)
    y, x = np.indices(glyph.shape)
    y, x = y - glyph.shape[0] / 2, x - glyph.shape[1] / 2
    x = (x + rng.uniform(-0.15, 0.35) * y) / rng.uniform(0.5, 1.2)
    angle = np.radians(rng.uniform(-8, 8))
    y, x = np.cos(angle) * y - np.sin(angle) * x, np.sin(angle) * y + np.cos(angle) * x
    waves = [1.6 * sheets.smooth(rng, glyph.shape, 20) for _ in range(2)]
    at = [y + glyph.shape[0] / 2 + waves[0], x + glyph.shape[1] / 2 + waves[1]]
    bent = np.clip(ndimage.map_coordinates(glyph, at, order=1), 0, 1)
    if rng.random() < 0.5:
        bent = glyphs.hairline(glyphs.scaled(glyphs.tight(bent), 90), rng.uniform(2, 12))
    return glyphs.tight(bent)


def turned_a_little(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Turns and scales an image, uint8[28,28], by up to 10 degrees and 8 percent."""
    angle, scale = np.radians(rng.uniform(-10, 10)), rng.uniform(0.92, 1.05, 2)
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * scale
    middle = np.array([13.5, 13.5])
    moved = ndimage.affine_transform(
        image.astype(np.float32), matrix, middle - matrix @ middle, order=1
    )
    return np.clip(moved * 255 / max(moved.max(), 1), 0, 255).astype(np.uint8)


def no_digits(
    rng: np.random.Generator, split: input_pipeline.Split, write: glyphs.Writer, share: float
) -> Iterator[np.ndarray]:
    """Makes images, uint8[28,28], of what is no one digit; `share` of the whole number."""
    hand = glyphs.from_images(split.images, split.labels)

    def several(writer: glyphs.Writer) -> np.ndarray:
        # Half of them touch: others are marks of their own, when a picture is read.
        count, gap = int(rng.integers(2, 5)), int(rng.integers(5, 60) * rng.integers(2))
        return glyphs.row([writer(rng, str(rng.integers(10))) for _ in range(count)], gap)

    def text(texts: str | tuple[str, ...]) -> np.ndarray:
        return by_hand(rng, write(rng, texts[rng.integers(len(texts))]))

    makers: list[tuple[int, Callable[[], np.ndarray]]] = [
        (6600, lambda: small(text(others.LETTERS))),
        (750, lambda: small(text(others.WORDS))),
        (3000, lambda: small(by_hand(rng, several(write)))),
        (3000, lambda: small(several(hand))),
        (1200, lambda: _read(others.scribble(rng, write))),
        (2500, lambda: small(lines(rng))),
        (500, lambda: small(blot(rng))),
    ]
    for count, make in makers:
        for _ in range(max(1, round(share * count))):
            yield make()
    # No other digits come of these by turning and mirroring them.
    mirrored, turned = ((4, 7), (3, 6, 9))
    for digits, change in ((mirrored, np.fliplr), (turned, np.rot90)):
        these = rng.permutation(np.flatnonzero(np.isin(split.labels, digits)))
        for i in these[: int(1200 * share)]:
            yield change(split.images[i])


def lines(rng: np.random.Generator) -> np.ndarray:
    """Draws two to five lines, straight ones and curves, through points that nobody chose."""
    size, drawn = np.array([300 * rng.uniform(0.5, 1.2), 300]), []
    for _ in range(rng.integers(2, 6)):
        points = rng.uniform(0, 1, (rng.integers(2, 7), 2)) * size + 30
        if len(points) > 2 and rng.random() < 0.6:
            at = np.arange(len(points))
            points = CubicSpline(at, points)(np.linspace(0, at[-1], 60))
        drawn.append(points)
    return others.pen_lines(drawn, int(rng.integers(6, 30)))


def blot(rng: np.random.Generator) -> np.ndarray:
    """Draws a filled shape, round or long, with a smooth edge."""
    y, x = sheets.grid((200, 200))
    angle = np.arctan2(y, x)
    waves = [0.3 / k * rng.normal() * np.cos(k * angle + rng.uniform(0, 7)) for k in (2, 3, 5)]
    return glyphs.tight((np.hypot(y, x * rng.uniform(1, 2)) < 0.45 * np.exp(sum(waves))) * 1.0)


def _read(picture: Image.Image) -> np.ndarray:
    """Reads a picture that is sure to show something."""
    seen = own_digits.read_plainly(picture).image
    assert seen is not None
    return seen
