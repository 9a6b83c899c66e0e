"""Reads the digits in image files with a trained network.

Examples:
  python -m mnist_flax.predict --workdir runs/first digit.png
  python -m mnist_flax.predict --workdir runs/first scans photo.jpg --save-preview seen.png
  python -m mnist_flax.predict --weights net.safetensors --json digit.png

An image is a PNG, JPEG, BMP, WebP or TIFF file, or a HEIC file where pillow-heif is installed,
of any size and colour, dark on light or light on dark. A folder stands for the image files in
it. The digit is found, scaled and centred like the digits of MNIST; --save-preview shows the
result, which explains many a wrong answer. docs/OWN_DIGITS.md tells what can be read.

The table has one line for each image: the most likely digit, the runner-up, the probability of
each, and a warning if the image does not show one plain digit. --json prints one line of JSON
instead: an array with one object for each image,
  {"file": "digit.png", "digit": 3, "probability": 0.998, "runner_up": 5,
   "runner_up_probability": 0.001, "probabilities": [ten numbers, for 0 to 9],
   "warning": null or a text}
or, for an image that cannot be used, {"file": "digit.png", "error": "why"}.

--many reads every digit of an image: a number, a column, a form. Its table has one line for
each digit, with its box: left, top, right and bottom in pixels. With --json the object is
  {"file": "form.png", "text": "42", "digits": [as above, with "box" in the place of "file"]}
with the digits in reading order.

An image that cannot be used is also named on stderr; all others are answered.
Exit status: 0 if all images were answered, 2 for bad input, 130 for Ctrl-C, 1 for any other
failure.
"""

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mnist_flax import errors
from mnist_flax.cli import arguments, exit_status
from mnist_flax.errors import UserError, printable
from mnist_flax.runs import files
from mnist_flax.system.paths import local_path

if TYPE_CHECKING:
    from mnist_flax.predict.answers import Answer

# What people take for pictures, too.
_OTHER_PICTURES = (".avif", ".gif", ".svg", ".jxl", ".pdf")

# As many files that are no pictures are named.
_NAMED = 10


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
    from mnist_flax.cli import jax_setup
    from mnist_flax.predict import answers
    from mnist_flax.trained import loading

    jax_setup.prepare()
    run = loading.choose(args.workdir, args.weights, args.data_dir)
    readings, problems = _read(paths, args.many)
    found = answers.answer([*readings.values()], lambda images: loading.logits(run, images))
    if args.many:
        found = [answers.in_reading_order(each) for each in found]
    else:
        found = [[answers.single(each)] for each in found]
    answered = dict(zip(readings, found, strict=True))
    if args.json:
        print(json.dumps([_record(path, answered, problems, args.many) for path in paths]))
    elif answered:
        print(_table(answered, args.many))
    if preview and answered:
        files.replace(preview, _preview(answered, args.many))
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
    from mnist_flax.predict import decoding

    suffixes = [*decoding.SUFFIXES, *(decoding.HEIC_SUFFIXES if decoding.reads_heic() else ())]
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
        inside = [path for path in shown if path.suffix.lower() in suffixes]
        if not inside:
            raise UserError(
                f"the folder {argument} has no image ({', '.join(suffixes)}); name another"
            )
        _name_skipped(argument, [path for path in shown if path not in inside])
        paths |= dict.fromkeys(inside)
    return list(paths)


def _name_skipped(folder: Path, skipped: list[Path]) -> None:
    """Warns of the files in a folder that are not read."""
    from mnist_flax.predict import decoding

    others = []
    for path in skipped:
        suffix = path.suffix.lower()
        if suffix in decoding.HEIC_SUFFIXES:
            errors.warn(f"{path} is skipped; pip install pillow-heif to have it read")
        elif suffix in _OTHER_PICTURES:
            errors.warn(f"{path} is skipped; convert it to PNG or JPEG to have it read")
        elif os.path.isfile(path):
            others.append(printable(path.name))
    if others:
        more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
        names = ", ".join(others[:_NAMED]) + more
        errors.warn(f"{folder} also holds what is no picture, and is skipped: {names}")


def _read(paths: list[Path], many: bool) -> tuple[dict[Path, list[Any]], dict[Path, str]]:
    """Reads image files.

    Returns:
      The readings of the images that can be used; for each of the others, why it cannot.
    """
    from mnist_flax.predict import images

    good, problems = {}, {}
    for path in paths:
        try:
            good[path] = images.read(path, many)
        except UserError as error:
            problems[path] = str(error)
    return good, problems


def _record(
    path: Path, answered: "dict[Path, list[Answer]]", problems: dict[Path, str], many: bool
) -> dict[str, Any]:
    """Makes the object that --json prints for a file."""
    if path in problems:
        return {"file": str(path), "error": problems[path]}
    digits = [_fields(each) for each in answered[path]]
    if not many:
        return {"file": str(path), **digits[0]}
    for fields, each in zip(digits, answered[path], strict=True):
        fields["box"] = list(each.digit.box)
    text = "".join(str(fields["digit"]) for fields in digits)
    return {"file": str(path), "text": text, "digits": digits}


def _fields(answer: "Answer") -> dict[str, Any]:
    """Lists what --json prints of a digit."""
    (digit, probability), (runner_up, runner_up_probability) = answer.best_two
    return {
        "digit": digit,
        "probability": probability,
        "runner_up": runner_up,
        "runner_up_probability": runner_up_probability,
        "probabilities": answer.probabilities.tolist(),
        "warning": answer.warning,
    }


def _table(answered: "dict[Path, list[Answer]]", many: bool) -> str:
    """Makes the table: one line for each file, or for each digit of it."""
    names = [printable(str(path)) for path, each in answered.items() for _ in each]
    width = max(map(len, ["file", *names]))
    box = f"{'box':19}  " if many else ""
    lines = [f"{'file':{width}}  {box}digit  probability  runner-up  probability"]
    digits = [each for found in answered.values() for each in found]
    for name, each in zip(names, digits, strict=True):
        (digit, first), (runner_up, second) = each.best_two
        box = "".join(f"{edge:4} " for edge in each.digit.box) + " " if many else ""
        line = (
            f"{name:{width}}  {box}{digit:5}  {100 * first:9.2f} %  {runner_up:9}  "
            f"{100 * second:9.2f} %"
        )
        lines.append(f"{line}  {each.warning}" if each.warning else line)
    return "\n".join(lines)


def _preview(answered: "dict[Path, list[Answer]]", many: bool) -> bytes:
    """Draws what the network sees; with `many`, also where it was found."""
    from mnist_flax.plots.predictions import draw_preview

    marks = [(path, each) for path, found in answered.items() for each in found]
    names = [printable(path.name) for path, _ in marks]
    seen = np.stack([each.digit.image for _, each in marks])
    probabilities = np.stack([each.probabilities for _, each in marks])
    if not many:
        return draw_preview(seen, probabilities, names)
    from mnist_flax.plots.boxes import draw_boxes
    from mnist_flax.predict import decoding

    pictures = [decoding.decode_file(path) for path in answered]
    return draw_boxes(
        [picture.gray for picture in pictures],
        [
            [picture.place(each.digit.box) for each in found]
            for picture, found in zip(pictures, answered.values(), strict=True)
        ],
        [[each.best_two[0] for each in found] for found in answered.values()],
        [printable(path.name) for path in answered],
    )


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
    parser.add_argument("--many", action="store_true", help="read every digit of an image")
    parser.add_argument("--json", action="store_true", help="print one line of JSON, no table")
    parser.add_path("--save-preview", "a new .png file, to show what the network sees")
