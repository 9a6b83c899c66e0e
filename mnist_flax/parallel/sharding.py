"""Shares each batch among the devices; every device holds everything else whole.

That includes the splits: MNIST takes 55 MB, and a device has gigabytes. So each device has
every image that it may need, and no image is sent.

The network and the training step are written as for one device. When the arrays lie on several
devices, XLA inserts the sums across devices: batch norm sees the whole batch, and the gradients
are those of the whole batch. Two functions know of several devices, because XLA alone would
send far more than is needed: `sum_over_batch` and `take`. On one device the compiled programs
are unchanged.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import lax
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from mnist_flax.errors import UserError

AXIS = "batch"


@struct.dataclass
class DeviceSplit:
    """A split that every device holds whole.

    Attributes:
      images: uint8[M,28,28].
      labels: int32[M].
    """

    images: jax.Array
    labels: jax.Array

    @property
    def size(self) -> int:
        """Returns the number of images."""
        return len(self.labels)

    @property
    def mesh(self) -> Mesh:
        """Returns the devices that hold it."""
        sharding = self.images.sharding
        assert isinstance(sharding, NamedSharding)
        assert isinstance(sharding.mesh, Mesh)
        return sharding.mesh


def make_mesh() -> Mesh:
    """Makes a mesh of all devices of all processes, in a row."""
    # Flax's Linen does not know Explicit axes, which are the default.
    return jax.make_mesh((jax.device_count(),), (AXIS,), axis_types=(AxisType.Auto,))


def everywhere(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of an array that every device holds whole."""
    return NamedSharding(mesh, P())


def replicate(tree: Any, mesh: Mesh) -> Any:
    """Puts arrays on every device; every process has the same ones.

    It copies them, so that the results may be donated to a program.
    """

    def put(x: Any) -> jax.Array:
        if jnp.issubdtype(jnp.result_type(x), jax.dtypes.prng_key):
            return jax.random.wrap_key_data(put(jax.random.key_data(x)))
        if isinstance(x, np.ndarray):
            # On a CPU device_put shares aligned memory with NumPy, whatever may_alias says.
            x = x.copy()
        # Device by device: device_put onto all would first compare the processes' values.
        parts = [jax.device_put(x, d, may_alias=False) for d in mesh.local_devices]
        return jax.make_array_from_single_device_arrays(np.shape(x), everywhere(mesh), parts)

    return jax.tree.map(put, tree)


def take(split: DeviceSplit, indices: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Gathers a batch from a split; each device gathers its own part.

    Args:
      split: on every device of the mesh that is set, if one is.
      indices: int[N], N a multiple of the number of devices.

    Returns:
      uint8[N,28,28] and int32[N], each device holding its part.
    """

    def local(split: DeviceSplit, indices: jax.Array) -> tuple[jax.Array, jax.Array]:
        return split.images[indices], split.labels[indices]

    if num_devices() == 1:
        return local(split, indices)
    return jax.shard_map(local, in_specs=(P(), P(AXIS)), out_specs=P(AXIS))(split, indices)


def sum_over_batch(f: Callable[..., jax.Array], *arrays: jax.Array) -> jax.Array:
    """Computes f(*arrays), where f sums over the batch, the last axis of each array.

    Each device applies f to its own part of the batch, and the results are added. XLA alone
    would do the same unless f reshapes the batch axis away, as `layers` has to: then it would
    send whole activations.
    """
    if num_devices() == 1:
        return f(*arrays)
    specs = tuple(P(*[None] * (x.ndim - 1), AXIS) for x in arrays)

    def local(*arrays: jax.Array) -> jax.Array:
        return lax.psum(f(*arrays), AXIS)

    return jax.shard_map(local, in_specs=specs, out_specs=P())(*arrays)


def num_devices() -> int:
    """Counts the devices of the mesh for which a program is traced; 1 without a mesh."""
    mesh = jax.sharding.get_abstract_mesh()
    return 1 if mesh.empty else mesh.size


def check_divisible(batch_size: int, num_images: int) -> None:
    """Raises UserError unless the devices can share each batch of an epoch evenly.

    Args:
      batch_size: config.batch_size.
      num_images: size of the training split; what is left of it is the last batch.
    """
    devices = jax.device_count()
    rest = num_images % batch_size
    if batch_size % devices:
        raise UserError(
            f"config.batch_size is {batch_size}, which {devices} devices cannot share evenly; "
            f"choose a multiple of {devices}"
        )
    if rest % devices:
        raise UserError(
            f"config.batch_size {batch_size} leaves a last batch of {rest} of the "
            f"{num_images} images, which {devices} devices cannot share evenly; choose another "
            "batch_size, or a config.train_split whose size is a multiple of "
            f"{devices}"
        )
