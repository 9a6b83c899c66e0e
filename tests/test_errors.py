"""What a warning looks like."""

import pytest

from mnist_flax.errors import warn


def test_a_warning_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    warn("the checkpoint is damaged\n(truncated);  the one before is used")
    assert capsys.readouterr() == (
        "",
        "warning: the checkpoint is damaged (truncated); the one before is used\n",
    )
