"""Computes the logits that those of an exported file are compared with."""

import jax
import jax.numpy as jnp
import numpy as np

from mnist_flax import augment, inference
from mnist_flax.errors import UserError
from mnist_flax.models import ConvNet
from mnist_flax.system import progress
from mnist_flax.trained import loading


def logits(trained: loading.Trained, images: np.ndarray) -> dict[str, np.ndarray]:
    """Computes a network's logits with JAX, in two types.

    Args:
      trained: the network; the type that it was trained in does not matter.
      images: uint8[N,28,28].

    Returns:
      'float32': float32[N,10], as every command computes them where the device does not round
        the factors of a product to fewer bits.
      'float64': float64[N,10], with rounding errors too small to matter: two programs that both
        compute in float32 are each closer to this than to one another.

    Raises:
      UserError: the logits are not finite, or JAX was started without the CPU.
    """
    config = trained.config.copy_and_resolve_references()
    config.model.dtype = "float32"
    # A GPU or TPU rounds the factors of JAX's products to fewer bits unless it is asked not to.
    with jax.default_matmul_precision("highest"):
        in_float32 = loading.logits(trained._replace(config=config), images)
    with jax.default_device(_cpu()), jax.enable_x64(True):
        model = ConvNet(dtype=jnp.float64, architecture=config.model.architecture)
        variables = jax.tree.map(lambda x: np.asarray(x, np.float64), trained.variables)

        @jax.jit
        def apply(batch: jax.Array) -> jax.Array:
            return jnp.asarray(model.apply(variables, augment.normalize(batch), train=False))

        with progress.shown("Computing them in float64, to compare with"):
            return {"float32": in_float32, "float64": inference.in_batches(apply, images)}


def _cpu() -> jax.Device:
    """Returns the CPU: a TPU has no float64."""
    try:
        return jax.devices("cpu")[0]
    except RuntimeError:
        asked = jax.config.jax_platforms  # type: ignore[attr-defined]
        raise UserError(
            f"an export is compared with JAX on the CPU, and JAX_PLATFORMS={asked} leaves it "
            f"out; set JAX_PLATFORMS={asked},cpu and start again"
        ) from None
