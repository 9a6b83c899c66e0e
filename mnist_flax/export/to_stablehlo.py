"""Writes a network as a StableHLO program, which `jax.export.deserialize` reads.

It takes uint8[N,28,28], 0 (background) to 255, and gives logits, float32[N,10], for any N from
0, on CPU, CUDA and TPU. To run it, JAX and flatbuffers are needed, and nothing of this package.
How long later versions of JAX read it:
https://docs.jax.dev/en/latest/export/export.html#compatibility-guarantees.
"""

import jax
import jax.export
import jax.numpy as jnp

from mnist_flax import augment
from mnist_flax.export.network import Network, Program
from mnist_flax.models import ConvNet

PLATFORMS = ("cpu", "cuda", "tpu")


def encode(network: Network) -> tuple[bytes, Program]:
    """Makes the file; the format has no place for the description."""
    model = ConvNet(architecture=network.architecture)

    @jax.jit
    def logits(images: jax.Array) -> jax.Array:
        pixels = augment.normalize(images)
        return jnp.asarray(model.apply(network.variables, pixels, train=False))

    # JAX takes a variable such as n to be at least 1, and no images are images, too.
    images = jax.ShapeDtypeStruct(jax.export.symbolic_shape("n - 1, 28, 28"), jnp.uint8)
    # By default a TPU rounds the factors of a product to bfloat16, and a GPU to TF32.
    with jax.default_matmul_precision("highest"):
        program = jax.export.export(logits, platforms=PLATFORMS)(images)
    data = bytes(program.serialize())
    return data, read(data)


def read(data: bytes) -> Program:
    """Makes a program of the file's content, for the device that is here."""
    return jax.jit(jax.export.deserialize(bytearray(data)).call)
