"""What shows that a command is at work: on a terminal, in a notebook, in a pipe, on none."""

import io
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from helpers.terminals import run_on_terminal
from nbclient import NotebookClient

from mnist_flax.errors import UserError
from mnist_flax.system import progress


class Live(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


class Notebook(io.StringIO):
    """Where a cell of a notebook prints."""


Notebook.__module__ = "ipykernel.iostream"


@pytest.fixture(autouse=True)
def _on_and_impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing waits for two seconds; and nothing stays shown."""
    monkeypatch.delenv("TQDM_DISABLE")
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    monkeypatch.setattr(progress, "_PERIOD", 0.001)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    yield
    assert not progress._lines


def wait_for(stream: io.StringIO, words: str) -> None:
    """Waits until words are on a stream."""
    end = time.monotonic() + 60
    while words not in stream.getvalue():
        assert time.monotonic() < end, stream.getvalue()
        time.sleep(0.001)


def lines_on(stream: io.StringIO) -> list[str]:
    """Each different line that a terminal has shown."""
    parts = [part.rstrip() for part in stream.getvalue().replace("\n", "\r").split("\r")]
    return list(dict.fromkeys(part for part in parts if part))


def test_a_line_on_a_terminal_comes_and_goes(monkeypatch) -> None:
    stream = Live()
    monkeypatch.setattr(sys, "stderr", stream)
    with progress.shown("Counting"):
        wait_for(stream, "Counting: 0 s")
    assert lines_on(stream) == ["Counting: 0 s"]
    assert stream.getvalue().endswith(f"\r{' ' * len('Counting: 0 s')}\r")
    assert "\n" not in stream.getvalue()


def test_one_line_in_a_pipe(capsys) -> None:
    with progress.shown("Counting"):
        wait_for(sys.stderr, "Counting ...\n")
    assert capsys.readouterr() == ("", "Counting ...\n")


@pytest.mark.parametrize("stream", [Live, io.StringIO])
def test_what_is_quick_is_not_shown(stream, monkeypatch) -> None:
    monkeypatch.setattr(progress, "PATIENCE", 60.0)
    monkeypatch.setattr(sys, "stderr", stream())
    with progress.shown("Counting"), progress.bar(9, "apples") as bar, bar.part(9, "all"):
        pass
    assert sys.stderr.getvalue() == ""


@pytest.mark.parametrize("stream", [Live, io.StringIO])
def test_it_can_be_turned_off(stream, monkeypatch) -> None:
    monkeypatch.setattr(sys, "stderr", stream())
    monkeypatch.setenv("TQDM_DISABLE", "1")
    with progress.shown("Counting"), progress.bar(3, "apples") as bar:
        for _ in range(3):
            with bar.part(1, "one"):
                time.sleep(0.01)
    assert sys.stderr.getvalue() == ""
    assert not progress.is_live(Live())


def test_only_the_first_of_several_processes_shows_it(capsys) -> None:
    with progress.shown("Counting", here=False):
        time.sleep(0.01)
    assert capsys.readouterr().err == ""


def test_the_line_goes_before_an_error_comes(monkeypatch) -> None:
    stream = Live()
    monkeypatch.setattr(sys, "stderr", stream)

    def fail() -> None:
        with progress.shown("Counting"):
            wait_for(stream, "Counting: 0 s")
            raise UserError("no apples")

    with pytest.raises(UserError, match="no apples"):
        fail()
    assert stream.getvalue().endswith(" \r")


def test_of_two_the_inner_one_is_shown(monkeypatch) -> None:
    stream = Live()
    monkeypatch.setattr(sys, "stderr", stream)
    with progress.bar(4, "apples") as bar, bar.part(4, "ripe") as move:
        wait_for(stream, "0/4 apples, ripe")
        with progress.shown("Washing"):
            wait_for(stream, "Washing: 0 s")
        move(1)
        wait_for(stream, "1/4 apples, 00:00 left, ripe")
    washing = stream.getvalue().partition("Washing")[2].rpartition("Washing")[0]
    assert "apples" not in washing


def test_a_bar_takes_the_place_of_none_who_print(monkeypatch) -> None:
    stream = Live()
    monkeypatch.setattr(sys, "stderr", stream)
    with progress.bar(4, "apples") as bar, bar.part(4, "ripe"):
        wait_for(stream, "ripe")
        with progress.hidden():
            printed = stream.getvalue()
            time.sleep(0.02)
            assert stream.getvalue() == printed
            assert printed.endswith(" \r")
            stream.truncate(0)
        wait_for(stream, "ripe")


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        (100, " 25%|##5       | 1/4 apples, 00:30 left, from the garden"),
        (60, " 25%|##5       | 1/4 apples, 00:30 left, from the garden"),
        (40, "1/4 apples, 00:30 left, from the garden"),
        (20, "1/4 apples, 00:30 l"),
        (1, ""),
    ],
)
def test_a_bar_fits_the_terminal(columns: int, line: str, monkeypatch) -> None:
    clock = iter([0.0, 0.0, 10.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock, 10.0))
    monkeypatch.setattr(sys, "stderr", Live())
    bar = progress.Bar(4, "apples")
    assert bar.text(columns) == ""
    with bar.part(4, "from the garden") as move:
        move(1)
        assert bar.text(columns)[: columns - 1].rstrip() == line


def test_the_time_left_runs_down_while_a_unit_is_at_work(monkeypatch) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    bar = progress.Bar(4, "apples")
    now[0] = 100.0  # What came before the first part does not count.
    with bar.part(4, "ripe") as move:
        now[0] = 110.0
        move(1)
        assert "1/4 apples, 00:30 left" in bar.text(80)
        now[0] = 113.0
        assert "1/4 apples, 00:27 left" in bar.text(80)
        now[0] = 999.0
        assert "1/4 apples, 00:00 left" in bar.text(80)


def test_a_few_lines_in_a_pipe(capsys, monkeypatch) -> None:
    """One for each tenth of the work, and none within two seconds of another."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(progress, "PATIENCE", 2.0)
    with progress.bar(100, "epochs") as bar:
        for seed in range(5):
            with bar.part(20, f"seed {seed}") as move:
                for epoch in range(1, 21):
                    now[0] += 25.0
                    move(epoch)
    lines = capsys.readouterr().err.splitlines()
    assert lines[:3] == [
        "1 of 100 epochs, seed 0, about 41 min left",
        "11 of 100 epochs, seed 0, about 37 min left",
        "21 of 100 epochs, seed 1, about 33 min left",
    ]
    assert lines[-1] == "91 of 100 epochs, seed 4, about 4 min left"
    assert len(lines) == 10
    with progress.bar(100, "epochs") as bar:
        for _ in range(100):
            with bar.part(1, "fast"):
                now[0] += 0.3
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(" ")[0] for line in lines] == [
        *("7", "17", "27", "37", "47", "57", "67", "77", "87", "97")
    ]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 s"), (89, "89 s"), (90, "2 min"), (3725, "62 min"), (6000, "1 h 40 min")],
)
def test_about(seconds: float, words: str) -> None:
    assert progress.about(seconds) == words


