"""Shows a page in the browser to draw a digit on, and what a trained network takes it for.

Examples:
  python -m mnist_flax.demo --workdir runs/first
  python -m mnist_flax.demo --workdir runs/first --port 0
  python -m mnist_flax.demo --weights digits.safetensors --export-dir page

The first prints an address to open in a browser on this computer. Draw with mouse, finger or
pen: ten probabilities follow. Clear, Esc or Delete begin anew. Ctrl-C ends it.

The network runs in the page, in JavaScript, and nothing is loaded from anywhere. --export-dir
writes the page instead of showing it: one file, index.html, which can be opened as it is or put
on any web server.

Only programs on this computer reach the page, by 127.0.0.1 or localhost, and it is all they
reach. The network is that of the run's latest epoch, finished or not, or with --weights that
of a file. It computes in float64, also where the run computed in bfloat16.
Exit status: 0 if the page was written, 130 for Ctrl-C, 2 for bad input, 1 for any other
failure. Unless it is 0, nothing is written.
"""

import argparse
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

from mnist_flax.cli import arguments, exit_status
from mnist_flax.errors import UserError
from mnist_flax.runs import files

# 28 as MNIST's images have pixels a side; no common program's.
PORT = 8028

# No page needs more bytes.
_MAX_BYTES = 2**20


def main(argv: Sequence[str]) -> int:
    """Runs the command.

    Args:
      argv: the command line without the name of the program.

    Returns:
      The exit status.
    """
    return exit_status.run(argv, __doc__, _add_flags, _run)


def _run(args: argparse.Namespace) -> None:
    if args.export_dir is not None and args.port is not None:
        raise UserError("--export-dir serves no page, and so takes no --port; leave one out")
    if args.export_dir is None:
        _serve(args, PORT if args.port is None else args.port)
    else:
        _export(args, args.export_dir)


def _build(args: argparse.Namespace) -> bytes:
    """The page.

    Raises:
      UserError: the run or the weights cannot be used.
    """
    # JAX takes a second to import: bad input has had its answer by now.
    from mnist_flax.demo import build_page
    from mnist_flax.trained import loading

    return build_page.build(loading.choose(args.workdir, args.weights))


def _serve(args: argparse.Namespace, port: int) -> None:
    """Serves the page until Ctrl-C.

    Raises:
      UserError: the port cannot be used; or see `_build`.
      KeyboardInterrupt: at Ctrl-C.
    """
    from mnist_flax.demo import http_server

    with http_server.Server(port) as server:
        server.page = _build(args)
        print(f"Draw a digit at http://{http_server.ADDRESS}:{server.port}/ (Ctrl-C ends it)")
        sys.stdout.flush()
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            raise KeyboardInterrupt("the page is no longer served") from None


def _export(args: argparse.Namespace, folder: Path) -> None:
    """Writes the page into a folder that is new or empty.

    Raises:
      UserError: it is neither, or cannot be written; or see `_build`.
    """
    try:
        fresh = not folder.exists()
        if not fresh and any(folder.iterdir()):
            raise UserError(
                f"--export-dir {folder} is not empty; empty it, or name another folder"
            )
        files.check_room(folder.parent if fresh else folder, _MAX_BYTES)
    except OSError as error:
        raise _cannot_be_written(folder, error) from None
    page = _build(args)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise _cannot_be_written(folder, error) from None
    path = folder / "index.html"
    try:
        files.replace(path, page)
    except BaseException:
        if fresh:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise
    print(f"Page: {path}, {len(page):,} bytes; open it, or put it on any web server")


def _cannot_be_written(folder: Path, error: OSError) -> UserError:
    return UserError(
        f"--export-dir {folder} cannot be written ({error.strerror}); name a new folder in one "
        "that is there, may be written and has room"
    )


def _add_flags(parser: arguments.Parser) -> None:
    parser.add_network()
    parser.add_argument(
        "--port",
        type=int,
        help=f"where the page is served, 0 for any free port; {PORT} by default",
    )
    parser.add_path("--export-dir", "a new or empty folder, to write the page into")
