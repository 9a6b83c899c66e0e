"""README and docs: their Python runs, their commands parse, and what they name exists."""

import ast
import importlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mnist_flax.cli import arguments

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *ROOT.glob("[CR]*[GS].md"), *sorted(ROOT.glob("docs/*.md"))]
COMMANDS = ("main", "evaluate", "report", "predict", "export", "demo", "sweep", "bench")

# A fenced block: the words behind the fence, and the text.
_FENCED = re.compile(r"^```(.*)\n((?s:.*?))^```$", re.MULTILINE)
_INDENTED = re.compile(r"(?:^    .*\n)+", re.MULTILINE)
_INLINE = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_FILE = re.compile(r"[\w./-]+\.(?:py|md|ipynb|safetensors|npz|png|js|jinja)(?![\w/])")
# Files that a command on the page writes or reads, and none of the repository.
_OF_A_RUN = {
    *("curves.png", "seen.png", "sweep.png", "digit.png", "digits.safetensors"),
    *("trained.safetensors", "sweep_test.py"),
}


def _blocks(page: Path, info: str) -> list[str]:
    return [text for words, text in _FENCED.findall(page.read_text()) if words == info]


def _with(info: str) -> list[Path]:
    return [page for page in PAGES if _blocks(page, info)]


def _name(page: Path) -> str:
    return page.name


@pytest.mark.parametrize("page", _with("python"), ids=_name)
def test_python_runs(page: Path, tmp_path: Path, data_dir: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": page.stem}
    for number, block in enumerate(_blocks(page, "python"), 1):
        exec(compile(block, f"{page.name}, block {number}", "exec"), names)


@pytest.mark.parametrize("page", _with("python pytorch"), ids=_name)
def test_pytorch_is_python(page: Path) -> None:
    for number, block in enumerate(_blocks(page, "python pytorch"), 1):
        compile(block, f"{page.name}, block {number}", "exec")


def test_the_network_in_the_readme_is_the_one_in_plain() -> None:
    (block,) = _blocks(ROOT / "README.md", "python excerpt")
    lines = (ROOT / "mnist_flax" / "plain.py").read_text().splitlines()
    code = "\n".join(line.strip() for line in lines if line.strip())
    assert "\n".join(line.strip() for line in block.splitlines() if line.strip()) in code


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in _LINK.findall(page.read_text()):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        if anchor:
            assert anchor in _anchors(file), target


def _anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", _FENCED.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", x.lower()).replace(" ", "-") for x in headings}


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_files_that_are_named_exist(page: Path) -> None:
    tracked = [path for path in ROOT.rglob("*.*") if ".git" not in path.parts]
    names = {path.name for path in tracked}
    for code in _code(page):
        for name in _FILE.findall(code):
            if name in _OF_A_RUN or name.startswith("runs/"):
                continue
            places = [base / name for base in (ROOT, ROOT / "mnist_flax", page.parent)]
            exists = any(place.exists() for place in places) if "/" in name else name in names
            assert exists, name


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_commands_parse(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.chdir(ROOT)
    for code in _code(page):
        expected = len(re.findall(r"python -m (?:mnist_flax\.|pytest)", code))
        if not expected:
            continue
        commands = list(_python_commands(code, tmp_path))
        # In a loop of the shell one line is several commands.
        assert len(commands) >= expected, code
        for module, *argv in commands:
            if module == "pytest":
                _check_tests(argv)
                continue
            command = module.removeprefix("mnist_flax.")
            assert command in COMMANDS, module
            file = "" if command in ("main", "evaluate") else ".command"
            add_flags = importlib.import_module(module + file)._add_flags
            arguments.parse(argv, "", add_flags)


def test_every_test_that_faults_names_exists() -> None:
    found = [code for code in _code(ROOT / "docs" / "FAULTS.md") if code.startswith("test_")]
    assert not found, "a test's file is named with its folder, such as runs/test_kills.py"
    named = re.findall(r"`([\w/]*test_\w+\.py[^`]*)`", (ROOT / "docs/FAULTS.md").read_text())
    assert len(named) > 40
    for text in named:
        file, _, expression = text.partition(" -k ")
        _check_tests([f"tests/{file}", *(["-k", expression.strip('"')] if expression else [])])


def _code(page: Path) -> Iterator[str]:
    """Everything on a page that is code: blocks, and words in the text."""
    text = page.read_text()
    yield from (block for words, block in _FENCED.findall(text))
    text = _FENCED.sub("", text)
    yield from _INDENTED.findall(text)
    yield from (" ".join(code.split()) for code in _INLINE.findall(_INDENTED.sub("", text)))


def _python_commands(code: str, folder: Path) -> Iterator[list[str]]:
    """Lists what follows `python -m` when a shell runs some code, and runs nothing else.

    The shell expands variables, loops and quotes. Its PATH is empty, and `python` is a function
    that prints its arguments.
    """
    script = (
        'python() { [ "$1" != -m ] || printf "%s\\0" "${@:2}" $\'\\n\'; }\n'
        f"pip() {{ :; }}\ngit() {{ :; }}\n{code}"
    )
    done = subprocess.run(
        ["/bin/bash", "-c", script], cwd=folder, env={"PATH": ""}, capture_output=True, text=True
    )
    for line in done.stdout.split("\n\0"):
        if line:
            yield line.split("\0")[:-1]


def _check_tests(argv: list[str]) -> None:
    """Asserts that files of tests exist, and that each `-k` selects a test in them."""
    files = [ROOT / word for word in argv if word.endswith(".py")]
    for file in files:
        assert file.exists(), file
    if "-k" in argv:
        expression = argv[argv.index("-k") + 1]
        words = re.findall(r"\w+", expression)
        names = [name for file in files for name in _test_names(file)]
        alternatives = [word for word in words if word not in ("or", "and", "not")]
        for word in alternatives:
            assert any(word in name for name in names), (argv, word)


def _test_names(file: Path) -> list[str]:
    """The name of each test of a file, with its decorators, which have its cases."""
    functions = [x for x in ast.walk(ast.parse(file.read_text())) if isinstance(x, ast.FunctionDef)]
    return [
        " ".join([function.name, *map(ast.unparse, function.decorator_list)])
        for function in functions
        if function.name.startswith("test_")
    ]
