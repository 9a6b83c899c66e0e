"""Writes report.html into the folder of a run: how it went, and where it is wrong.

Example:
  python -m mnist_flax.report --workdir runs/first

The page holds the verdict against the target, the curves, every test image that was taken for
another digit, the confusion matrix, each digit's accuracy, how sure the network is and how
often it is right then, the filters of its first layer, one digit under each augmentation, the
network's layers, the config and the versions. It is one file with all its pictures inside: it
opens anywhere, without a network connection, and may be sent to others. The figures lie beside
it as PNG files too, in the folder report.

An earlier report is replaced. A report.html that this command did not write is not.
A run that has not finished is reported as it was after its latest epoch, and the page says so.
Exit status: 0 if the report was written, 2 for bad input, 130 for Ctrl-C, 1 for any other
failure.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mnist_flax.cli import arguments, exit_status
from mnist_flax.errors import UserError
from mnist_flax.runs import files

# In the first lines of every report.
MARK = b'<meta name="generator" content="mnist_flax.report">'


def main(argv: Sequence[str]) -> int:
    """Runs the command.

    Args:
      argv: the command line without the name of the program.

    Returns:
      The exit status.
    """
    return exit_status.run(argv, __doc__, _add_flags, _run)


def _run(args: argparse.Namespace) -> None:
    if not args.workdir:
        raise UserError("--workdir is missing; name the folder of a run")
    workdir: Path = args.workdir
    page, folder = workdir / "report.html", workdir / "report"
    _check_output(page, folder)
    # JAX takes a second to import: bad input has had its answer by now.
    from mnist_flax.cli import compilation_cache
    from mnist_flax.report import build_page
    from mnist_flax.trained import loading

    compilation_cache.enable()
    run = loading.load(workdir)
    html, figures = build_page.write_page(run, _summary(workdir))
    size = len(html) + sum(map(len, figures.values()))
    _check_room(workdir, size)
    if folder.exists():
        _check_room(folder, size)
    folder.mkdir(exist_ok=True)
    for name, png in figures.items():
        files.replace(folder / f"{name}.png", png)
    # Last: who finds it finds what belongs to it.
    files.replace(page, html)
    print(f"Report: {page} ({len(html) / 1e6:.1f} MB); its figures: {folder}")


def _check_output(page: Path, folder: Path) -> None:
    """Raises UserError if what is there already is not an earlier report."""
    try:
        if page.exists():
            with page.open("rb") as file:
                ours = MARK in file.read(1000)
            if not ours:
                raise UserError(
                    f"{page} is not a report of this command; move it out of the way"
                )
    except OSError as error:
        raise UserError(
            f"{page} cannot be read ({error.strerror}); move it out of the way"
        ) from None
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is not a folder; move it out of the way")


def _check_room(folder: Path, size: int) -> None:
    """Raises UserError if `size` bytes cannot be written in a folder."""
    try:
        files.check_room(folder, size)
    except OSError as error:
        raise UserError(
            f"no report can be written in {folder} ({error.strerror}); copy the run to a "
            "folder that may be written and has room"
        ) from None


def _summary(workdir: Path) -> dict[str, Any]:
    """The content of summary.json; empty for a run that has not finished.

    Raises:
      UserError: it is not one.
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
    parser.add_path("--workdir", "folder of the run")
