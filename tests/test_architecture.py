"""Layers as a line of text."""

import pytest

from mnist_flax import architecture


def test_the_assignments() -> None:
    blocks, flatten = architecture.parse(architecture.DEFAULT)
    assert [block.features for block in blocks] == [8, 16, 16, 32, 32, 32]
    assert [block.kernel_size for block in blocks] == [3, 3, 3, 3, 3, 1]
    assert [block.pool for block in blocks] == [False, True, False, True, False, False]
    assert not flatten


def test_flatten_at_the_end() -> None:
    assert architecture.parse("4k5 flatten") == ((architecture.Block(4, 5, False),), True)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mean",
        "8",
        "pool 8 mean",
        "8 mean 8 mean",
        "8 pool pool mean",
        "8 pool 8 pool 8 pool mean",  # 7x7 has no half
        "0 mean",
        "08 mean",
        "1000 mean",
        "8k2 mean",
        "8k9 mean",
        "8  mean",
        "8 mean ",
        "8 mean\n",
        "\u0668 mean",  # an Arabic eight
        "8 " * 33 + "mean",
    ],
)
def test_what_is_none(text: str) -> None:
    assert not architecture.is_valid(text)
    with pytest.raises(ValueError, match="is no architecture"):
        architecture.parse(text)


def test_limits_are_allowed() -> None:
    assert len(architecture.parse("999k7 pool 1 pool" + " 8" * 30 + " mean").blocks) == 32
