"""What surrounds a command never costs a run: every command under every kind of surroundings.

Each case is a process of its own. Its status, what it prints and what it leaves behind are
checked: no traceback, one line for an error, no folder that nobody wanted.
"""

import functools
import itertools
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from helpers import forks
from helpers.trained_runs import WEIGHTS
from PIL import Image

import mnist_flax

SMALL = [
    *(
        "--config.num_epochs=1",
        "--config.train_split=train[:256]",
        "--config.test_split=test[:100]",
    ),
    *("--config.model.architecture=4", "--config.batch_size=128"),
]

pytestmark = pytest.mark.slow


class Case(NamedTuple):
    """A command: its arguments, in which RUN and NEW stand for folders, and what it writes."""

    argv: list[str]
    writes: str = ""


COMMANDS = {
    "main": Case([*SMALL, "--workdir=NEW"], "summary.json"),
    "evaluate": Case(["--workdir=RUN", "--json"]),
    "predict": Case(["--weights", str(WEIGHTS), "--json", "digit.png"]),
    "export": Case(["--workdir=RUN", "--format=safetensors", "--output=NEW"], "."),
    "report": Case(["--workdir=RUN"]),
    "demo": Case(["--workdir=RUN", "--export-dir=NEW", "--no-open"], "index.html"),
    "sweep": Case([*SMALL, "--seeds=1", "--workdir=NEW"], "sweep.jsonl"),
}


def by_turns(first: object, second: object) -> list[Any]:
    """Lists each command with both values; by default with one of them, by turns."""
    values = list(zip(COMMANDS, itertools.cycle([first, second]), strict=False))
    others = list(zip(COMMANDS, itertools.cycle([second, first]), strict=False))
    return [*values, *(pytest.param(*each, marks=pytest.mark.long) for each in others)]


