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

import contextlib
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from mnist_flax import files
from mnist_flax.errors import UserError, exit_status, leave

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
    return exit_status(lambda: _run(list(argv)))


def _run(argv: list[str]) -> None:
    if {"-h", "--help", "-help", "--helpfull"} & set(argv):
        print(_help())
        return
    values = _parse(argv)
    if values.export_dir is None:
        _serve(values, PORT if values.port is None else values.port)
    else:
        _export(values, Path(values.export_dir))


def _build(values: flags.FlagValues) -> bytes:
    """The page.

    Raises:
      UserError: the run or the weights cannot be used.
    """
    # JAX takes a second to import: bad input has had its answer by now.
    from mnist_flax import demo_page, trained

    return demo_page.build(trained.choose(values.workdir, values.weights))


def _serve(values: flags.FlagValues, port: int) -> None:
    """Serves the page until Ctrl-C.

    Raises:
      UserError: the port cannot be used; or see `_build`.
      KeyboardInterrupt: at Ctrl-C.
    """
    from mnist_flax import demo_server

    with demo_server.Server(port) as server:
        server.page = _build(values)
        print(f"Draw a digit at http://{demo_server.ADDRESS}:{server.port}/ (Ctrl-C ends it)")
        sys.stdout.flush()
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            raise KeyboardInterrupt("the page is no longer served") from None


def _export(values: flags.FlagValues, folder: Path) -> None:
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
    page = _build(values)
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


def _define_flags() -> flags.FlagValues:
    values = flags.FlagValues()
    flags.DEFINE_string("workdir", None, "Folder of the run that trained the network.", values)
    flags.DEFINE_string(
        "weights", None, "Instead of --workdir: a .safetensors, .pt or .pth file.", values
    )
    flags.DEFINE_integer(
        "port",
        None,
        f"Where the page is served; 0 for any port that is free. {PORT} if not given.",
        lower_bound=0,
        upper_bound=65535,
        flag_values=values,
    )
    flags.DEFINE_string(
        "export_dir", None, "A new or empty folder, to write the page into.", values
    )
    return values


def _parse(argv: list[str]) -> flags.FlagValues:
    """Parses the command line.

    Raises:
      UserError: whatever is wrong with it.
    """
    values = _define_flags()
    argv = [re.sub("^--?export-dir", "--export_dir", argument) for argument in argv]
    try:
        rest = values(["mnist_flax.demo", *argv])[1:]
    except flags.Error as error:
        raise UserError(f"{error} (--help lists the flags)") from None
    if rest:
        raise UserError(f"unexpected argument {rest[0]!r} (--help lists the flags)")
    if values.export_dir == "":
        raise UserError("--export-dir is empty; name a folder")
    if values.export_dir is not None and values.port is not None:
        raise UserError("--export-dir serves no page, and so takes no --port; leave one out")
    return values


def _help() -> str:
    """What --help prints: this module's text and the flags."""
    text = _define_flags().get_help(include_special_flags=False).strip().partition("\n")[2]
    return "\n".join([__doc__, "Flags:", text])


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
