"""Parses a network's architecture, a line of text such as '8 16 pool 16 32 pool 32 32k1'.

A number is a convolution with that many features, then batch norm and ReLU. Its kernel is 3x3;
with kK after the number it is KxK. 'same' repeats the convolution before it, with the same
kernel and bias, but with its own batch norm; the kernel must have as many features as channels.
'pool' is 2x2 max pooling. After the line come global average pooling and a linear layer.

This module does not import JAX, so that a config is checked before anything slow begins.
"""

import re
from typing import NamedTuple

# The assignment's network.
DEFAULT = "8 16 pool 16 32 pool 32 32k1"

# 28 pixels can be halved twice. No kernel is larger than the smallest image, 7x7. The number of
# convolutions has a limit because an architecture may also come from a file of weights.
_CONV = r"[1-9][0-9]{0,2}(k[1357])?"
_WHOLE = re.compile(rf"{_CONV}( {_CONV}| same| pool(?! pool))*")
MAX_CONVS, MAX_POOLS = 32, 2


class Block(NamedTuple):
    """A convolution with stride 1 and zero padding, batch norm, ReLU and perhaps pooling.

    Attributes:
      features: number of features of the convolution.
      kernel_size: height and width of its kernel.
      pool: whether 2x2 max pooling follows.
      kernel: number, from 1, of the block whose kernel and bias it uses: this one or an earlier
        one.
    """

    features: int
    kernel_size: int
    pool: bool
    kernel: int


def is_valid(text: str) -> bool:
    """Says whether `parse` accepts a text."""
    return _blocks(text) is not None


def parse(text: str) -> list[Block]:
    """Lists the blocks of an architecture, in their order.

    Raises:
      TypeError: it is not a string.
      ValueError: it is not an architecture.
    """
    if not isinstance(text, str):
        raise TypeError(f"architecture is {text!r}; it must be a string such as {DEFAULT!r}")
    blocks = _blocks(text)
    if blocks is None:
        raise ValueError(f"{text!r} is not an architecture; {DEFAULT!r} is one")
    return blocks


def _blocks(text: str) -> list[Block] | None:
    words = text.split()
    pools = words.count("pool")
    convs = len(words) - pools
    if not _WHOLE.fullmatch(text) or convs > MAX_CONVS or pools > MAX_POOLS:
        return None
    blocks: list[Block] = []
    for word in words:
        if word == "pool":
            blocks[-1] = blocks[-1]._replace(pool=True)
        elif word == "same":
            again = blocks[-1]
            inputs = 1 if again.kernel == 1 else blocks[again.kernel - 2].features
            if inputs != again.features:
                return None
            blocks.append(again._replace(pool=False))
        else:
            features, _, size = word.partition("k")
            kernel = len(blocks) + 1
            blocks.append(Block(int(features), int(size or 3), pool=False, kernel=kernel))
    return blocks
