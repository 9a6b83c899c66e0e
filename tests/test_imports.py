"""What may import what: the table of CONTRIBUTING.md, held by reading every file's imports."""

import ast
import json
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import mnist_flax

PACKAGE = Path(mnist_flax.__file__).parent

COMMANDS = {"main", "evaluate", "export", "report", "predict", "demo", "sweep", "bench"}
CORE = {
    *(
        "plain",
        "models",
        "augment",
        "optimizers",
        "input_pipeline",
        "inference",
        "steps",
        "epochs",
    ),
    *("programs", "model_table", "network_arrays", "torch_interop"),
}
BASE = {
    "errors",
    "system",
    "metrics",
    "config",
    "architecture",
    "datasets",
    "parallel",
    "ops",
}

# A place, a file or a folder, and the places that it may import besides itself.
TABLE = {
    "errors": set(),
    "accelerators": set(),
    "system": {"errors"},
    "metrics": set(),
    "architecture": {"errors"},
    "config": {"errors", "system", "architecture"},
    "datasets": {"errors", "system"},
    "parallel": {"errors"},
    "ops": {"parallel"},
    **dict.fromkeys(CORE, BASE | CORE),
    "plots": {"metrics", "augment", "config"},
    "runs": {"errors", "system", "config", "metrics", "plots", "parallel"},
    "train": BASE | CORE | {"runs"},
    "trained": BASE | CORE | {"runs"},
    "cli": {"errors", "accelerators", "system", "config", "ops"},
    **dict.fromkeys(COMMANDS, BASE | CORE | {"plots", "runs", "train", "trained", "cli"}),
}

# What needs no accelerator must not wait for JAX to be imported.
WITHOUT_JAX = {
    "errors",
    "accelerators",
    "system",
    "metrics",
    "architecture",
    "config",
    "datasets",
    "main",
    "evaluate",
}


def imports_of(path: Path) -> set[str]:
    """The names of the modules that a file imports, anywhere in it; `from` imports in full."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def modules() -> dict[str, Path]:
    """Every module of the package by its name, but the package's own."""
    paths = sorted(path for path in PACKAGE.rglob("*.py") if "configs" not in path.parts)
    names = [path.relative_to(PACKAGE).with_suffix("").parts for path in paths]
    return {
        ".".join(part for part in name if part != "__init__"): path
        for name, path in zip(names, paths, strict=True)
        if name != ("__init__",)
    }


MODULES = modules()


def own_imports(name: str) -> set[str]:
    """The modules of this package that a module imports."""
    found = set()
    for imported in imports_of(MODULES[name]):
        parts = imported.split(".")
        if parts[0] != "mnist_flax":
            continue
        # 'mnist_flax.runs.files.append' is of the module 'runs.files'.
        tails = [".".join(parts[1:end]) for end in range(len(parts), 1, -1)]
        found |= set([tail for tail in tails if tail in MODULES][:1])
    return found


def place_of(name: str) -> str:
    return name.partition(".")[0]


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_only_what_the_table_lets_it(name: str) -> None:
    place = place_of(name)
    assert place in TABLE, f"{name} has no place in the table"
    wrong = {x for x in own_imports(name) if place_of(x) not in {place, *TABLE[place]}}
    assert not wrong, f"mnist_flax.{name} must not import {wrong}"


def test_the_table_names_nothing_that_is_gone() -> None:
    assert set(TABLE) == set(map(place_of, MODULES))


def test_no_module_imports_itself_in_a_circle() -> None:
    packages = {name: own_imports(name) - {name} for name in MODULES}
    assert len([*TopologicalSorter(packages).static_order()]) == len(MODULES)


@pytest.mark.parametrize("name", [x for x in MODULES if place_of(x) in WITHOUT_JAX])
def test_bad_input_does_not_wait_for_jax(name: str) -> None:
    tree = ast.parse(MODULES[name].read_text())
    # Imports inside a function wait until it is called.
    at_the_top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    for node in at_the_top:
        module = getattr(node, "module", None) or node.names[0].name
        assert module.partition(".")[0] not in {"jax", "flax", "optax", "orbax", "clu"}


def test_training_imports_no_picture_no_report_and_no_command() -> None:
    program = "import json, sys; import mnist_flax.train; print(json.dumps([*sys.modules]))"
    out = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout
    imported = set(json.loads(out))
    assert "mnist_flax.steps" in imported
    ours = {place_of(x.removeprefix("mnist_flax.")) for x in imported if "mnist_flax." in x}
    assert not ours & (COMMANDS | {"plots", "trained", "cli"})
    # (tensorboardX imports PyTorch where that is installed.)
    assert not {x.partition(".")[0] for x in imported} & {"matplotlib", "tensorflow"}