@pytest.fixture(scope="module")
def original(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run. Not to be changed."""
    workdir = tmp_path_factory.mktemp("original") / "run"
    result = run("main", [*SMALL, f"--workdir={workdir}"], cwd=workdir.parent)
    assert result.returncode == 0, result.stderr
    return workdir


@pytest.fixture
def here(tmp_path: Path, original: Path) -> Path:
    """A folder with a copy of the run, and a picture of a digit."""
    return fill(tmp_path, original)


def fill(folder: Path, original: Path) -> Path:
    shutil.copytree(original, folder / "run")
    picture = Image.new("L", (60, 60), 255)
    picture.paste(0, (28, 10, 33, 50))
    picture.save(folder / "digit.png")
    return folder


def run(
    command: str,
    argv: Sequence[str],
    *,
    cwd: Path,
    redirect: str = "",
    before: Sequence[str] = (),
    draws: bool = False,
    **environment: str | None,
) -> subprocess.CompletedProcess[str]:
    """Runs a command by way of a shell, which redirects its streams.

    Its figures are rendered if `draws`, and whenever it needs a new Python.
    """
    changed = {**os.environ, **environment}
    env = {name: value for name, value in changed.items() if value is not None}
    # Another user may not ask for a fork.
    python = [sys.executable] if before else forks.python(draws)
    return subprocess.run(
        [
            *("sh", "-c", f'exec "$@" {redirect}', "sh", *before),
            *(*python, "-m", f"mnist_flax.{command}", *argv),
        ],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=300,
        check=False,
    )


def arguments(command: str, here: Path, new: Path | str = "new") -> list[str]:
    """The arguments of a command, with its folders filled in."""
    places = {"RUN": str(here / "run"), "NEW": os.fspath(here / new)}
    return [place_in(word, places) for word in COMMANDS[command].argv]


def place_in(word: str, places: dict[str, str]) -> str:
    flag, _, value = word.partition("=")
    return f"{flag}={places[value]}" if value in places else word


def assert_done(command: str, new: Path) -> None:
    """A command has written what it is for."""
    written = COMMANDS[command].writes
    if written:
        assert (new / written if written != "." else new).exists()


def assert_no_noise(result: subprocess.CompletedProcess[str]) -> None:
    assert "Traceback" not in result.stderr + result.stdout
    for line in result.stderr.splitlines():
        assert line.startswith(("warning: ", "error: ", "Workdir: ")), result.stderr


@pytest.mark.parametrize(("command", "closed"), by_turns("2>&-", "<&- >&- 2>&-"))
def test_closed_streams(here: Path, command: str, closed: str) -> None:
    result = run(command, arguments(command, here), cwd=here, redirect=closed, draws=True)
    assert result.returncode == 0, result.stderr
    assert_no_noise(result)
    if closed == "2>&-":
        assert result.stdout
    else:
        assert result.stdout == ""
    assert_done(command, here / "new")
    # Nothing that was printed has ended up in a file.
    for path in (here / "new").rglob("*.jsonl"):
        [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk_behind_stdout(here: Path, command: str) -> None:
    result = run(command, arguments(command, here), cwd=here, redirect=">/dev/full")
    assert_no_noise(result)
    (line,) = result.stderr.splitlines()
    if command in ("main", "sweep"):
        # What they are for is in their folder.
        assert result.returncode == 0
        assert line.startswith("warning: stdout cannot be written (No space left on device)")
    else:
        assert result.returncode == 1
        assert line == "error: No space left on device while writing stdout"
    assert_done(command, here / "new")


@pytest.mark.parametrize("command", COMMANDS)
def test_errors_on_a_full_disk(here: Path, command: str) -> None:
    result = run(command, ["--no-such-flag"], cwd=here, redirect="2>/dev/full")
    assert (result.returncode, result.stdout) == (2, "")


MATPLOTLIBRC = """
text.usetex: True
font.family: No Such Font
figure.dpi: 3
savefig.format: svg
this line is none
"""
UNREADABLE = b"font.size: 5 # \xff"
# Python would import such a folder, empty, where the library is not installed.
LIBRARIES = ("torch", "tensorflow", "pandas", "boto3", "cloudpickle", "pillow_heif")


STRANGE_NAME = os.fsdecode(b"new [a-z] \\ 100% \xc3\xa9\xff")


def run_strangely(command: str, here: Path) -> subprocess.CompletedProcess[str]:
    """Runs a command in a new Python, which reads all this when it imports.

    A terminal of ASCII, a notebook's Matplotlib, JAX set up otherwise, odd folders.
    """
    for name in LIBRARIES:
        (here / name).mkdir()
    # Without a cache, main and sweep compile for seconds.
    caches = {"JAX_COMPILATION_CACHE_DIR": "/proc/none"} if command == "evaluate" else {}
    rc = UNREADABLE if command == "report" else MATPLOTLIBRC.encode()
    (here / "matplotlibrc").write_bytes(rc)
    return run(
        command,
        arguments(command, here, STRANGE_NAME),
        cwd=here,
        PYTHONIOENCODING="ascii",
        LC_ALL="C",
        MPLBACKEND="no_such_backend",
        MPLCONFIGDIR="/proc/none",
        JAX_ENABLE_X64="1",
        JAX_DEFAULT_PRNG_IMPL="rbg",
        JAX_DISABLE_JIT="1",
        JAX_NUMPY_DTYPE_PROMOTION="strict",
        JAX_NUMPY_RANK_PROMOTION="raise",
        JAX_RANDOM_SEED_OFFSET="1",
        JAX_TRANSFER_GUARD="disallow",
        FLAX_PROFILE="banana",
        FLAX_FIX_RNG_SEPARATOR="1",
        TQDM_MININTERVAL="abc",
        PYTHONWARNINGS="error::UserWarning",
        **caches,
    )


@pytest.fixture(scope="module")
def trained_strangely(
    original: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A folder as `here` in which main has run, and what came of it. Not to be changed."""
    folder = fill(tmp_path_factory.mktemp("strange"), original)
    return folder, run_strangely("main", folder)


@pytest.mark.parametrize("command", [x for x in COMMANDS if x != "main"])
def test_strange_settings_and_names(here: Path, command: str) -> None:
    assert_nothing_is_strange(command, here, run_strangely(command, here))


def test_strange_settings_and_names_of_a_run(trained_strangely) -> None:
    folder, result = trained_strangely
    assert_nothing_is_strange("main", folder, result)
    workdir = folder / STRANGE_NAME
    again = run("evaluate", ["--workdir", os.fspath(workdir)], cwd=folder)
    assert again.returncode == 0, again.stderr
    assert (workdir / "curves.png").exists()


def assert_nothing_is_strange(
    command: str, here: Path, result: subprocess.CompletedProcess[str]
) -> None:
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert_no_noise(result)
    assert result.stdout.isascii()
    assert_done(command, here / STRANGE_NAME)


def test_settings_of_jax_change_no_number(trained_strangely, original: Path) -> None:
    folder, result = trained_strangely
    assert result.returncode == 0, result.stderr

    def losses(workdir: Path) -> list[float]:
        lines = (workdir / "metrics.jsonl").read_text().splitlines()
        return [json.loads(line)["train_loss"] for line in lines]

    assert losses(folder / STRANGE_NAME) == losses(original)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_device_that_is_not_there(here: Path, command: str) -> None:
    before = {path.name for path in here.iterdir()}
    result = run(command, arguments(command, here), cwd=here, JAX_PLATFORMS="cuda")
    assert result.returncode == 2
    (line,) = [x for x in result.stderr.splitlines() if x.startswith("error: ")]
    assert line.startswith("error: JAX cannot start a device (JAX_PLATFORMS='cuda'): ")
    assert "Traceback" not in result.stderr
    assert {path.name for path in here.iterdir()} == before


@pytest.fixture(scope="module")
def open_folder(data_dir: Path) -> Iterator[Path]:
    """A folder with the data, that every user may read and write.

    Those of pytest are its user's own, and another pytest sees to it that they stay so.
    """
    with tempfile.TemporaryDirectory(prefix="mnist_flax-tests-") as folder:
        shutil.copytree(data_dir, Path(folder, "data"))
        Path(folder, "tmp").mkdir()
        open_to_all(Path(folder))
        yield Path(folder)


def open_to_all(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o777)


@pytest.mark.parametrize(("command", "home"), by_turns(None, "/proc"))
def test_no_home(here: Path, open_folder: Path, command: str, home: str | None) -> None:
    """A user whom the system does not know, as in a container; a home that is read-only."""
    folder = Path(shutil.copytree(here, open_folder / here.name / "here"))
    open_to_all(folder.parent)
    before = as_unknown_user() if home is None else []
    caches = {"TMPDIR": str(open_folder / "tmp")}
    if home is None and not before:
        # The system still knows this user's home: keep out of it.
        caches |= {
            "JAX_COMPILATION_CACHE_DIR": str(here / "c"),
            "MPLCONFIGDIR": str(here / "m"),
        }
    result = run(
        command,
        arguments(command, folder),
        cwd=folder,
        before=before,
        HOME=home,
        TFDS_DATA_DIR=str(open_folder / "data"),
        XDG_CACHE_HOME=None,
        XDG_CONFIG_HOME=None,
        **caches,
    )
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    assert not (folder / "~").exists()
    assert_done(command, folder / "new")


@functools.cache
def as_unknown_user() -> list[str]:
    """What to put before a command so that the system does not know its user.

    Empty where this user may not change to another one, or the other one may not read Python
    and the package: then the command only has no HOME.
    """
    if os.getuid() != 0 or not shutil.which("setpriv"):
        return []
    for path in {Path(sys.prefix), *Path(sys.prefix).parents}:
        if Path("/tmp") in path.parents:
            path.chmod(stat.S_IMODE(path.stat().st_mode) | 0o555)
    before = ["setpriv", "--reuid=54321", "--clear-groups"]
    probe = [*before, sys.executable, "-c", "import jax, mnist_flax.train"]
    source = Path(mnist_flax.__file__).parents[1]
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(source)}
    return before if not subprocess.run(probe, env=env, capture_output=True).returncode else []


