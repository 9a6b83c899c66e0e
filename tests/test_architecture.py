"""Architectures: which lines of text are valid, and what they mean."""

import pytest

from mnist_flax import architecture


def test_default_is_the_assignments() -> None:
    blocks = architecture.parse(architecture.DEFAULT)
    assert [block.features for block in blocks] == [8, 16, 16, 32, 32, 32]
    assert [block.kernel_size for block in blocks] == [3, 3, 3, 3, 3, 1]
    assert [block.pool for block in blocks] == [False, True, False, True, False, False]
    assert [block.kernel for block in blocks] == [1, 2, 3, 4, 5, 6]


def test_same_repeats_a_kernel() -> None:
    blocks = architecture.parse("1k5 same 8 8 pool same same pool 8k1 same")
    assert [block.kernel for block in blocks] == [1, 1, 3, 4, 4, 4, 7, 7]
    assert [block.features for block in blocks] == [1, 1, 8, 8, 8, 8, 8, 8]
    assert [block.kernel_size for block in blocks] == [5, 5, 3, 3, 3, 3, 1, 1]
    assert [block.pool for block in blocks] == [0, 0, 0, 1, 0, 1, 0, 0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pool",
        "pool 8",
        "8 pool pool",
        "8 pool 8 pool 8 pool",  # 7x7 has no half
        "0",
        "08",
        "1000",
        "8k2",
        "8k9",
        "8  8",
        "8 ",
        "8\n",
        "\u0668",  # an Arabic eight
        " ".join(["8"] * 33),
        "same",
        "same 8",
        "8 same",  # The kernel is for an image of one channel, and here are eight.
        "8 16 same",
        "8 8 16 same",
        "1" + " same" * 32,
        "8 8 pool same pool same pool",
    ],
)
def test_malformed_text(text: str) -> None:
    assert not architecture.is_valid(text)
    with pytest.raises(ValueError, match="is not an architecture; '8 16 pool"):
        architecture.parse(text)


@pytest.mark.parametrize("value", [[8, 16], (8, 16), 8, None])
def test_another_type(value: object) -> None:
    with pytest.raises(TypeError, match="it must be a string such as '8 16 pool 16 32 pool"):
        architecture.parse(value)


def test_limits_are_allowed() -> None:
    assert len(architecture.parse("999k7 pool 1 pool" + " 8" * 30)) == 32
    assert len(architecture.parse("1" + " same" * 31)) == 32