def test_where_a_line_can_be_rewritten(monkeypatch) -> None:
    assert progress.is_live(Live())
    assert progress.is_live(Notebook())
    assert not progress.is_live(io.StringIO())
    monkeypatch.setenv("TERM", "dumb")
    assert not progress.is_live(Live())


def test_in_a_notebook_it_is_no_error(monkeypatch, capsys) -> None:
    """A notebook shows stderr in red."""
    stream = Notebook()
    monkeypatch.setattr(sys, "stdout", stream)
    with progress.shown("Counting"):
        wait_for(stream, "\rCounting: 0 s")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("live", [True, False])
def test_a_stream_that_is_gone_stops_nothing(live: bool, monkeypatch) -> None:
    tried = []

    class Gone(io.StringIO):
        def isatty(self) -> bool:
            return live

        def write(self, text: str) -> int:
            tried.append(text)
            raise OSError(28, os.strerror(28))

    monkeypatch.setattr(sys, "stderr", Gone())
    with progress.shown("Counting"):
        while not tried:
            time.sleep(0.001)


@pytest.mark.parametrize("redirect", ["2>/dev/full", "2>&-", ">/dev/null 2>/dev/full"])
def test_a_stream_of_a_shell_that_is_gone_stops_nothing(redirect: str) -> None:
    source = str(Path(progress.__file__).parents[1])
    command = shlex.join([sys.executable, "-c", PROGRAM])
    result = subprocess.run(
        ["sh", "-c", f"{command} {redirect}"],
        env={**os.environ, "PYTHONPATH": source},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0
    assert result.stderr == ""
    assert result.stdout == ("" if "null" in redirect else "one\ntwo\n")


@pytest.mark.parametrize("columns", ["", "0", "wide"])
def test_a_width_that_nothing_says(columns: str, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert progress.columns_of(io.StringIO()) == 80


PROGRAM = """
import time
from mnist_flax.system import progress
progress.PATIENCE = 0.0
with progress.shown("Counting the apples of all gardens"):
    time.sleep(0.5)
print("one")
with progress.bar(4, "apples") as bar, bar.part(4, "from the garden of the king") as move:
    time.sleep(0.5)
    with progress.hidden():
        print("two")
    time.sleep(1.2)
"""


@pytest.mark.parametrize("columns", [80, 40, 12])
@pytest.mark.parametrize("settings", [{}, {"NO_COLOR": "1"}])
def test_a_real_terminal(columns: int, settings: dict[str, str]) -> None:
    """Nothing is coloured, nothing is broken into two lines, and nothing stays."""
    seen = run_on_terminal(["-c", PROGRAM], columns, **settings)
    assert seen.status == 0
    assert [line for line in seen.screen if line] == ["one", "two"]
    assert max(map(len, seen.drawn)) < columns
    assert "\x1b" not in seen.raw
    shown = "Counting the apples of all gardens: 0 s"[: columns - 1]
    bar = "0/4 apples, from the garden of the king"[: columns - 1]
    assert shown in seen.drawn
    assert any(bar in line for line in seen.drawn)


def test_results_are_alone_on_stdout() -> None:
    seen = run_on_terminal(["-c", PROGRAM], stdout_too=False)
    assert seen.out == "one\ntwo\n"
    assert any("Counting" in line for line in seen.drawn)
    assert seen.screen == [""]


@pytest.mark.slow
def test_a_real_notebook(monkeypatch) -> None:
    cell = nbformat.v4.new_code_cell(PROGRAM)
    notebook = nbformat.v4.new_notebook(cells=[cell])
    NotebookClient(notebook, timeout=120).execute()
    assert {output.name for output in cell.outputs} == {"stdout"}
    text = "".join(output.text for output in cell.outputs)
    assert "\rCounting the apples of all gardens: 0 s" in text
    assert "one\n" in text
