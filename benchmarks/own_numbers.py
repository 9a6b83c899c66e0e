"""Measures how well `python -m mnist_flax.predict --many` reads numbers of several digits.

    python benchmarks/own_numbers.py --workdir runs/first
    python benchmarks/own_numbers.py --workdir runs/first --fonts FOLDER

The numbers are written in the fonts of a folder (Matplotlib's by default). A digit counts as
read if as many digits are found as were written, and it is right in its place. If not as many
are found, digits touch or break: then at least one answer should carry a warning.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from helpers.own_digits import glyphs, sheets

from benchmarks.own_digits import Networks, in_batches
from mnist_flax.cli import jax_setup
from mnist_flax.predict import answers, images
from mnist_flax.trained import loading


def measure(length: int, write: glyphs.Writer, n: int, network: Networks) -> str:
    """Measures numbers of `length` digits; returns a row of the table."""
    readings, numbers = [], []
    for i in range(n):
        rng = np.random.default_rng([length, i])
        numbers.append("".join(map(str, rng.integers(10, size=length))))
        side = 60 * length
        sheet = sheets.place(rng, write(rng, numbers[-1]), (side, 1.5 * side))
        picture = sheets.inked(sheet.ink, *sheets.shades(rng))
        readings.append(
            images.read_image(sheets.image(sheets.noisy(rng, picture, 2)), many=True)
        )
    found = iter(answers.answer([each for each in readings if each], in_batches(network)))
    digits = whole = miscounted = warned = 0
    for number, reading in zip(numbers, readings, strict=True):
        marks = answers.in_reading_order(next(found)) if reading else []
        text = "".join(str(mark.best_two[0][0]) for mark in marks)
        whole += text == number
        if len(text) == length:
            digits += sum(one == other for one, other in zip(text, number, strict=True))
        else:
            miscounted += 1
            warned += any(mark.warning for mark in marks)
    shares = f"{100 * digits / (n * length):.1f} | {100 * whole / n:.1f}"
    return f"| {length} | {n} | {shares} | {miscounted} | {warned} |"


def main() -> None:
    """Makes the numbers, reads them and prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--workdir", type=Path, help="the folder of a run")
    parser.add_argument("--weights", type=Path, help="instead of it: a file of weights")
    parser.add_argument("--fonts", type=Path, help="a folder of .ttf and .otf files")
    parser.add_argument("--n", type=int, default=240, help="numbers of each length")
    arguments = parser.parse_args()
    jax_setup.prepare()
    trained = loading.choose(arguments.workdir, arguments.weights)
    write = glyphs.from_fonts(glyphs.fonts(arguments.fonts))

    def network(batch: np.ndarray) -> np.ndarray:
        return loading.logits(trained, batch)

    print("| digits | n | digits read, % | numbers read, % | miscounted | ... warned |")
    print("|---|---|---|---|---|---|")
    for length in (2, 3, 4):
        print(measure(length, write, arguments.n, network), flush=True)


if __name__ == "__main__":
    main()
