"""The notebook: kept without outputs, and run from top to bottom on a few images."""

import ast
import importlib.util
import json
import os
import re
import subprocess
import sys
import tomllib
import venv
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import nbformat
import pytest
from helpers.nvidia_driver import fake_driver
from nbclient import NotebookClient

import mnist_flax
from mnist_flax import accelerators

ROOT = Path(__file__).parents[1]
PATH = ROOT / "notebooks" / "mnist_flax_colab.ipynb"
NOTEBOOK = nbformat.read(PATH, as_version=4)


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_it_is_kept_without_outputs() -> None:
    nbformat.validate(NOTEBOOK)
    assert len(code_cells(NOTEBOOK)) > 10
    for cell in code_cells(NOTEBOOK):
        assert (cell.outputs, cell.execution_count, cell.metadata) == ([], None, {})
    # What Jupyter writes of the machine that it ran on, and Colab of the accelerator.
    assert NOTEBOOK.metadata["language_info"] == {"name": "python"}
    assert not {"accelerator", "widgets"} & NOTEBOOK.metadata.keys()


def test_every_step_has_a_heading_and_its_cells_are_short() -> None:
    text = "\n".join(cell.source for cell in NOTEBOOK.cells if cell.cell_type == "markdown")
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert len(headings) == len(set(headings)) >= 10
    for cell in code_cells(NOTEBOOK):
        assert len(cell.source.splitlines()) <= 50


