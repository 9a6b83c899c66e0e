"""Writes a report about a run into its folder: how well it learned, and where it is wrong.

Example:
  python -m mnist_flax.report --workdir runs/first

The report is report.html, one file with all its pictures inside: it opens in any browser,
without a network connection. It shows
  - whether the run met its target, and the curves of loss, accuracy and learning rate
  - every test image that was taken for another digit, and the confusion matrix
  - the accuracy of each digit, and how well the network's confidence matches its accuracy
  - the filters of the first layer, and one digit under each augmentation
  - the network's layers, the config and the versions.
The plots are also written as PNG files, into the folder report beside it.

An earlier report is replaced; a report.html that this command did not write is not. A run that
has not finished is shown as it was after its latest epoch, and the report says so.
Exit status: 0 if the report was written, 2 for bad input, 130 for Ctrl-C, 1 for any other
failure.
"""

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mnist_flax.cli import arguments, exit_status
from mnist_flax.errors import UserError
from mnist_flax.runs import files, pages

NAME = "mnist_flax.report"


def main(argv: Sequence[str]) -> int:
    """Runs the command with the arguments `argv`; returns its exit status."""
    return exit_status.run(argv, __doc__, _add_flags, _run)


def _run(args: argparse.Namespace) -> None:
    """Runs the command with parsed flags; raises UserError for bad input."""
    if not args.workdir:
        raise UserError("--workdir is missing; name the folder of a run")
    workdir: Path = args.workdir
    page, folder = workdir / "report.html", workdir / "report"
    pages.check_replaceable(page, NAME)
    if os.path.lexists(folder) and not os.path.isdir(folder):
        raise UserError(f"{folder} is not a folder; move it out of the way")
    # JAX takes a second to import: report bad input before that.
    from mnist_flax.cli import jax_setup
    from mnist_flax.report import build_page
    from mnist_flax.trained import loading

    jax_setup.prepare()
    run = loading.load(workdir, args.data_dir)
    html, plots = build_page.build(run, _summary(workdir))
    size = len(html) + sum(map(len, plots.values()))
    _check_space(workdir, size)
    if folder.exists():
        _check_space(folder, size)
    folder.mkdir(exist_ok=True)
    for name, png in plots.items():
        files.replace(folder / f"{name}.png", png)
    # The page comes last: once it is there, so are its plots.
    files.replace(page, html)
    print(f"Report: {page} ({len(html) / 1e6:.1f} MB); its plots: {folder}")


def _check_space(folder: Path, size: int) -> None:
    """Raises UserError if `size` bytes cannot be written in a folder."""
    try:
        files.check_room(folder, size)
    except OSError as error:
        raise UserError(
            f"no report can be written in {folder} ({error.strerror}); copy the run to a "
            "folder that can be written and has enough space"
        ) from None


def _summary(workdir: Path) -> dict[str, Any]:
    """Reads summary.json; a run that has not finished has none, which gives {}.

    Raises:
      UserError: the file cannot be read, or is not a summary.
    """
    path = workdir / "summary.json"
    try:
        summary = dict(json.loads(path.read_bytes()))
        return summary | {"versions": dict(summary["versions"])}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise UserError(
            f"{path} cannot be read ({error}); move it out of the way, or use another run"
        ) from None


def _add_flags(parser: arguments.Parser) -> None:
    """Adds the command's flags."""
    parser.add_path("--workdir", "folder of the run")
    parser.add_data_dir()
