"""The notebook: kept without outputs, and run from top to bottom on a few images."""

import ast
import json
import os
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

import mnist_flax

PATH = Path(__file__).parents[1] / "notebooks" / "mnist_flax_colab.ipynb"
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


@pytest.fixture(scope="module")
def executed(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """The notebook after a run on a few images, and the folder that it ran in."""
    folder = tmp_path_factory.mktemp("notebook")
    package = str(Path(mnist_flax.__file__).parents[1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUM_EPOCHS", "2")
        patch.setenv("TRAIN_SPLIT", "train[:400]")
        patch.setenv("TEST_SPLIT", "test[:200]")
        # The package of these tests; and if it were installed anew, nothing would be found.
        patch.setenv("PYTHONPATH", package + os.pathsep + os.environ.get("PYTHONPATH", ""))
        patch.setenv("MNIST_FLAX_SOURCE", "file:///nowhere")
        patch.setenv("IPYTHONDIR", str(tmp_path_factory.mktemp("ipython")))
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
    assert printed(executed, "load_split(") == "400 images to train on, 200 to test on\n"
    assert "Total params: 19,114" in printed(executed, "tabulate(")


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        "show(np.concatenate",
        "plt.bar",
        "draw_augmentations(",
        "random_augment(",
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
    right = round(200 * history[-1]["test_accuracy"])
    assert printed(executed, "wilson_interval").startswith(f"{right} of 200 right\n")
    said = printed(executed, "export_network(")
    for name in ("digits.safetensors", "digits.onnx"):
        assert (workdir / name).stat().st_size > 70_000
        assert name in said
    (drawing,) = outputs(executed, "drawing_page(")
    assert "data:text/html;base64," in drawing.data["text/html"]
    assert sorted(path.name for path in executed[1].iterdir()) == ["runs"]
