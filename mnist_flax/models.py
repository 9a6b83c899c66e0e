"""Defines the network that is trained: the assignment's, or another of its kind.

`plain.Net` is the same network in stock Linen: read that first. This one is faster (see
`ops.layers`) and takes its layers from a line of text (see `architecture`).
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from mnist_flax import architecture as architecture_lib
from mnist_flax.ops import convolution, layers


def torch_uniform(fan_in: int) -> Callable[..., jax.Array]:
    """Makes PyTorch's default initializer: uniform within 1/sqrt(fan_in) of 0."""

    def init(key: jax.Array, shape: Any, dtype: Any = jnp.float32) -> jax.Array:
        bound = fan_in**-0.5
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


class Conv(nn.Module):
    """Convolution with stride 1 and 'SAME' padding, which leaves its bias to batch norm.

    In training, batch norm subtracts any constant again. Adding the bias would cost a pass over
    the largest arrays of the network, and change only the running mean.

    Attributes:
      features: number of features.
      kernel_size: height and width of the kernel, odd.
    """

    features: int
    kernel_size: int = 3

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Convolves, without adding the bias.

        Args:
          x: float[I,H,W,N].

        Returns:
          float[features,H,W,N]; the bias, float32[features].
        """
        shape = (self.kernel_size, self.kernel_size, x.shape[0], self.features)
        init = torch_uniform(shape[0] * shape[1] * shape[2])
        kernel = self.param("kernel", init, shape)
        bias = self.param("bias", init, (self.features,))
        return convolution.conv(x, kernel), bias


class BatchNormRelu(nn.Module):
    """Batch norm, ReLU and, if `pool`, 2x2 max pooling, which share one gradient.

    The running statistics follow PyTorch's rule: the variance among them is unbiased.

    Attributes:
      pool: whether to pool.
      momentum: share of the running statistics that a training step keeps, 0 to 1; PyTorch's
        momentum of 0.1 is 0.9 here.
    """

    pool: bool = False
    momentum: float = 0.9

    @nn.compact
    def __call__(self, y: jax.Array, shift: jax.Array, *, train: bool) -> jax.Array:
        """Normalizes y + shift.

        Args:
          y: float[C,H,W,N]; H and W even if `pool`.
          shift: float[C], the bias of the convolution. In training its gradient is exactly 0.
          train: whether to use the batch's statistics and update the running ones.

        Returns:
          float[C,H,W,N], or [C,H/2,W/2,N] if `pool`.
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
            # PyTorch's rule: the biased variance normalizes, the running one is unbiased.
            count = y.size // y.shape[0]
            new = 1 - self.momentum
            running_mean.value += new * (mean + shift - running_mean.value)
            running_var.value += new * (var * (count / (count - 1)) - running_var.value)
        return out


class ConvNet(nn.Module):
    """Convolutions with batch norm, ReLU and pooling; the mean; a linear layer.

    The default is the assignment's network, with the assignment's names: conv1 to conv6, bn1 to
    bn6, fc. A convolution that is used again keeps the number of its first use. To train it,
    call `apply` with `mutable=["batch_stats"]` and `rngs={"dropout": key}`.

    Attributes:
      dropout_rate: share of activations set to zero, in [0, 1).
      dtype: type of the activations and of the factors of every product; None: that of the
        images. Parameters, sums, the statistics of batch norm and the logits are at least
        float32.
      architecture: the layers, such as '8 16 pool 16'; see the module `architecture`.
    """

    dropout_rate: float = 0.05
    dtype: Any = None
    architecture: str = architecture_lib.DEFAULT

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Computes the logits of a batch of images.

        Args:
          x: float[N,28,28,1], normalized; see `augment.normalize`.
          train: whether batch norm uses the batch's statistics and dropout is on.

        Returns:
          float32[N,10].

        Raises:
          TypeError: the images are not floats, or `architecture` is not a string.
          ValueError: the images have another shape, or `architecture` is malformed.
        """
        _check_images(x)

        def drop(x: jax.Array) -> jax.Array:
            if not train or not self.dropout_rate:
                return x
            with jax.named_scope("dropout"):
                return layers.dropout(self.make_rng("dropout"), x, self.dropout_rate)

        blocks = architecture_lib.parse(self.architecture)
        # The batch comes last; ops.layers says why.
        x = jnp.asarray(x, self.dtype).transpose(3, 1, 2, 0)
        convs: dict[int, Conv] = {}
        for i, (features, kernel_size, pool, kernel) in enumerate(blocks, 1):
            if kernel == i:
                convs[i] = Conv(features, kernel_size, name=f"conv{i}")
            y, bias = convs[kernel](x)
            x = BatchNormRelu(pool, name=f"bn{i}")(y, bias, train=train)
            if pool or i == len(blocks):
                x = drop(x)
        x = x.mean((1, 2), dtype=jnp.promote_types(x.dtype, jnp.float32)).T
        init = torch_uniform(x.shape[-1])
        return nn.Dense(10, kernel_init=init, bias_init=init, name="fc")(x)


def count_params(params: Any) -> int:
    """Counts the numbers in a tree of parameters.

    Args:
      params: a tree of arrays, such as `variables["params"]`.
    """
    return sum(x.size for x in jax.tree.leaves(params))


def _check_images(x: jax.Array) -> None:
    """Raises TypeError or ValueError, at trace time, unless x is float[N,28,28,1]."""
    needed = "float32[N,28,28,1], as augment.normalize(images) makes of uint8[N,28,28]"
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(f"the images have type {x.dtype}; ConvNet needs {needed}")
    if x.ndim != 4 or x.shape[1:] != (28, 28, 1):
        raise ValueError(f"the images have shape {x.shape}; ConvNet needs {needed}")
