"""The two programs of `forks`: `serve` imports and forks, `ask` stands for one fork."""

import contextlib
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import sys
import warnings
from typing import NamedTuple

# Variables that are read when a command needs them; others, when a library is imported. Two are
# the shell's and Python's own; JAX's are given to it in the fork, see `run`. LINES and COLUMNS
# are set by readline, which pytest imports, and os.environ does not know of them.
_READ_LATE = frozenset(
    [
        "TFDS_DATA_DIR",
        "XDG_CACHE_HOME",
        "COLUMNS",
        "LINES",
        "NO_COLOR",
        "PYTEST_CURRENT_TEST",
        "PWD",
        "LC_CTYPE",
        "JAX_NUM_CPU_DEVICES",
        "JAX_PLATFORMS",
        "JAX_COMPILATION_CACHE_DIR",
    ]
)
# Libraries set some more when they are imported.
_GIVEN = dict(os.environ)


class Request(NamedTuple):
    """What a fork is to run.

    Attributes:
      argv: what follows the name of Python: -m or -c, and so on.
      folder: the current one.
      environment: all variables.
      streams: which of stdin (0), stdout (1) and stderr (2) are open.
      draws: whether Matplotlib renders figures; see `pictures.one_picture`.
    """

    argv: list[str]
    folder: str
    environment: dict[str, str]
    streams: list[int]
    draws: bool


def ask(path: str, argv: list[str], draws: bool) -> None:
    """Has a command run in a fork, and ends as it ends."""
    server = socket.socket(socket.AF_UNIX)
    server.connect(path)
    answers = server.makefile("rb")
    if not _is_as_imported(*json.loads(answers.readline())):
        server.close()
        answers.close()
        os.execv(sys.executable, [sys.executable, *argv])
    streams = (sys.stdin, sys.stdout, sys.stderr)
    numbers = [number for number, stream in enumerate(streams) if stream is not None]
    text = json.dumps(Request(argv, os.getcwd(), dict(os.environ), numbers, draws))
    # Descriptors go with a first byte.
    socket.send_fds(server, [b"\n"], numbers or [server.fileno()])
    server.sendall(text.encode() + b"\n")
    fork = int(answers.readline())
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: os.kill(fork, number))
    # From now on only the fork has them: whoever reads from it sees when it ends.
    for number in numbers:
        os.close(number)
    status = int(answers.readline())
    if status < 0:
        signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)


def _is_as_imported(given: dict[str, str], imported: dict[str, str]) -> bool:
    """Says whether libraries would read in this process what they have read in the server.

    Args:
      given: the environment that the server was started in.
      imported: the same after its imports, as that of whoever asks may be, too.
    """
    return all(
        os.environ.get(name) in (given.get(name), imported.get(name))
        for name in {*os.environ, *given} - _READ_LATE
    )


def serve(path: str) -> Request:
    """Imports the package and what it imports, and forks for whoever asks.

    Returns:
      In a fork: what it is to run.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _import_all()
    # What was imported stays: the forks need not look through it for garbage.
    gc.freeze()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    print("ready", flush=True)
    while True:
        ready, _, _ = select.select([listener, sys.stdin], [], [])
        if sys.stdin in ready:  # Who started this has ended.
            os.unlink(path)
            os.rmdir(os.path.dirname(path))
            sys.exit()
        connection, _ = listener.accept()
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if not _fork():
            listener.close()
            return _attend(connection)
        connection.close()


def _import_all() -> None:
    import mnist_flax

    for module in pkgutil.walk_packages(mnist_flax.__path__, "mnist_flax."):
        # PyTorch may be missing, and onnxruntime starts a thread, which a fork does not have.
        if not module.name.endswith(("__main__", "to_torch", "to_onnx")):
            importlib.import_module(module.name)
    # Imported late by libraries.
    importlib.import_module("array_record.python.array_record_data_source")
    importlib.import_module("pictures")  # It lies beside this file, which is run as a script.
    assert "onnxruntime" not in sys.modules


def _fork() -> int:
    with warnings.catch_warnings():
        # OpenBLAS has threads, which Python 3.12 and later warn of, and is made for forks.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _attend(connection: socket.socket) -> Request:
    """Forks for one request, and stays until the fork has ended.

    Returns:
      In the fork: what it is to run.
    """
    answers = connection.makefile("rwb")
    answers.write(json.dumps([_GIVEN, dict(os.environ)]).encode() + b"\n")
    answers.flush()
    begin, descriptors, _, _ = socket.recv_fds(connection, 1, 3)
    if not begin:  # It does not want a fork.
        os._exit(0)
    request = Request(*json.loads(answers.readline()))
    fork = _fork()
    if not fork:
        connection.close()
        answers.close()
        _take_streams(dict(zip(request.streams, descriptors, strict=False)))
        for number in descriptors:
            os.close(number)
        return request
    for number in (0, 1, 2, *descriptors):
        os.close(number)
    answers.write(b"%d\n" % fork)
    answers.flush()
    handle = os.pidfd_open(fork)
    ready, _, _ = select.select([handle, connection], [], [])
    if handle not in ready:  # Who asked was killed.
        os.kill(fork, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1])
    with contextlib.suppress(OSError):
        answers.write(b"%d\n" % status)
        answers.flush()
    os._exit(0)


def _take_streams(descriptors: dict[int, int]) -> None:
    """Opens stdin, stdout and stderr as Python does when it starts."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        getattr(sys, name).close()
        setattr(sys, name, None)
        if number in descriptors:
            os.dup2(descriptors[number], number)
            stream = os.fdopen(number, mode, encoding="utf-8", closefd=False)
            if name == "stderr":
                stream.reconfigure(errors="backslashreplace", line_buffering=True)
            setattr(sys, name, stream)


def _give_to_jax(environment: dict[str, str]) -> None:
    """Sets what JAX reads when it is imported, and uses when it starts its devices."""
    import jax

    if "JAX_NUM_CPU_DEVICES" in environment:
        jax.config.update("jax_num_cpu_devices", int(environment["JAX_NUM_CPU_DEVICES"]))
    for name in ("JAX_PLATFORMS", "JAX_COMPILATION_CACHE_DIR"):
        if name in environment:
            jax.config.update(name.lower(), environment[name])


def run(request: Request) -> None:
    """Becomes the Python that was asked for."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in _GIVEN.keys() - request.environment.keys():
        del os.environ[name]
    os.environ.update(request.environment)
    _give_to_jax(request.environment)
    if not request.draws:
        sys.modules["pictures"].one_picture_for_good()
    os.chdir(request.folder)
    sys.path[0] = request.folder
    kind, what, *argv = request.argv
    if kind == "-m":
        sys.argv = [what, *argv]
        if not hasattr(sys.modules.get(what), "__path__"):
            # Otherwise runpy warns that it is run for the second time.
            sys.modules.pop(what, None)
        runpy._run_module_as_main(what)  # type: ignore[attr-defined]
    else:
        assert kind == "-c"
        sys.argv = ["-c", *argv]
        names = sys.modules["__main__"].__dict__
        for name in [name for name in names if not name.startswith("__")]:
            del names[name]
        names["__spec__"] = None
        exec(compile(what, "<string>", "exec"), names)


if __name__ == "__main__":
    if sys.argv[1] != "serve":
        ask(sys.argv[2], sys.argv[3:], draws=sys.argv[1] == "draw")
    else:
        run(serve(sys.argv[2]))
