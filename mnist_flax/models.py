"""The assignment's network."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp


def torch_uniform(fan_in: int) -> jax.nn.initializers.Initializer:
    """PyTorch's default for Conv2d and Linear, weight and bias: U(-1/sqrt(fan_in), 1/sqrt(fan_in))."""

    def init(key: jax.Array, shape: Any, dtype: Any = jnp.float32) -> jax.Array:
        bound = fan_in**-0.5
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


class ConvNet(nn.Module):
    """conv/BN/ReLU x 6 with two poolings, global average pooling and a linear layer."""

    dropout_rate: float = 0.05

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """float32[N,28,28,1] normalized images to float32[N,10] logits."""

        def block(x: jax.Array, i: int, features: int, size: int = 3) -> jax.Array:
            init = torch_uniform(size * size * x.shape[-1])
            x = nn.Conv(features, (size, size), kernel_init=init, bias_init=init, name=f"conv{i}")(x)
            x = nn.BatchNorm(not train, momentum=0.9, epsilon=1e-5, name=f"bn{i}")(x)
            return nn.relu(x)

        def pool_drop(x: jax.Array) -> jax.Array:
            return nn.Dropout(self.dropout_rate, deterministic=not train)(nn.max_pool(x, (2, 2), (2, 2)))

        x = pool_drop(block(block(x, 1, 8), 2, 16))
        x = pool_drop(block(block(x, 3, 16), 4, 32))
        x = block(block(x, 5, 32), 6, 32, size=1)
        x = nn.Dropout(self.dropout_rate, deterministic=not train)(x).mean((1, 2))
        init = torch_uniform(32)
        return nn.Dense(10, kernel_init=init, bias_init=init, name="fc")(x)


def count_params(params: Any) -> int:
    """Number of scalars in a parameter tree."""
    return sum(x.size for x in jax.tree.leaves(params))
