"""Makes the weights of a network before training, and applies it, in one program each.

Outside of jit each operation is compiled alone: ten seconds for the default network.
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from mnist_flax.ops import compiler_options


def init(model: nn.Module, seed: int = 0) -> Any:
    """Returns its variables."""
    return _program(model)(jax.random.key(seed))


@functools.cache
def _program(model: nn.Module) -> Any:
    images = jnp.zeros((1, 28, 28, 1))
    return jax.jit(
        lambda key: model.init(key, images, train=False),
        compiler_options=compiler_options.for_once(),
    )


# As `model.apply`; the model is a constant of the program.
apply = jax.jit(
    lambda model, variables, images, **options: model.apply(variables, images, **options),
    static_argnums=0,
    static_argnames=("train", "mutable"),
)
