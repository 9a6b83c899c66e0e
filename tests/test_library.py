"""The package as a library: its public names, their types, and the code of docs/LIBRARY.md."""

import ast
import inspect
import json
import pydoc
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

import mnist_flax
from mnist_flax import input_pipeline

ROOT = Path(__file__).parents[1]
PACKAGE = Path(mnist_flax.__file__).parent
GUIDE = (ROOT / "docs" / "LIBRARY.md").read_text()
DEFINED_IN = mnist_flax._DEFINED_IN


def run_python(program: str) -> str:
    """What a fresh process prints."""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return result.stdout


def test_the_import_is_light() -> None:
    program = "import json, sys; import mnist_flax; print(json.dumps([*sys.modules]))"
    imported = {name.partition(".")[0] for name in json.loads(run_python(program))}
    assert "mnist_flax" in imported
    assert not imported & {"jax", "flax", "numpy", "matplotlib", "tensorflow_datasets"}


def test_modules_are_reachable_after_the_import_of_the_package() -> None:
    program = "import mnist_flax; print(mnist_flax.models.ConvNet.__name__)"
    assert run_python(program) == "ConvNet\n"
    program = "import mnist_flax.plain; print(mnist_flax.ConvNet.__name__)"
    assert run_python(program) == "ConvNet\n"


@pytest.mark.parametrize("name", mnist_flax.__all__)
def test_a_public_name_is_documented_and_annotated(name: str) -> None:
    value = getattr(mnist_flax, name)
    assert name in dir(mnist_flax)
    assert inspect.getdoc(value)
    if isinstance(value, ModuleType):
        assert value.__name__ == f"mnist_flax.{name}"
        return
    signature = inspect.signature(value)
    for parameter in signature.parameters.values():
        assert parameter.annotation is not inspect.Parameter.empty, parameter
    if inspect.isfunction(value):
        assert signature.return_annotation is not inspect.Signature.empty


def test_a_type_checker_sees_the_same_names() -> None:
    """The three lists of `__init__`: imports for type checkers, __all__, and the lazy one."""
    tree = ast.parse(Path(mnist_flax.__file__).read_text())
    (guarded,) = (
        node.body
        for node in tree.body
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name)
    )
    modules, names = set(), {}
    for node in guarded:
        assert isinstance(node, ast.ImportFrom)
        for alias in node.names:
            if node.module == "mnist_flax":
                modules.add(alias.name)
            else:
                module = node.module.removeprefix("mnist_flax.")
                names[alias.asname or alias.name] = f"{module}:{alias.name}"
    assert names == DEFINED_IN
    assert sorted(mnist_flax.__all__) == sorted([*modules, *names])
    # A name that is also a module's would be the module, once anything has imported that.
    assert not names.keys() & {path.stem for path in PACKAGE.iterdir()}


def test_a_misspelt_name() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'normalise'") as error:
        _ = mnist_flax.normalise
    assert (error.value.name, error.value.obj) == ("normalise", mnist_flax)
    with pytest.raises(ImportError, match="cannot import name 'normalise'"):
        exec("from mnist_flax import normalise")


def test_help_is_a_guide() -> None:
    for name in DEFINED_IN:
        assert f"`{name}`" in mnist_flax.__doc__, name
    text = pydoc.render_doc(mnist_flax, renderer=pydoc.plaintext)
    assert mnist_flax.__doc__.splitlines()[-1].strip() in text
    # From Python 3.13 on, a long signature has a line for each parameter.
    assert re.search(r"random_augment\(\s*key: '?jax", text)


def test_the_types_are_in_the_wheel() -> None:
    assert (PACKAGE / "py.typed").read_bytes() == b""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    # All files of the package, none left out.
    assert wheel["packages"] == ["mnist_flax"]
    assert "exclude" not in wheel


def test_the_guide_lists_every_public_name() -> None:
    table = GUIDE.partition("## Public names")[2]
    rows = re.findall(r"^\| `(\w+)", table, re.MULTILINE)
    assert sorted(rows) == sorted(DEFINED_IN)
    modules = set(mnist_flax.__all__) - set(DEFINED_IN)
    named = re.findall(r"`(?:mnist_flax\.)?(\w+)`", table.rpartition("\n\n")[2])
    assert set(named) == modules


@pytest.mark.slow
def test_the_guide_runs(data_dir, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    load = input_pipeline.load

    def few_for_exports(split, *rest):
        """An export is compared on all test images, by test_export.py."""
        return load("test[:500]" if split == "test" else split, *rest)

    monkeypatch.setattr(input_pipeline, "load", few_for_exports)
    names: dict = {"__name__": "guide"}
    blocks = re.findall(r"^```python\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    assert len(blocks[0].splitlines()) < 50
    for number, block in enumerate(blocks, 1):
        exec(compile(block, f"LIBRARY.md, block {number}", "exec"), names)
    printed = capsys.readouterr().out
    assert re.search(r"^epoch 1: \d+ of 500 right, loss \d\.\d{3}\nepoch 2: ", printed)
    assert int(names["state"].step) == 10
    assert mnist_flax.count_params(names["state"].params) == 15_550
    assert names["augmented"].shape == (8, 28, 28)
    assert len(names["mistakes"]) == 500 - names["scores"].correct
    assert (tmp_path / "mistakes.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "digits.safetensors").stat().st_size > 70_000
    assert {path.name for path in tmp_path.iterdir()} == {
        *("runs", "mistakes.png", "digits.safetensors"),
    }
