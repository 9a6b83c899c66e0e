"""The network: the assignment's, or one of its kind."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from mnist_flax import architecture as architecture_lib
from mnist_flax.ops import layers


def torch_uniform(fan_in: int) -> Callable[..., jax.Array]:
    """PyTorch's default for weights and biases: uniform within 1/sqrt(fan_in) of 0."""

    def init(key: jax.Array, shape: Any, dtype: Any = jnp.float32) -> jax.Array:
        bound = fan_in**-0.5
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


class Conv(nn.Module):
    """Convolution with stride 1 and 'SAME' padding, its bias beside it for batch norm to add.

    In training batch norm takes any constant away again: adding the bias would cost a pass over
    the largest arrays of the network and change nothing but the running mean.
    """

    features: int
    kernel_size: int = 3

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """float[I,H,W,N] to float[features,H,W,N] without the bias, and the bias."""
        shape = (self.kernel_size, self.kernel_size, x.shape[0], self.features)
        init = torch_uniform(shape[0] * shape[1] * shape[2])
        kernel = self.param("kernel", init, shape)
        bias = self.param("bias", init, (self.features,))
        return layers.conv(x, kernel), bias


class BatchNormReluPool(nn.Module):
    """Batch norm, ReLU and, if `pool`, 2x2 max pooling; running statistics are PyTorch's.

    Attributes:
      pool: whether to pool.
      momentum: share of the running statistics that a training step keeps; PyTorch's momentum
        0.1 is 0.9 here.
    """

    pool: bool = False
    momentum: float = 0.9

    @nn.compact
    def __call__(self, y: jax.Array, shift: jax.Array, *, train: bool) -> jax.Array:
        """Normalizes y + shift.

        Args:
          y: float[C,H,W,N]; H and W even if pool.
          shift: float[C]. Its gradient in training is exactly zero.
          train: whether to use the batch's statistics and update the running ones.

        Returns:
          float[C,H,W,N], or [C,H/2,W/2,N] if pool.
        """
        features = (y.shape[0],)
        scale = self.param("scale", nn.initializers.ones, features)
        bias = self.param("bias", nn.initializers.zeros, features)
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, features)
        running_var = self.variable("batch_stats", "var", jnp.ones, features)
        if not train:
            factor = scale * jax.lax.rsqrt(running_var.value + layers.EPSILON)
            offset = bias + (shift - running_mean.value) * factor
            z = y * factor.reshape(-1, 1, 1, 1) + offset.reshape(-1, 1, 1, 1)
            z = z.astype(y.dtype)
            return nn.relu(layers.max_pool(z) if self.pool else z)
        out, mean, var = layers.batch_norm_relu(y, scale, bias, self.pool)
        if not self.is_initializing():
            # Normalization uses the biased variance, the running one is unbiased: torch's rule.
            count = y.size // y.shape[0]
            new = 1 - self.momentum
            running_mean.value += new * (mean + shift - running_mean.value)
            running_var.value += new * (var * (count / (count - 1)) - running_var.value)
        return out


class ConvNet(nn.Module):
    """Convolutions, each with batch norm and ReLU, and poolings; the mean; a linear layer.

    By default the layers are the assignment's, under the assignment's names: conv1 to conv6,
    bn1 to bn6, fc. A convolution that is used again has the number of its first use. In
    training, apply it with mutable=['batch_stats'] and rngs={'dropout': key}.

    Attributes:
      dropout_rate: share of activations set to zero, in [0, 1).
      dtype: type of the activations and of the factors of every product; None for that of the
        images. Parameters, sums, the statistics of batch norm and the logits are float32 at
        least.
      architecture: the layers, see the room of that name.
    """

    dropout_rate: float = 0.05
    dtype: Any = None
    architecture: str = architecture_lib.DEFAULT

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Logits of a batch of images.

        Args:
          x: float32[N,28,28,1], normalized.
          train: whether batch norm uses the batch's statistics and dropout is on.

        Returns:
          float32[N,10].
        """

        def drop(x: jax.Array) -> jax.Array:
            if not train or not self.dropout_rate:
                return x
            with jax.named_scope("dropout"):
                return layers.dropout(self.make_rng("dropout"), x, self.dropout_rate)

        blocks = architecture_lib.parse(self.architecture)
        # See layers for why the batch comes last.
        x = jnp.asarray(x, self.dtype).transpose(3, 1, 2, 0)
        convs: dict[int, Conv] = {}
        for i, (features, kernel_size, pool, kernel) in enumerate(blocks, 1):
            if kernel == i:
                convs[i] = Conv(features, kernel_size, name=f"conv{i}")
            y, bias = convs[kernel](x)
            x = BatchNormReluPool(pool, name=f"bn{i}")(y, bias, train=train)
            if pool or i == len(blocks):
                x = drop(x)
        x = x.mean((1, 2), dtype=jnp.promote_types(x.dtype, jnp.float32)).T
        init = torch_uniform(x.shape[-1])
        return nn.Dense(10, kernel_init=init, bias_init=init, name="fc")(x)


def count_params(params: Any) -> int:
    """Number of scalars in a parameter tree."""
    return sum(x.size for x in jax.tree.leaves(params))