@pytest.mark.parametrize(
    ("command", "flag"),
    [
        *((command, "--workdir") for command in ("main", "evaluate", "report", "sweep")),
        *(("predict", "--weights"), ("export", "--output"), ("demo", "--export-dir")),
        *((command, "--data-dir") for command in ("evaluate", "predict", "demo")),
        *((command, "--config") for command in ("main", "sweep", "bench")),
    ],
)
def test_addresses_and_homes(here: Path, command: str, flag: str) -> None:
    before = {path.name for path in here.iterdir()}
    result = run(command, [f"{flag}=gs://bucket/run"], cwd=here)
    assert result.returncode == 2
    assert result.stderr == f"error: {flag}=gs://bucket/run is an address; name a local path\n"
    result = run(command, [f"{flag}=~nobody-of-that-name/x"], cwd=here)
    assert result.returncode == 2
    assert result.stderr.startswith(f"error: {flag}=~nobody-of-that-name/x: ")
    assert {path.name for path in here.iterdir()} == before


def test_a_run_whose_data_has_moved(here: Path, data_dir: Path) -> None:
    """The flag beats the environment, and that what the run has on record."""
    config = json.loads((here / "run" / "config.json").read_text())
    config["data_dir"] = str(here / "gone")
    (here / "run" / "config.json").write_text(json.dumps(config))
    found = run("evaluate", ["--workdir=run"], cwd=here)
    assert found.returncode == 0, found.stderr
    moved = run(
        "evaluate",
        ["--workdir=run", f"--data-dir={data_dir}"],
        cwd=here,
        TFDS_DATA_DIR="/proc/none",
    )
    assert moved.returncode == 0, moved.stderr
    assert not (here / "gone").exists()


HOSTS = {
    "a thread": """
import threading
def call(argv):
    statuses = []
    thread = threading.Thread(target=lambda: statuses.append(main.main(argv)))
    thread.start(); thread.join()
    return statuses
""",
    "a debugger": """
sys.settrace(lambda *args: None)
def call(argv):
    sys.argv[1:] = argv
    try: exit_status.entry(main.main)
    except SystemExit as end: return [end.code]
""",
    "a notebook": """
import types
sys.modules["IPython"] = types.SimpleNamespace(get_ipython=lambda: object())
def call(argv):
    sys.argv[1:] = argv
    try: exit_status.entry(main.main)
    except SystemExit as end: return [end.code]
""",
}


@pytest.mark.parametrize("host", HOSTS)
def test_called_from_other_code(here: Path, host: str) -> None:
    """Twice, the second time with flags that contradict each other."""
    argv = [*SMALL, "--workdir=run", "--resume"]
    program = (
        "import sys\nfrom mnist_flax import main\nfrom mnist_flax.cli import exit_status\n"
        f"{HOSTS[host]}\n"
        f"print('alive', call({argv!r}))\nprint('alive', call({[*argv, '--overwrite']!r}))"
    )
    result = subprocess.run(
        [*forks.python(), "-c", program], cwd=here, capture_output=True, text=True, check=False
    )
    said = [line for line in result.stdout.splitlines() if line.startswith("alive")]
    assert said == ["alive [0]", "alive [2]"], result.stderr
    assert result.stdout.endswith(f"{said[-1]}\n")
    assert "Traceback" not in result.stderr
