"""Measures how well `python -m mnist_flax.predict` reads people's own pictures, by kind.

    python benchmarks/own_digits.py --workdir runs/first
    python benchmarks/own_digits.py --workdir runs/first --fonts FOLDER --kinds box --n 750
    python benchmarks/own_digits.py --workdir runs/first --kinds plain --save-sheet plain.png

The pictures are made by tests/helpers/own_digits, in the fonts of a folder (Matplotlib's by
default), with drawn strokes, or from MNIST's test images. Beside the package's reading stands a
plain one: Otsu's threshold, the bounding box, 20 x 20 pixels, the centre of mass.
"""

import argparse
import importlib.util
import json
import sys
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage
from scipy.special import softmax

from mnist_flax import input_pipeline
from mnist_flax.cli import jax_setup
from mnist_flax.predict import answers, images
from mnist_flax.trained import loading

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from helpers.own_digits import glyphs, kinds, others

Networks = Callable[[np.ndarray], np.ndarray]


class Sample(NamedTuple):
    """A picture of a kind; `digit` is -1 where it shows no one plain digit."""

    picture: Image.Image
    digit: int


class Seen(NamedTuple):
    """What a reading made of a picture.

    Attributes:
      image: uint8[28,28]; None if nothing was found.
      warning: why the answer is doubtful; None if it is not.
    """

    image: np.ndarray | None
    warning: str | None


def read(pictures: Sequence[Image.Image], network: Networks) -> list[Seen]:
    """Reads pictures as `predict` reads files."""
    readings = [images.read_image(picture) for picture in pictures]
    found = iter(answers.answer([each for each in readings if each], in_batches(network)))
    singles = [answers.single(next(found)) if each else None for each in readings]
    return [
        Seen(each.digit.image, each.warning) if each else Seen(None, None) for each in singles
    ]