def test_it_uses_public_names_only() -> None:
    used = set()
    for cell in code_cells(NOTEBOOK):
        # Lines for IPython are not Python.
        tree = ast.parse("\n".join(x for x in cell.source.splitlines() if x[:1] != "%"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                assert not any(x.name.startswith("mnist_flax.") for x in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module.startswith("mnist_flax"):
                assert node.module == "mnist_flax"
                used |= {x.name for x in node.names}
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                used |= {node.attr} if node.value.id == "mnist_flax" else set()
    assert len(used) > 15
    assert used <= set(mnist_flax.__all__)


def cell_with(words: str) -> str:
    """The source of the one code cell with some words in it."""
    (source,) = (cell.source for cell in code_cells(NOTEBOOK) if words in cell.source)
    return source


INSTALL = cell_with('"pip", "install"')
CHECK = cell_with("default_backend")


def test_one_address_makes_every_link() -> None:
    """The constant of the install cell, which says that there is none yet."""
    (address,) = re.findall(r'^REPOSITORY = "(.*)"$', INSTALL, re.MULTILINE)
    target = "https://colab.research.google.com/"
    if address:
        owner_and_name = address.removeprefix("https://github.com/")
        target += f"github/{owner_and_name}/blob/main/{PATH.relative_to(ROOT)}"
    else:
        assert "# No public address yet." in INSTALL
    image = "https://colab.research.google.com/assets/colab-badge.svg"
    for text in ((ROOT / "README.md").read_text(), NOTEBOOK.cells[0].source):
        assert text.count(f"[![Open in Colab]({image})]({target})") == 1
        assert text.count("colab.research") == 2
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project.get("urls", {}) == ({"Repository": address} if address else {})


def run_cell(source: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(source, "cell", "exec"), names)
    return names


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """What the install cell gives to pip in an empty folder, where nothing is installed."""
    requirements: list[str] = []
    run = subprocess.run

    def fake(command: list[str], **options: Any) -> Any:
        if command[1:4] != ["-m", "pip", "install"]:
            return run(command, **options)
        assert options == {"check": True}
        requirements.append(command[-1])
        return None

    monkeypatch.setattr(subprocess, "run", fake)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.chdir(tmp_path)
    return requirements


@pytest.mark.parametrize(
    ("gpus", "extra"),
    [
        ([], None),
        (["Tesla T4, 550.54.15, 7.5"], "cuda12"),
        (["NVIDIA L4, 580.65.06, 8.9"], "cuda13"),
        (["Tesla T4, 470.82.01, 7.5"], None),
    ],
)
def test_the_driver_chooses_what_is_installed(
    installed, monkeypatch, tmp_path, gpus, extra
) -> None:
    fake_driver(monkeypatch, tmp_path, *gpus)
    wheel = tmp_path / "mnist_flax-0.1.0-py3-none-any.whl"
    wheel.touch()
    run_cell(INSTALL)
    expected = [f"mnist_flax[export] @ file://{wheel}"]
    assert installed == expected + ([f"jax[{extra}]=={jax.__version__}"] if extra else [])


def test_where_the_package_comes_from(installed, tmp_path) -> None:
    with pytest.raises(AssertionError, match="Upload a wheel or a zip of mnist_flax"):
        run_cell(INSTALL)
    address = "https://github.com/someone/mnist_flax"
    with_address = re.sub('^REPOSITORY = ""', f'REPOSITORY = "{address}"', INSTALL, flags=re.M)
    run_cell(with_address)
    (tmp_path / "mnist_flax-main.zip").touch()
    run_cell(with_address)
    assert installed == [
        f"mnist_flax[export] @ git+{address}",
        f"mnist_flax[export] @ file://{tmp_path}/mnist_flax-main.zip",
    ]


def test_a_folder_of_a_clone_is_not_the_package(installed, monkeypatch, tmp_path) -> None:
    (tmp_path / "mnist_flax.zip").touch()
    clone = ModuleSpec("mnist_flax", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: clone)
    run_cell(INSTALL)
    assert installed == [f"mnist_flax[export] @ file://{tmp_path}/mnist_flax.zip"]


def test_what_was_in_use_and_is_replaced(installed, monkeypatch, tmp_path) -> None:
    (tmp_path / "mnist_flax.zip").touch()
    run_cell(INSTALL)
    monkeypatch.setitem(sys.modules, "numpy", SimpleNamespace(__version__="1.26.4"))
    with pytest.raises(AssertionError, match=r"^numpy 1\.26\.4 was in use, .* Restart session"):
        run_cell(INSTALL)


def test_it_does_nothing_where_the_package_is_installed(installed, monkeypatch) -> None:
    monkeypatch.undo()
    run_cell(INSTALL)
    assert installed == []


def test_the_device_that_was_chosen_is_the_one_that_is_used(monkeypatch, capsys) -> None:
    def find() -> accelerators.Accelerator | None:
        return found

    monkeypatch.setattr(accelerators, "find", find)
    found = None
    run_cell(CHECK)
    assert capsys.readouterr().out == "Training on cpu\n"
    for extra, advice in (("cuda12", r"pip install 'jax\[cuda12\]=="), (None, "driver 525")):
        found = accelerators.Accelerator("Tesla T4, driver 550", "gpu", extra)
        words = "^Here is a Tesla T4, driver 550, and JAX uses the CPU: .*" + advice
        with pytest.raises(AssertionError, match=words):
            run_cell(CHECK)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    run_cell(CHECK)


# Says what is there, runs the install cell, and says what is there now.
SCRIPT = """
import importlib.metadata, sys
if sys.argv[2:]:
    import jax
try:
    exec(open(sys.argv[1]).read())
except AssertionError as error:
    print(error)
for name in ("jax", "numpy", "mnist_flax"):
    print(name, importlib.metadata.version(name))
"""


@pytest.mark.long
def test_the_install_cell_in_a_new_environment(tmp_path) -> None:
    """As in Colab: an older JAX is there and in use, and a NumPy that will do."""
    folder, home = tmp_path / "content", tmp_path / "venv"
    folder.mkdir()
    (tmp_path / "cell.py").write_text(INSTALL)
    venv.create(home, with_pip=True)
    python = str(home / "bin" / "python")
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    # A GPU would cost gigabytes; test_the_driver_chooses_what_is_installed has them.
    environment["CUDA_VISIBLE_DEVICES"] = ""

    def run(*command: str, cwd: Path = folder) -> str:
        done = subprocess.run(
            command, cwd=cwd, env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout

    run(python, "-m", "pip", "install", "-q", "jax==0.9.2", "numpy==2.2.6")
    run(python, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(ROOT))
    cell = ("-c", SCRIPT, str(tmp_path / "cell.py"))
    restart, *versions = run(python, *cell, "in use").splitlines()
    assert re.match(
        r"jax 0\.9\.2 was in use, and is 0\.1\d\.\d now: .* Restart session", restart
    )
    assert versions[1:] == ["numpy 2.2.6", f"mnist_flax {mnist_flax.__version__}"]
    # After the restart it has nothing to do, and the cell after it passes.
    assert run(python, *cell).splitlines() == versions
    assert run(python, "-c", CHECK) == "Training on cpu\n"

    run(python, "-m", "pip", "uninstall", "-q", "-y", "mnist_flax")
    for wheel in folder.glob("*.whl"):
        wheel.unlink()
    run("git", "archive", "-o", str(folder / "mnist_flax.zip"), "HEAD", cwd=ROOT)
    # This one is not the newest, and new enough.
    run(python, "-m", "pip", "install", "-q", "jax==0.10.1", "jaxlib==0.10.1")
    assert run(python, *cell, "in use").splitlines() == ["jax 0.10.1", *versions[1:]]
    assert run(python, "-c", CHECK) == "Training on cpu\n"


# An export is compared on all test images, by test_export.py.
FEW_FOR_EXPORTS = """
from mnist_flax import input_pipeline
load = input_pipeline.load
input_pipeline.load = lambda split, *rest: load(
    "test[:500]" if split == "test" else split, *rest
)
del input_pipeline
"""


@pytest.fixture(scope="module")
def executed(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """The notebook after a run on a few images, and the folder that it ran in."""
    folder = tmp_path_factory.mktemp("notebook")
    package = str(Path(mnist_flax.__file__).parents[1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUM_EPOCHS", "2")
        # As other tests train: their programs are in the cache, or will be.
        patch.setenv("TRAIN_SPLIT", "train[:200]")
        patch.setenv("TEST_SPLIT", "test[:100]")
        patch.setenv("JAX_COMPILATION_CACHE_DIR", jax.config.jax_compilation_cache_dir)
        patch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        # The package of these tests. To install it anew, the install cell would need a file.
        patch.setenv("PYTHONPATH", package + os.pathsep + os.environ.get("PYTHONPATH", ""))
        ipython = tmp_path_factory.mktemp("ipython")
        startup = ipython / "profile_default" / "startup"
        startup.mkdir(parents=True)
        (startup / "few.py").write_text(FEW_FOR_EXPORTS)
        patch.setenv("IPYTHONDIR", str(ipython))
        # As in a person's, where the test's settings of JAX do not hold.
        patch.delenv("MPLBACKEND", raising=False)
        client = NotebookClient(
            nbformat.read(PATH, as_version=4),
            timeout=300,
            resources={"metadata": {"path": str(folder)}},
        )
        return client.execute(), folder


def outputs(executed: tuple[Any, Path], words: str) -> list[Any]:
    """What came out of the one cell with some words in it."""
    (cell,) = (cell for cell in code_cells(executed[0]) if words in cell.source)
    return list(cell.outputs)


def printed(executed: tuple[Any, Path], words: str) -> str:
    found = outputs(executed, words)
    return "".join(output.text for output in found if output.output_type == "stream")


@pytest.mark.slow
def test_it_runs_from_top_to_bottom(executed) -> None:
    for cell in code_cells(executed[0]):
        # nbclient raises where a cell fails; a warning would be on stderr.
        assert "stderr" not in [output.get("name") for output in cell.outputs]
    assert outputs(executed, '"pip", "install"') == []
    assert printed(executed, "load_split(") == "200 images to train on, 100 to test on\n"
    assert "Total params: 19,114" in printed(executed, "tabulate(")
    said = printed(executed, "value_and_grad(")
    assert re.fullmatch(
        r"Loss of the last step \d\.\d{4}; test accuracy after .* [\d.]+%\n", said
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        "show(np.concatenate",
        "plt.bar",
        "draw_augmentations(",
        "show(augmented",
        "train_and_evaluate(config",
        "draw_confusion(",
        "draw_mistakes(",
    ],
)
def test_figures(executed, words) -> None:
    pictures = [
        output.data["image/png"]
        for output in outputs(executed, words)
        if "image/png" in output.get("data", {})
    ]
    (picture,) = pictures
    assert len(picture) > 5000


@pytest.mark.slow
def test_the_run_that_it_made(executed) -> None:
    (workdir,) = (executed[1] / "runs").iterdir()
    history = [
        json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()
    ]
    assert [record["epoch"] for record in history] == [1, 2]
    right = round(100 * history[-1]["test_accuracy"])
    assert printed(executed, "wilson_interval").startswith(f"{right} of 100 right\n")
    said = printed(executed, "export_network(")
    for name in ("digits.safetensors", "digits.onnx"):
        assert (workdir / name).stat().st_size > 70_000
        assert name in said
    (drawing,) = outputs(executed, "drawing_page(")
    assert "data:text/html;base64," in drawing.data["text/html"]
    assert sorted(path.name for path in executed[1].iterdir()) == ["runs"]
