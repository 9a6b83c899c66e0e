"""Draws the pictures of docs/OWN_DIGITS.md: the steps of the reading, and what it fails at.

    python benchmarks/draw_own_digits.py
    python benchmarks/draw_own_digits.py --workdir runs/first --output FOLDER

It writes own_digits_steps.png and own_digits_fails.png. Without --workdir or --weights, the
network is the one of the tests.
"""

import argparse
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image
from scipy import ndimage

from mnist_flax.cli import jax_setup
from mnist_flax.plots.themes import LIGHT, isolated, png
from mnist_flax.predict import answers, contrast, decoding, images, placing
from mnist_flax.predict.answers import Answer
from mnist_flax.trained import loading

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from helpers.drawings import printed
from helpers.own_digits import glyphs, others, sheets

ROOT = Path(__file__).parents[1]
WEIGHTS = ROOT / "tests" / "fixtures" / "trained.safetensors"
Network = Callable[[np.ndarray], np.ndarray]


def difficult() -> Image.Image:
    """Makes a 5 on ruled paper, half in shadow, on a table."""
    rng = np.random.default_rng(7)
    sheet = sheets.place(rng, glyphs.from_strokes(rng, "5"), (150, 151), (0.45, 0.6))
    shape = sheet.ink.shape
    rules = ndimage.gaussian_filter(sheets.lines(rng, shape, 52, 2), 0.5)
    paper = sheets.inked(np.maximum(0.45 * rules, sheet.ink), 235, 40)
    y, x = sheets.grid(shape)
    shadow = ndimage.gaussian_filter((x + 0.4 * y > 0.1).astype(np.float32), 2)
    wide = 30
    picture = np.pad(paper * (1 - 0.4 * shadow), wide, constant_values=70)
    turned = sheets.turned(picture, 3, 70, expand=False)
    return sheets.image(sheets.noisy(rng, ndimage.gaussian_filter(turned, 0.6), 3))


