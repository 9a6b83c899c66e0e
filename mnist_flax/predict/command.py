"""Reads the digits in image files with a trained network.

Examples:
  python -m mnist_flax.predict --workdir runs/first digit.png
  python -m mnist_flax.predict --workdir runs/first scans photo.jpg --save-preview seen.png
  python -m mnist_flax.predict --weights net.safetensors --json digit.png

An image is a PNG, JPEG or BMP file of one digit, of any size and colour, dark on light or light
on dark. A folder stands for the image files in it. The digit is found, scaled and centred like
the digits of MNIST; --save-preview shows the result, which explains many a wrong answer. In a
photo, plain paper should reach all edges, without a hard shadow.

The table has one line for each image: the most likely digit, the runner-up, and the probability
of each. --json prints one line of JSON instead: an array with one object for each image,
  {"file": "digit.png", "digit": 3, "probability": 0.998, "runner_up": 5,
   "runner_up_probability": 0.001, "probabilities": [ten numbers, for 0 to 9]}
or, for an image that cannot be used, {"file": "digit.png", "error": "why"}.

An image that cannot be used is also named on stderr; all others are answered.
Exit status: 0 if all images were answered, 2 for bad input, 130 for Ctrl-C, 1 for any other
failure.
"""

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mnist_flax import errors
from mnist_flax.cli import arguments, exit_status
from mnist_flax.errors import UserError, printable
from mnist_flax.paths import local_path
from mnist_flax.runs import files

_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
# What people take for pictures, too.
_OTHER_PICTURES = (".webp", ".heic", ".heif", ".avif", ".tif", ".tiff", ".gif", ".svg", ".jxl")


def main(argv: Sequence[str]) -> int:
    """Runs the command with the arguments `argv`; returns its exit status."""
    return exit_status.run(argv, __doc__, _add_flags, _run)


def _run(args: argparse.Namespace) -> None:
    """Runs the command with parsed flags; raises UserError for bad input."""
    if not args.images:
        raise UserError("no image is given; name image files, or a folder of them")
    preview: Path | None = args.save_preview
    if preview:
        _check_preview(preview)
    paths = _image_files(args.images)
    # JAX and SciPy take a second to import: report bad input before that.
    from scipy.special import softmax

    from mnist_flax.cli import jax_setup
    from mnist_flax.trained import loading

    jax_setup.prepare()
    run = loading.choose(args.workdir, args.weights, args.data_dir)
    images, problems = _read(paths)
    good = [path for path in paths if path in images]
    seen = np.array([images[path] for path in good], np.uint8).reshape(-1, 28, 28)
    probabilities = softmax(loading.logits(run, seen).astype(np.float64), axis=1)
    answers = dict(zip(good, probabilities, strict=True))
    if args.json:
        print(json.dumps([_record(path, answers, problems) for path in paths]))
    elif good:
        print(_table(answers))
    if preview and good:
        from mnist_flax.plots.predictions import draw_preview

        names = [printable(path.name) for path in good]
        files.replace(preview, draw_preview(seen, probabilities, names))
    if len(problems) == 1:
        raise UserError(*problems.values())
    if problems:
        for text in problems.values():
            errors.warn(text)
        raise UserError(f"{len(problems)} of {len(paths)} images could not be used (see above)")


def _image_files(arguments: list[str]) -> list[Path]:
    """Lists the files that are named and the image files in the folders named, each once.

    Raises:
      UserError: a folder has no image file, or cannot be read.
    """
    paths: dict[Path, None] = {}
    for argument in (local_path("an image", text) for text in arguments):
        if not os.path.isdir(argument):  # Path.is_dir raises for a name that is too long.
            paths[argument] = None
            continue
        try:
            entries = sorted(argument.iterdir())
        except OSError as error:
            raise UserError(
                f"the folder {argument} cannot be read ({error.strerror}); name image files"
            ) from None
        shown = [path for path in entries if not path.name.startswith(".")]
        inside = [path for path in shown if path.suffix.lower() in _SUFFIXES]
        for path in shown:
            if path.suffix.lower() in _OTHER_PICTURES:
                errors.warn(f"{path} is skipped; convert it to PNG or JPEG to have it read")
        if not inside:
            raise UserError(
                f"the folder {argument} has no image ({', '.join(_SUFFIXES)}); name another"
            )
        paths |= dict.fromkeys(inside)
    return list(paths)


def _read(paths: list[Path]) -> tuple[dict[Path, np.ndarray], dict[Path, str]]:
    """Reads image files.

    Returns:
      The images that can be used, uint8[28,28]; for each of the others, why it cannot.
    """
    from mnist_flax.predict import images

    good, problems = {}, {}
    for path in paths:
        try:
            good[path] = images.read(path)
        except UserError as error:
            problems[path] = str(error)
    return good, problems


def _best_two(shares: np.ndarray) -> list[tuple[int, float]]:
    """Finds the most likely digit and the runner-up, each with its probability."""
    return [(int(digit), float(shares[digit])) for digit in np.argsort(-shares)[:2]]


def _record(
    path: Path, answers: dict[Path, np.ndarray], problems: dict[Path, str]
) -> dict[str, Any]:
    """Makes the object that --json prints for a file."""
    if path in problems:
        return {"file": str(path), "error": problems[path]}
    (digit, probability), (runner_up, runner_up_probability) = _best_two(answers[path])
    return {
        "file": str(path),
        "digit": digit,
        "probability": probability,
        "runner_up": runner_up,
        "runner_up_probability": runner_up_probability,
        "probabilities": answers[path].tolist(),
    }


def _table(answers: dict[Path, np.ndarray]) -> str:
    """Makes the table: one line for each file."""
    names = [printable(str(path)) for path in answers]
    width = max(map(len, ["file", *names]))
    lines = [f"{'file':{width}}  digit  probability  runner-up  probability"]
    for name, shares in zip(names, answers.values(), strict=True):
        (digit, first), (runner_up, second) = _best_two(shares)
        lines.append(
            f"{name:{width}}  {digit:5}  {100 * first:9.2f} %  {runner_up:9}  "
            f"{100 * second:9.2f} %"
        )
    return "\n".join(lines)


def _check_preview(path: Path) -> None:
    """Raises UserError if the file exists, cannot be made, or is not named .png."""
    if path.suffix.lower() != ".png":
        raise UserError(f"--save-preview {path} must end in .png, the format of the preview")
    files.check_new_file("--save-preview", path, 2**20)


def _add_flags(parser: arguments.Parser) -> None:
    """Adds the command's flags."""
    parser.add_network()
    parser.add_argument(
        "images", nargs="*", metavar="IMAGE", help="image files, or folders of them"
    )
    parser.add_argument("--json", action="store_true", help="print one line of JSON, no table")
    parser.add_path("--save-preview", "a new .png file, to show what the network sees")
