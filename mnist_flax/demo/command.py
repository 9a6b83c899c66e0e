"""Writes a page to draw digits on, which a trained network reads, and opens it in the browser.

Examples:
  python -m mnist_flax.demo --workdir runs/first
  python -m mnist_flax.demo --weights digits.safetensors --export-dir page --no-open

Draw with mouse, finger or pen, or with the keyboard: arrow keys move, Space lowers or lifts
the pen. The page shows ten probabilities as you draw. Clear, Esc or Delete empties it. It also
reads a picture that you choose, drop or paste, by the steps of `predict`. The network runs in
the page, in JavaScript and float64: nothing is loaded from anywhere, and nothing leaves the
page.

The page is one file, index.html. It is written into the folder demo of the run, or with
--export-dir into another folder, which is made if needed. An earlier page is replaced; an
index.html that this command did not write is not. Open it in any browser, or put it on any web
server. On a machine without a browser, serve it to your own by way of SSH:
  there:  python -m http.server --bind 127.0.0.1 --directory runs/first/demo 8028
  here:   ssh -N -L 8028:127.0.0.1:8028 MACHINE, then open http://127.0.0.1:8028/

The network is the run's after its latest epoch, finished or not, or with --weights that of a
file.
Exit status: 0 if the page was written, 2 for bad input, 130 for Ctrl-C, 1 for any other
failure. Unless it is 0, nothing is written.
"""

import argparse
import contextlib
import os
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path

from mnist_flax.cli import arguments, exit_status
from mnist_flax.errors import UserError, WriteError
from mnist_flax.runs import files, pages

NAME = "mnist_flax.demo"


def main(argv: Sequence[str]) -> int:
    """Runs the command with the arguments `argv`; returns its exit status."""
    return exit_status.run(argv, __doc__, _add_flags, _run)


def _run(args: argparse.Namespace) -> None:
    """Runs the command with parsed flags; raises UserError for bad input."""
    folder = _folder(args)
    page = folder / "index.html"
    pages.check_replaceable(page, NAME)
    # JAX takes a second to import: report bad input before that.
    from mnist_flax.cli import jax_setup
    from mnist_flax.demo import build_page
    from mnist_flax.trained import loading

    jax_setup.prepare()
    html = build_page.build(loading.choose(args.workdir, args.weights, args.data_dir))
    _write(page, html)
    print(f"Page: {page}, {len(html):,} bytes, for any browser or web server", flush=True)
    if not args.no_open:
        _open(page)


def _folder(args: argparse.Namespace) -> Path:
    """Chooses the folder of the page.

    Raises:
      UserError: the flags name none.
    """
    if args.export_dir:
        return Path(args.export_dir)
    if args.workdir:
        return Path(args.workdir, "demo")
    if args.weights:
        raise UserError("--weights needs --export-dir, a folder to write the page into")
    raise UserError("give either --workdir, a run, or --weights, a file; --help says more")


def _write(page: Path, html: bytes) -> None:
    """Writes the page, and makes its folder if it is not there.

    Raises:
      UserError: the folder cannot be made or written.
      WriteError: the disk failed. The folder is removed if it was made here.
    """
    folder = page.parent
    new = not os.path.isdir(folder)
    try:
        folder.mkdir(exist_ok=True)
        files.check_room(folder, len(html))
        files.replace(page, html)
    except BaseException as error:
        if new:
            with contextlib.suppress(OSError):
                folder.rmdir()
        if isinstance(error, OSError) and not isinstance(error, WriteError):
            raise UserError(
                f"the folder {folder} cannot be written ({error.strerror}); name another one "
                "with --export-dir"
            ) from None
        raise


def _open(page: Path) -> None:
    """Opens the page in the user's browser; without one, nothing happens."""
    # Where there is no display, webbrowser may start a browser in the terminal, which has no
    # JavaScript and would hold up the command.
    displays = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    headless = sys.platform != "darwin" and not any(map(os.environ.get, displays))
    if headless or os.environ.get("CI"):
        return
    with contextlib.suppress(Exception):  # Whatever the user has set in BROWSER.
        webbrowser.open(page.resolve().as_uri())


def _add_flags(parser: arguments.Parser) -> None:
    """Adds the command's flags."""
    parser.add_network()
    parser.add_path(
        "--export-dir", "folder for index.html; by default demo in the run's folder"
    )
    parser.add_argument("--no-open", action="store_true", help="only write the page")
