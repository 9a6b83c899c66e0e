"""A network's layers as one line of text, such as '8 16 pool 16 32 pool 32 32k1'.

A number is a convolution with that many features, 3x3 or, with kK behind it, KxK, then batch
norm and ReLU. 'pool' is 2x2 max pooling. Global average pooling and a linear layer follow, and
are not in the line.

Nothing here imports JAX: a config is checked before anything slow begins.
"""

import re
from typing import NamedTuple

# The assignment's.
DEFAULT = "8 16 pool 16 32 pool 32 32k1"

# 28 pixels can be halved twice. No kernel is larger than the smallest image, 7x7. The number of
# convolutions has a limit as files of weights name architectures, too.
_CONV = r"[1-9][0-9]{0,2}(k[1357])?"
_WHOLE = re.compile(rf"{_CONV}( {_CONV}| pool(?! pool))*")
MAX_CONVS, MAX_POOLS = 32, 2


class Block(NamedTuple):
    """A convolution with stride 1 and zero padding, batch norm, ReLU and perhaps pooling.

    Attributes:
      features: of the convolution.
      kernel_size: its height and width.
      pool: whether 2x2 max pooling follows.
    """

    features: int
    kernel_size: int
    pool: bool


def is_valid(text: str) -> bool:
    """Whether `parse` takes it."""
    words = text.split()
    pools = words.count("pool")
    convs = len(words) - pools
    return bool(_WHOLE.fullmatch(text)) and convs <= MAX_CONVS and pools <= MAX_POOLS


def parse(text: str) -> list[Block]:
    """The blocks that a line names, in their order.

    Raises:
      ValueError: it is none.
    """
    if not is_valid(text):
        raise ValueError(f"{text!r} is no architecture; {DEFAULT!r} is one")
    blocks: list[Block] = []
    for word in text.split():
        if word == "pool":
            blocks[-1] = blocks[-1]._replace(pool=True)
        else:
            features, _, size = word.partition("k")
            blocks.append(Block(int(features), int(size or 3), pool=False))
    return blocks
