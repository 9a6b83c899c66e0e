"""Makes mnist_flax/predict/doubt.npz: what digits look like, and what else there is.

    python benchmarks/doubt_table.py --output doubt.npz --fonts FOLDER --n 100

The Gaussians of the digits come from MNIST's training images, as they are and turned a little,
and from Matplotlib's fonts; that of everything else from letters in those fonts, words, several
digits, scribbles, and digits turned or mirrored.

The limit depends much on the fonts of the folder. The one in the package was chosen with the 21
fonts of docs/OWN_DIGITS.md, so its warnings are measured fairly only in the other fonts there.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image
from scipy import ndimage

from mnist_flax import input_pipeline
from mnist_flax.cli import jax_setup
from mnist_flax.predict import doubt
from mnist_flax.predict import images as reader

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from helpers.own_digits import glyphs, others, sheets

from benchmarks import own_digits

# Share of the mean variance that is added to each variance: some directions hardly vary.
_RIDGE = 0.05
# Kinds of pictures, from fonts and from MNIST's training images, to choose the limit by.
_GOOD = (
    *("plain", "coloured pen", "chalkboard", "JPEG", "rotated", "perspective", "dust"),
    *("transparent", "broken strokes", "hairline", "faint pencil", "tight crop"),
)
_PHOTOS = ("plain", "rotated", "photo, scale", "photo, blur", "photo, noise")
_FONTS = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSerif"),
    *("DejaVuSerif-Italic", "STIXGeneral", "STIXGeneralItalic", "STIXGeneralBol"),
    *("cmr10", "cmss10", "cmti10", "cmtt10", "cmb10"),
)


def fit(
    digits: np.ndarray, labels: np.ndarray, rest: np.ndarray, components: int = 90
) -> dict[str, np.ndarray]:
    """Fits a Gaussian to each digit and one to everything else.

    Args:
      digits: float32[N,D], the measures of `doubt.directions`.
      labels: int[N].
      rest: float32[M,D].
      components: number of principal components.

    Returns:
      The arrays of `doubt.Table` but for its limit.
    """
    mean = digits.mean(0)
    _, axes = np.linalg.eigh(np.cov((digits - mean).T))
    axes = axes[:, ::-1][:, :components]
    groups = [*(digits[labels == digit] for digit in range(10)), rest]
    centres, whiten, offsets = [], [], []
    for group in groups:
        places = (group - mean) @ axes
        covariance = np.cov(places.T)
        covariance += _RIDGE * np.trace(covariance) / components * np.eye(components)
        centres.append(places.mean(0))
        whiten.append(np.linalg.cholesky(np.linalg.inv(covariance)))
        offsets.append(np.linalg.slogdet(covariance)[1])
    return {
        "mean": mean,
        "components": axes,
        "centres": np.array(centres),
        "whiten": np.array(whiten),
        "offsets": np.array(offsets),
    }


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
        count, gap = int(rng.integers(2, 5)), int(rng.choice([0, *range(5, 60)]))
        return glyphs.row([writer(rng, str(rng.integers(10))) for _ in range(count)], gap)

    def text(texts: str | tuple[str, ...]) -> np.ndarray:
        return by_hand(rng, write(rng, texts[rng.integers(len(texts))]))

    makers: list[tuple[int, Callable[[], np.ndarray]]] = [
        (2200, lambda: small(text(others.LETTERS))),
        (250, lambda: small(text(others.WORDS))),
        (500, lambda: small(by_hand(rng, several(write)))),
        (500, lambda: small(several(hand))),
        (400, lambda: _read(others.scribble(rng, write))),
    ]
    for count, make in makers:
        for _ in range(max(1, round(share * count))):
            yield make()
    # No other digits come of these by turning and mirroring them.
    for i in rng.permutation(np.flatnonzero(np.isin(split.labels, (4, 7))))[: int(400 * share)]:
        yield split.images[i][:, ::-1]
    for i in rng.permutation(np.flatnonzero(np.isin(split.labels, (3, 6, 9))))[
        : int(400 * share)
    ]:
        yield np.rot90(split.images[i])


def _read(picture: Image.Image) -> np.ndarray:
    """Reads a picture that is sure to show something."""
    seen = own_digits.read_plainly(picture).image
    assert seen is not None
    return seen


def make(split: input_pipeline.Split, share: float = 1) -> dict[str, np.ndarray]:
    """Makes the table's arrays from MNIST's training images; `share` of the usual number."""
    rng = np.random.default_rng(0)
    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    write = glyphs.from_fonts([fonts / f"{name}.ttf" for name in _FONTS])
    chosen = rng.permutation(len(split.labels))[: round(23_000 * share)]
    turned = chosen[: round(8_000 * share)]
    printed = np.arange(max(10, round(500 * share))) % 10
    images = np.concatenate(
        [
            split.images[chosen],
            [turned_a_little(rng, split.images[i]) for i in turned],
            [small(by_hand(rng, write(rng, str(digit)))) for digit in printed],
        ]
    )
    labels = np.concatenate([split.labels[chosen], split.labels[turned], printed])
    rest = np.array(list(no_digits(rng, split, write, share)))
    return fit(doubt.directions(images), labels, doubt.directions(rest))


def limit(
    table: doubt.Table, split: input_pipeline.Split, fonts: Path | None, n: int, share: float
) -> float:
    """Chooses the limit that doubts a share of good pictures, each kind of which counts alike.

    Args:
      table: its limit does not matter.
      split: MNIST's training images, which are pictures, too.
      fonts: a folder of fonts; None: Matplotlib's.
      n: pictures of a kind.
      share: 0 to 1.
    """
    of_fonts = glyphs.from_fonts(glyphs.fonts(fonts))
    of_mnist = glyphs.from_images(split.images, split.labels)
    sources = [(of_fonts, kind) for kind in _GOOD] + [(of_mnist, kind) for kind in _PHOTOS]
    scores = []
    for write, kind in [*sources, (glyphs.from_strokes, "plain")]:
        samples = list(own_digits.digits(kind, write, n, 1))
        read = [(reader.read_image(sample.picture), sample.digit) for sample in samples]
        found = [(readings[0][0].image, digit) for readings, digit in read if readings]
        images, labels = (np.array(each) for each in zip(*found, strict=True))
        scores.append(doubt.unlikeness(images, table)[np.arange(len(labels)), labels])
    weights = np.concatenate([np.full(len(each), 1 / len(each)) for each in scores])
    order = np.argsort(-np.concatenate(scores))
    doubted = np.cumsum(weights[order]) / len(scores)
    return float(np.concatenate(scores)[order][np.searchsorted(doubted, share)])


def main() -> None:
    """Makes the table and writes it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, required=True, help="a .npz file")
    parser.add_argument("--fonts", type=Path, help="a folder of fonts, to choose the limit")
    parser.add_argument("--share", type=float, default=0.02, help="of good pictures doubted")
    parser.add_argument("--n", type=int, default=200, help="good pictures of a kind")
    arguments = parser.parse_args()
    jax_setup.prepare()
    split = input_pipeline.load("train")
    arrays = {name: x.astype(np.float16) for name, x in make(split).items()}
    table = doubt.Table(**arrays, limit=np.array(0, np.float32))
    chosen = limit(table, split, arguments.fonts, arguments.n, arguments.share)
    table = table._replace(limit=np.array(chosen, np.float32))
    np.savez_compressed(arguments.output, **table._asdict())
    print(f"limit {table.limit:.1f}, {arguments.output.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
