"""How every command refuses bad input."""

from collections.abc import Callable, Sequence

import pytest


def assert_refused(
    main: Callable[[Sequence[str]], int],
    argv: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A command prints one line, with some words in it, and ends with status 2."""
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("error: ")
    assert words in line
