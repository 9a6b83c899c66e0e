"""Names what an export takes and gives; every format uses it."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

# From uint8[n,28,28], 0 (background) to 255, to logits float32[n,10], for any n.
Program = Callable[[np.ndarray], Any]


class Network(NamedTuple):
    """What a file is made of; each format takes what it has a place for.

    Attributes:
      variables: {'params': ..., 'batch_stats': ...}, float32.
      architecture: the layers, see `mnist_flax.architecture`.
      description: JSON text: the config of the run, the accuracy.
    """

    variables: Mapping[str, Any]
    architecture: str
    description: str
