"""README and docs: their Python runs, their commands parse, and what they name exists."""

import ast
import importlib
import re
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from test_imports import TABLE

import mnist_flax
from mnist_flax import architecture
from mnist_flax.cli import arguments

ROOT = Path(__file__).parents[1]
README, FAULTS = ROOT / "README.md", ROOT / "docs" / "FAULTS.md"
PAGES = [
    *(README, ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", ROOT / "RESULTS.md"),
    *sorted((ROOT / "docs").glob("*.md")),
]
COMMANDS = ("main", "evaluate", "report", "predict", "export", "demo", "sweep", "bench")

# A fenced block: the words behind the fence, and the text.
_FENCED = re.compile(r"^```(.*)\n((?s:.*?))^```$", re.MULTILINE)
_INDENTED = re.compile(r"(?:^    .*\n|^\n(?=    ))+", re.MULTILINE)
_INLINE = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
# Sources of this repository; a run's own files have other endings.
_FILE = re.compile(r"[\w/-]+\.(?:py|md|ipynb|npz)\b")
_TEST = re.compile(r"(?:[\w/]+/)?test_\w+\.py\b.*")


def with_blocks(info: str) -> list[Path]:
    """Lists the pages that have a fenced block of a kind; test_library.py has LIBRARY.md."""
    return [page for page in PAGES if blocks(page, info) and page.name != "LIBRARY.md"]


def blocks(page: Path, info: str) -> list[str]:
    """Lists the fenced blocks of a page behind whose fence just these words stand."""
    return [text for words, text in _FENCED.findall(page.read_text()) if words == info]


def code_on(page: Path) -> Iterator[str]:
    """Yields everything on a page that is code: each block, and each word in the text."""
    text = page.read_text()
    yield from (block for _, block in _FENCED.findall(text))
    text = _FENCED.sub("", text)
    yield from map(textwrap.dedent, _INDENTED.findall(text))
    yield from (" ".join(code.split()) for code in _INLINE.findall(_INDENTED.sub("", text)))


def name(page: Path) -> str:
    return page.name


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=pytest.mark.long if "FROM_" in page.name else ())
        for page in with_blocks("python")
    ],
    ids=name,
)
def test_python_runs(
    page: Path, tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": page.stem}
    for number, block in enumerate(blocks(page, "python"), 1):
        exec(compile(block, f"{page.name}, block {number}", "exec"), names)


@pytest.mark.parametrize("page", with_blocks("python"), ids=name)
def test_what_python_uses_of_the_package_exists(page: Path) -> None:
    chains = re.findall(r"\bmnist_flax((?:\.\w+)+)", "\n".join(blocks(page, "python")))
    assert chains
    for chain in chains:
        found: object = mnist_flax
        for attribute in chain.split(".")[1:]:
            if isinstance(found, ModuleType):
                found = getattr(found, attribute)


@pytest.mark.parametrize("page", with_blocks("python pytorch"), ids=name)
def test_pytorch_is_python(page: Path) -> None:
    for number, block in enumerate(blocks(page, "python pytorch"), 1):
        compile(block, f"{page.name}, block {number}", "exec")


def test_the_network_in_the_readme_is_the_default() -> None:
    layers = re.findall(r"conv(\d) (\d)x(\d), (\d+)", README.read_text())
    assert [tuple(map(int, layer)) for layer in layers] == [
        (number, block.kernel_size, block.kernel_size, block.features)
        for number, block in enumerate(architecture.parse(architecture.DEFAULT), 1)
    ]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in _LINK.findall(page.read_text()):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def anchors(page: Path) -> set[str]:
    """Returns the anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", _FENCED.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", x.lower()).replace(" ", "-") for x in headings}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_files_that_are_named_exist(page: Path) -> None:
    folders = [ROOT, *(ROOT / x for x in ("mnist_flax", "tests", "configs", "benchmarks"))]
    for code in code_on(page):
        for path in _FILE.findall(code):
            assert any((folder / path).exists() for folder in [*folders, page.parent]), path


def test_what_may_import_what_in_contributing() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    rows = [row.split("|")[1] for row in re.findall(r"^\| `.*$", text, re.MULTILINE)]
    places = {
        place.removesuffix(".py").removesuffix("/"): number
        for number, row in enumerate(rows)
        for place in _INLINE.findall(row)
    }
    for place, imports in TABLE.items():
        for imported in imports:
            assert places[imported] <= places[place], (place, imported)
    assert set(places) == set(TABLE)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_parse(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for code in code_on(page):
        mentions = len(re.findall(r"python -m (?:mnist_flax\.\w|pytest)", code))
        commands = python_commands(code, tmp_path) if mentions else []
        # In a loop of the shell one line is several commands.
        assert len(commands) >= mentions, code
        for module, *argv in commands:
            if module == "pytest":
                check_tests(argv)
            else:
                package, _, command = module.partition(".")
                assert package == "mnist_flax"
                assert command in COMMANDS, command
                file = module if command in ("main", "evaluate") else f"{module}.command"
                add_flags = importlib.import_module(file)._add_flags
                assert arguments.parse(argv, "", add_flags) or argv == ["--help"]


def python_commands(code: str, folder: Path) -> list[list[str]]:
    """Lists what follows `python -m` when a shell runs some code, and runs nothing else.

    The shell expands variables, loops and quotes. Its PATH is empty, so it finds no program,
    and its `python` is a function that prints its arguments.

    Args:
      code: what a page shows.
      folder: an empty folder to run it in.
    """
    python = 'python() { [ "$1" != -m ] || { printf "%s\\0" "${@:2}"; printf "\\n\\0"; }; }'
    done = subprocess.run(
        ["/bin/bash", "-c", f"{python}\npip() {{ :; }}\n{code}"],
        cwd=folder,
        env={"PATH": ""},
        capture_output=True,
        text=True,
    )
    return [command.split("\0")[:-1] for command in done.stdout.split("\n\0")[:-1]]


def test_every_test_in_faults_exists() -> None:
    rows = [line for line in FAULTS.read_text().splitlines() if line.startswith("| ")]
    tests = [row.rpartition(" | ")[2] for row in rows]
    found = [code for cell in tests for code in _INLINE.findall(cell) if _TEST.fullmatch(code)]
    assert len(found) > 60
    for code in found:
        file, _, expression = code.partition(" -k ")
        check_tests([f"tests/{file}", *(["-k", expression.strip('"')] if expression else [])])


def check_tests(argv: list[str]) -> None:
    """Asserts that each file of a pytest command exists, and has a test for each word of -k."""
    files = [ROOT / word for word in argv if word.endswith(".py")]
    tests = [test for file in files for test in list_tests(file)]
    if "-k" in argv:
        expression = argv[argv.index("-k") + 1]
        for word in re.split(r" or | and ", expression):
            assert any(word in test for test in tests), argv


def list_tests(file: Path) -> list[str]:
    """Lists the tests of a file: their names, and their decorators, which name the cases."""
    nodes = ast.walk(ast.parse(file.read_text()))
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef)]
    return [
        " ".join([function.name, *map(ast.unparse, function.decorator_list)])
        for function in functions
        if function.name.startswith("test_")
    ]
