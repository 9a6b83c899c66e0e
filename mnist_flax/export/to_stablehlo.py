"""A network as a program of StableHLO, which `jax.export.deserialize` reads.

From uint8[N,28,28], 0 (background) to 255, to logits float32[N,10], for any N; on CPU, CUDA and
TPU. Nothing of this package is needed. JAX promises to read it for half a year, see
https://docs.jax.dev/en/latest/export/export.html#compatibility-guarantees.
"""

from collections.abc import Callable

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

from mnist_flax import augment, models
from mnist_flax.trained import loading

PLATFORMS = ("cpu", "cuda", "tpu")


def encode(run: loading.Trained, description: str) -> bytes:
    """The file.

    Args:
      run: the network.
      description: left out; the format has no place for it.
    """

    model = models.ConvNet(architecture=run.config.model.architecture)

    def logits(images: jax.Array) -> jax.Array:
        pixels = augment.normalize(images)
        return jnp.asarray(model.apply(run.variables, pixels, train=False))

    images = jax.ShapeDtypeStruct(jax.export.symbolic_shape("n, 28, 28"), jnp.uint8)
    # A TPU would round the factors of a product to bfloat16, and a GPU to TF32.
    with jax.default_matmul_precision("highest"):
        return bytes(
            jax.export.export(jax.jit(logits), platforms=PLATFORMS)(images).serialize()
        )


def read(data: bytes, layers: str) -> Callable[[np.ndarray], jax.Array]:
    """From uint8[N,28,28] to float32[N,10], by JAX on the device that is here.

    Args:
      data: the file.
      layers: left out; the file says it all.
    """
    return jax.jit(jax.export.deserialize(bytearray(data)).call)
