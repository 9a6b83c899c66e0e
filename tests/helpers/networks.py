"""Makes the weights of a network before training, and applies it, in one program each.

Outside of jit each operation is compiled alone: ten seconds for the default network.
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp


@functools.partial(jax.jit, static_argnums=0)
def init(model: nn.Module, seed: int = 0) -> Any:
    """Returns its variables."""
    return model.init(jax.random.key(seed), jnp.zeros((1, 28, 28, 1)), train=False)


# As `model.apply`, with a model that has the arguments of its constructor as its only state.
apply = jax.jit(
    lambda model, variables, images, **options: model.apply(variables, images, **options),
    static_argnums=0,
    static_argnames=("train", "mutable"),
)
