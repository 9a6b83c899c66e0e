"""A network's layers as one line of text, such as '8 16 pool 16 32 pool 32 32k1'.

A number is a convolution with that many features, 3x3 or, with kK behind it, KxK, then batch
norm and ReLU. 'same' is the convolution before it once more, with the same kernel and bias and
a batch norm of its own; it has as many features as its input. 'pool' is 2x2 max pooling. Global
average pooling and a linear layer follow, and are not in the line.

Nothing here imports JAX: a config is checked before anything slow begins.
"""

import re
from typing import NamedTuple

# The assignment's.
DEFAULT = "8 16 pool 16 32 pool 32 32k1"

# 28 pixels can be halved twice. No kernel is larger than the smallest image, 7x7. The number of
# convolutions has a limit as files of weights name architectures, too.
_CONV = r"[1-9][0-9]{0,2}(k[1357])?"
_WHOLE = re.compile(rf"{_CONV}( {_CONV}| same| pool(?! pool))*")
MAX_CONVS, MAX_POOLS = 32, 2


class Block(NamedTuple):
    """A convolution with stride 1 and zero padding, batch norm, ReLU and perhaps pooling.

    Attributes:
      features: of the convolution.
      kernel_size: its height and width.
      pool: whether 2x2 max pooling follows.
      kernel: the number, from 1, of the block whose kernel and bias it has: its own, or that of
        one before it.
    """

    features: int
    kernel_size: int
    pool: bool
    kernel: int


def is_valid(text: str) -> bool:
    """Whether `parse` takes it."""
    return _blocks(text) is not None


def parse(text: str) -> list[Block]:
    """The blocks that a line names, in their order.

    Raises:
      ValueError: it is none.
    """
    blocks = _blocks(text)
    if blocks is None:
        raise ValueError(f"{text!r} is no architecture; {DEFAULT!r} is one")
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