def read_plainly(picture: Image.Image) -> Seen:
    """Reads a picture as many a tutorial does: the baseline."""
    if picture.mode == "RGBA":
        sheet = Image.new("RGB", picture.size, "white")
        sheet.paste(picture, mask=picture.getchannel("A"))
        picture = sheet
    if picture.mode.startswith("I"):
        picture = Image.fromarray((np.asarray(picture) // 256).astype(np.uint8))
    gray = np.asarray(picture.convert("L"))
    counts = np.bincount(gray.ravel(), minlength=256).astype(float)
    below, total = np.cumsum(counts), np.cumsum(counts * np.arange(256))
    above = below[-1] - below
    means = total / np.maximum(below, 1), (total[-1] - total) / np.maximum(above, 1)
    between = below * above * (means[0] - means[1]) ** 2
    if not between.any():
        return Seen(None, None)
    dark = gray <= between.argmax()
    # The ink is what there is less of.
    ink = np.where(dark if dark.mean() < 0.5 else ~dark, 1.0, 0.0).astype(np.float32)
    rows, columns = (np.flatnonzero(ink.any(axis)) for axis in (1, 0))
    box = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    height, width = (max(1, round(20 * n / max(box.shape))) for n in box.shape)
    small = np.asarray(Image.fromarray(box).resize((width, height), Image.Resampling.BOX))
    middle = ndimage.center_of_mass(small)
    top, left = (
        int(np.clip(round(14 - 0.5 - x), 0, 28 - n))
        for x, n in zip(middle, small.shape, strict=True)
    )
    canvas = np.zeros((28, 28), np.uint8)
    canvas[top : top + height, left : left + width] = np.round(255 * small)
    return Seen(canvas, None)


def digits(kind: str, write: glyphs.Writer, n: int, seed: int) -> Iterable[Sample]:
    """Makes n pictures of a kind, as many of each digit."""
    for i in range(n):
        rng = np.random.default_rng([zlib.crc32(kind.encode()), seed, i])
        yield Sample(kinds.KINDS[kind](rng, write(rng, str(i % 10))), i % 10)


def no_digits(kind: str, write: glyphs.Writer, n: int, seed: int) -> Iterable[Sample]:
    """Makes n pictures of a kind that is no one plain digit."""
    for i in range(n):
        rng = np.random.default_rng([zlib.crc32(kind.encode()), seed, i])
        yield Sample(others.OTHERS[kind](rng, write), -1)


def scans(kind: str) -> Iterable[Sample]:
    """Makes pictures of scikit-learn's digits of 8 x 8 pixels."""
    from sklearn.datasets import load_digits

    _, factor, polarity = kind.split(", ")
    data = load_digits()
    for image, digit in zip(data.images, data.target, strict=True):
        shades = np.pad(np.round(image * (255 / 16)), 1).astype(np.uint8)
        picture = Image.fromarray(255 - shades if polarity == "dark" else shades)
        side = 10 * int(factor.rstrip("x"))
        yield Sample(picture.resize((side, side), Image.Resampling.BICUBIC), int(digit))


SCANS = tuple(
    f"scikit-learn's, {factor}x, {polarity}"
    for factor in (1, 3, 10, 25)
    for polarity in ("dark", "light")
)


class Row(NamedTuple):
    """What was measured of a kind; shares of n, 0 to 1.

    Attributes:
      kind: its name.
      n: number of pictures.
      right: share read right; None where no answer is right.
      baseline: share that the baseline reads right; likewise.
      sure_and_wrong: share answered wrong with probability 0.9 or more.
      sure_unwarned: likewise, without a warning.
      warned: share with a warning.
      blank: share in which nothing was found.
    """

    kind: str
    n: int
    right: float | None
    baseline: float | None
    sure_and_wrong: float
    sure_unwarned: float
    warned: float
    blank: float


def measure(kind: str, samples: Sequence[Sample], network: Networks) -> tuple[Row, list[Seen]]:
    """Measures one kind."""
    labels = np.array([sample.digit for sample in samples])
    seen = read([sample.picture for sample in samples], network)
    plainly = [read_plainly(sample.picture) for sample in samples]
    found = np.array([each.image is not None for each in seen])
    shares = answer(network, seen)
    warned = np.array([each.warning is not None for each in seen])
    right = shares.argmax(1) == labels
    sure = found & ~right & (shares.max(1) >= 0.9)
    baseline = answer(network, plainly).argmax(1) == labels
    graded = bool((labels >= 0).all())
    row = Row(
        kind,
        len(samples),
        float((right & found).mean()) if graded else None,
        float(baseline.mean()) if graded else None,
        float(sure.mean()),
        float((sure & ~warned).mean()),
        float((warned & found).mean()),
        float((~found).mean()),
    )
    return row, seen


def answer(network: Networks, seen: Sequence[Seen]) -> np.ndarray:
    """Computes probabilities, float64[N,10]; -1 where nothing was found."""
    probabilities = np.full((len(seen), 10), -1.0)
    found = {i: each.image for i, each in enumerate(seen) if each.image is not None}
    if found:
        logits = in_batches(network)(np.stack([*found.values()]))
        probabilities[list(found)] = softmax(logits.astype(np.float64), axis=1)
    return probabilities


def in_batches(network: Networks) -> Networks:
    """Gives a network multiples of 500 images, so that one compiled program does for all."""

    def logits(batch: np.ndarray) -> np.ndarray:
        stack = np.zeros((-(-len(batch) // 500) * 500, 28, 28), np.uint8)
        stack[: len(batch)] = batch
        return network(stack)[: len(batch)]

    return logits


def contact_sheet(
    samples: Sequence[Sample], seen: Sequence[Seen], network: Networks
) -> Image.Image:
    """Shows pictures, what the network sees of them, and its answers; wrong ones in red."""
    cell, columns = 112, 10
    probabilities = answer(network, seen)
    height = -(-len(samples) // columns) * (cell + 44)
    sheet = Image.new("RGB", (columns * cell, height), "#dddddd")
    pen = ImageDraw.Draw(sheet)
    for i, (sample, each, shares) in enumerate(zip(samples, seen, probabilities, strict=True)):
        x, y = i % columns * cell, i // columns * (cell + 44)
        picture = sample.picture
        if picture.mode.startswith("I"):
            picture = Image.fromarray((np.asarray(picture) // 16).astype(np.uint8))
        picture = picture.convert("RGBA")
        picture.thumbnail((cell - 6, cell - 6))
        sheet.paste(picture, (x + 3, y + 3), picture)
        text = "blank"
        if each.image is not None:
            small = Image.fromarray(255 - each.image).resize((40, 40))
            sheet.paste(small, (x + 3, y + cell))
            text = f"{shares.argmax()}: {100 * shares.max():.0f} %"
        colour = "#206020" if shares.argmax() == sample.digit else "#c00000"
        pen.text((x + 46, y + cell), text, fill=colour)
        if each.warning:
            pen.text((x + 46, y + cell + 14), each.warning[:10], fill="#000080")
    return sheet


def table(rows: Sequence[Row]) -> str:
    """Makes a Markdown table."""
    lines = [
        "| picture | n | read, % | baseline, % | wrong, p >= 0.9 | ... without a warning "
        "| warned, % | blank, % |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        shares = ["" if x is None else f"{100 * x:.1f}" for x in row[2:]]
        lines.append(f"| {row.kind} | {row.n} | {' | '.join(shares)} |")
    return "\n".join(lines)


def main() -> None:
    """Makes the pictures, measures them and prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--workdir", type=Path, help="the folder of a run")
    parser.add_argument("--weights", type=Path, help="instead of it: a file of weights")
    parser.add_argument("--fonts", type=Path, help="a folder of .otf, .ttf and .woff files")
    parser.add_argument("--source", choices=("fonts", "strokes", "mnist"), default="fonts")
    parser.add_argument("--kinds", default="", help="parts of the names, with commas between")
    parser.add_argument("--n", type=int, default=240, help="pictures of a kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="a file for the table as JSON")
    parser.add_argument("--save-sheet", type=Path, help="a .png for up to 60 of each kind")
    arguments = parser.parse_args()
    jax_setup.prepare()
    trained = loading.choose(arguments.workdir, arguments.weights)

    def network(batch: np.ndarray) -> np.ndarray:
        return loading.logits(trained, batch)

    write = glyphs.from_fonts(glyphs.fonts(arguments.fonts))
    others_write = write
    if arguments.source == "strokes":
        write = glyphs.from_strokes
    elif arguments.source == "mnist":
        split = input_pipeline.load("test", trained.data_dir)
        write = glyphs.from_images(split.images, split.labels)
    wanted = [part for part in arguments.kinds.split(",") if part]
    names = [*kinds.KINDS, *(SCANS if _has_scikit_learn() else ()), *others.OTHERS]
    chosen = [x for x in names if not wanted or any(part in x for part in wanted)]
    rows, sheets = [], []
    for kind in chosen:
        if kind in SCANS:
            samples = list(scans(kind))
        elif kind in others.OTHERS:
            samples = list(no_digits(kind, others_write, arguments.n, arguments.seed))
        else:
            samples = list(digits(kind, write, arguments.n, arguments.seed))
        row, seen = measure(kind, samples, network)
        rows.append(row)
        print(table([row]).rpartition("\n")[2], file=sys.stderr, flush=True)
        if arguments.save_sheet:
            sheets.append(contact_sheet(samples[:60], seen[:60], network))
    print(table(rows))
    if arguments.json:
        arguments.json.write_text(json.dumps([row._asdict() for row in rows], indent=1))
    if sheets:
        whole = Image.new("RGB", (sheets[0].width, sum(sheet.height for sheet in sheets)))
        for i, sheet in enumerate(sheets):
            whole.paste(sheet, (0, sum(above.height for above in sheets[:i])))
        whole.save(arguments.save_sheet)


def _has_scikit_learn() -> bool:
    """Whether scikit-learn, which brings its digits, can be imported."""
    return importlib.util.find_spec("sklearn") is not None


if __name__ == "__main__":
    main()
