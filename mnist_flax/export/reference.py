"""What a network answers, for the files of an export to be compared with."""

import jax
import jax.numpy as jnp
import numpy as np

from mnist_flax import augment, inference, models
from mnist_flax.trained import loading


def logits(run: loading.Trained, images: np.ndarray) -> dict[str, np.ndarray]:
    """The answers of JAX, by the type it computes in.

    Args:
      run: a network, whatever type it was trained in.
      images: uint8[N,28,28].

    Returns:
      'float32': float32[N,10], what every command answers with on a device that does not round
        the factors of a product to fewer bits.
      'float64': float64[N,10], the same network without rounding to speak of. Two programs that
        both compute in float32 are each closer to this than to one another.
    """
    config = type(run.config)(run.config.to_dict())
    config.model.dtype = "float32"
    in_float32 = run._replace(config=config)
    # A GPU or TPU rounds the factors of JAX's products to fewer bits unless it is asked not to.
    with jax.default_matmul_precision("highest"):
        rounded = loading.logits(in_float32, images)
    # A TPU has no float64.
    with jax.default_device(jax.devices("cpu")[0]), jax.enable_x64(True):
        model = models.ConvNet(dtype=jnp.float64, architecture=config.model.architecture)
        variables = jax.tree.map(lambda x: np.asarray(x, np.float64), run.variables)

        @jax.jit
        def apply(batch: jax.Array) -> jax.Array:
            return jnp.asarray(model.apply(variables, augment.normalize(batch), train=False))

        return {"float32": rounded, "float64": inference.in_batches(apply, images)}