@isolated
def draw_steps(picture: Image.Image) -> bytes:
    """Draws what each step of the reading makes of a picture."""
    gray = decoding.decode(picture).gray
    ink = min(contrast.find_ink(gray), key=lambda ink: float(ink.level.mean()))
    plain, marks = images.find_marks(ink)
    seen = 255.0 - placing.to_mnist(plain, marks[0])
    figure = Figure((8, 5.9), dpi=110, facecolor=LIGHT.surface)
    panels = [
        ("1  gray levels", gray),
        ("2  paper: ink closed, shadow and table kept", _paper(gray)),
        ("3  ink: darker than the paper, by share", 255 * (1 - ink.level / ink.most)),
        ("4  ink without lines", 255 * (1 - plain.level / ink.most)),
        ("5  marks, and what belongs to each", 255 * (1 - plain.level / ink.most)),
        ("6  28x28, as the network sees it", seen),
    ]
    grid = figure.add_gridspec(2, 3, left=0.01, right=0.99, bottom=0.01, top=0.95)
    for i, (title, shades) in enumerate(panels):
        axes = _panel(figure.add_subplot(grid[i // 3, i % 3]), shades)
        axes.set_title(title, size=8.5, color=LIGHT.text, loc="left")
        if i == 4:
            for mark in marks:
                _outline(axes, (mark.box[1].start, mark.box[0].start), mark.mask.shape)
    return png(figure)


def _paper(gray: np.ndarray) -> np.ndarray:
    """Computes the paper's gray levels as `contrast` does, for dark ink."""
    window = max(5, int(contrast._WINDOW * max(gray.shape)) | 1)
    closed: np.ndarray = ndimage.grey_closing(
        contrast._smooth(gray), (window, window), mode="nearest"
    )
    return closed


def failures() -> dict[str, Image.Image]:
    """Makes pictures that are read wrong, or with a warning, by what is wrong with them."""
    write = glyphs.from_fonts(glyphs.fonts())

    def rng(seed: int) -> np.random.Generator:
        return np.random.default_rng(seed)

    struck = glyphs.from_strokes(rng(3), "8")
    struck[90:104] = 1
    turned = np.rot90(write(rng(6), "7"), 2)
    return {
        "two digits": others.several(rng(1), write, 2, (0.1, 0.2)),
        "digits that touch": others.several(rng(5), write, 2, (0, 0)),
        "cut off": others.cut_off(rng(2), write),
        "a letter": others.written(rng(1), write(rng(4), "A")),
        "a drawing": others.drawing(rng(0), write),
        "struck out": others.written(rng(1), struck),
        "upside down": others.written(rng(2), turned),
        "a blot over it": _blotted(rng(9)),
        "a 1 with a long flag": printed("1", "default", 120),
        "a scribble": others.scribble(rng(4), write),
    }


def _blotted(rng: np.random.Generator) -> Image.Image:
    """Spills ink over a 6."""
    sheet = sheets.place(rng, glyphs.from_strokes(rng, "6"))
    y, x = np.indices(sheet.ink.shape)
    at = sheet.top + 0.25 * sheet.height, sheet.left + 0.5 * sheet.width
    blot = np.hypot(y - at[0], x - at[1]) < 0.22 * sheet.height
    return sheets.image(sheets.inked(np.maximum(sheet.ink, blot), 240, 30))


@isolated
def draw_failures(pictures: dict[str, Image.Image], network: Network) -> bytes:
    """Draws pictures with the box that was read, the 28x28 image, the answer, the warning."""
    read = {name: images.read_image(picture) for name, picture in pictures.items()}
    found = iter(answers.answer([each for each in read.values() if each], network))
    rows, columns = -(-len(pictures) // 5), 5
    figure = Figure((9, 2.75 * rows), dpi=110, facecolor=LIGHT.surface)
    grid = figure.add_gridspec(
        2 * rows, columns, height_ratios=[3, 1.4] * rows,
        left=0.01, right=0.99, bottom=0.01, top=0.96, hspace=0.14,
    )  # fmt: skip
    for i, (name, picture) in enumerate(pictures.items()):
        row, column = divmod(i, columns)
        axes = _panel(figure.add_subplot(grid[2 * row, column]), decoding.decode(picture).gray)
        axes.set_title(name, size=9, color=LIGHT.text)
        below = figure.add_subplot(grid[2 * row + 1, column])
        below.axis("off")
        if read[name]:
            _caption(axes, below, answers.single(next(found)))
        else:
            below.text(0.5, 0.5, "blank", ha="center", color=LIGHT.target)
    return png(figure)


def _caption(axes: Axes, below: Axes, answer: Answer) -> None:
    """Draws the box of a mark, and below the picture what the network saw and answered."""
    left, top, right, bottom = answer.digit.box
    _outline(axes, (left, top), (bottom - top, right - left))
    digit, share = answer.best_two[0]
    _panel(below.inset_axes((0, 0.12, 0.34, 0.88)), 255.0 - answer.digit.image)
    color = LIGHT.test if share >= 0.9 else LIGHT.target
    below.text(0.42, 0.72, f"{digit}: {100 * share:.0f} %", color=color, size=11, weight="bold")
    words = textwrap.fill(answer.warning or "no warning", 21)
    below.text(0.42, 0.56, words, color=LIGHT.faint_text, size=7.5, va="top")


def _panel(axes: Axes, shades: np.ndarray) -> Axes:
    """Shows gray levels, 0 to 255, without ticks, in a thin frame."""
    axes.imshow(shades, cmap="gray", vmin=0, vmax=255)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color(LIGHT.grid)
    return axes


def _outline(axes: Axes, corner: tuple[int, int], shape: tuple[int, ...]) -> None:
    """Draws a box; `corner` is its left and top, `shape` its height and width."""
    box = (corner[0] - 0.5, corner[1] - 0.5)
    axes.add_patch(Rectangle(box, shape[1], shape[0], fill=False, color=LIGHT.target))


def main() -> None:
    """Writes both pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--workdir", type=Path, help="the folder of a run")
    parser.add_argument("--weights", type=Path, help="instead of it: a file of weights")
    parser.add_argument("--output", type=Path, default=ROOT / "docs", help="a folder")
    arguments = parser.parse_args()
    jax_setup.prepare()
    weights = arguments.weights or (None if arguments.workdir else WEIGHTS)
    trained = loading.choose(arguments.workdir, weights)
    fails = draw_failures(failures(), lambda batch: loading.logits(trained, batch))
    (arguments.output / "own_digits_steps.png").write_bytes(draw_steps(difficult()))
    (arguments.output / "own_digits_fails.png").write_bytes(fails)


if __name__ == "__main__":
    main()
