"""Many devices: each batch, and each split, is shared out among them; all else is on each.

The network and the training step are written as for one device. Compiled for arrays that lie on
several, XLA adds up what has to be added up: batch norm sees the whole batch, and the gradients
are the whole batch's. Two places know that there may be several devices, as XLA alone would
send far more than is needed: `sum_over_batch` and `take`.

With one device nothing is shared out, and no program is other than it would be without this.
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
    """A split on the devices, a share of the images on each.

    Attributes:
      images: uint8[M,28,28], M the size rounded up to a multiple of the number of devices.
      labels: int32[M].
      size: number of images that are the split's; what comes after them is never used.
    """

    images: jax.Array
    labels: jax.Array
    size: int = struct.field(pytree_node=False)

    @property
    def mesh(self) -> Mesh:
        """The devices."""
        sharding = self.images.sharding
        assert isinstance(sharding, NamedSharding)
        assert isinstance(sharding.mesh, Mesh)
        return sharding.mesh


def make_mesh() -> Mesh:
    """All devices of all processes, in a row."""
    # Flax's Linen does not know Explicit axes, which are the default.
    return jax.make_mesh((jax.device_count(),), (AXIS,), axis_types=(AxisType.Auto,))


def everywhere(mesh: Mesh) -> NamedSharding:
    """How an array lies that is whole on every device."""
    return NamedSharding(mesh, P())


def replicate(tree: Any, mesh: Mesh) -> Any:
    """Puts arrays, of which every process has the same, on every device.

    Copies: a program may take them over.
    """

    def put(x: Any) -> jax.Array:
        if jnp.issubdtype(jnp.result_type(x), jax.dtypes.prng_key):
            return jax.random.wrap_key_data(put(jax.random.key_data(x)))
        if isinstance(x, np.ndarray):
            # On a CPU device_put keeps aligned memory of NumPy's, whatever may_alias says.
            x = x.copy()
        # Device by device, as device_put would first ask the other processes what they have.
        parts = [jax.device_put(x, d, may_alias=False) for d in mesh.local_devices]
        return jax.make_array_from_single_device_arrays(np.shape(x), everywhere(mesh), parts)

    return jax.tree.map(put, tree)


def share_out(read: Callable[[int, int], Any], size: int, mesh: Mesh) -> DeviceSplit:
    """Puts a split on the devices; each process reads only what goes to its own.

    Args:
      read: of begin and end, 0 <= begin < end <= size, gives images uint8[end-begin,28,28] and
        labels int32[end-begin].
      size: number of images of the split.
      mesh: from `make_mesh`.
    """
    rows = -(-size // mesh.size) * mesh.size
    shares = NamedSharding(mesh, P(AXIS))
    parts = shares.addressable_devices_indices_map((rows,)).values()
    bounds = [index[0].indices(rows)[:2] for index in parts if index]
    begin, end = min(low for low, _ in bounds), max(high for _, high in bounds)
    # What fills up the last share has label 0 and is black.
    begin = min(begin, size - 1)
    own = [np.asarray(x) for x in read(begin, min(end, size))]
    own = [np.pad(x, [(0, end - begin - len(x))] + [(0, 0)] * (x.ndim - 1)) for x in own]

    def put(x: np.ndarray) -> jax.Array:
        def part(index: Any) -> np.ndarray:
            low, high, _ = index[0].indices(rows)
            return x[low - begin : high - begin]

        return jax.make_array_from_callback((rows, *x.shape[1:]), shares, part)

    images, labels = map(put, own)
    return DeviceSplit(images, labels, size)


def take(split: DeviceSplit, indices: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Images and labels of a batch, from whichever devices they are on.

    Args:
      split: on the devices of the mesh that is set, if one is.
      indices: int[N], N a multiple of the number of devices.

    Returns:
      uint8[N,28,28] and int32[N], shared out.
    """
    if num_devices() == 1:
        return split.images[indices], split.labels[indices]

    def local(x: jax.Array, indices: jax.Array) -> jax.Array:
        index = indices - lax.axis_index(AXIS) * len(x)
        mine = ((index >= 0) & (index < len(x))).reshape(-1, *[1] * (x.ndim - 1))
        found = jnp.where(mine, jnp.take(x, index, axis=0, mode="clip"), 0)
        # An image is found on one device; on the others it is zero.
        return lax.psum_scatter(found, AXIS, tiled=True)

    pick = jax.shard_map(local, in_specs=(P(AXIS), P()), out_specs=P(AXIS))
    return pick(split.images, indices), pick(split.labels, indices)


def sum_over_batch(f: Callable[..., jax.Array], *arrays: jax.Array) -> jax.Array:
    """f(*arrays), f being a sum over the batch, which is the last axis of each array.

    On each device f is given the device's own part of the batch. XLA comes to that by itself
    unless f reshapes the batch away, as `layers` has to: then it would send whole activations.
    """
    if num_devices() == 1:
        return f(*arrays)
    specs = tuple(P(*[None] * (x.ndim - 1), AXIS) for x in arrays)

    def local(*arrays: jax.Array) -> jax.Array:
        return lax.psum(f(*arrays), AXIS)

    return jax.shard_map(local, in_specs=specs, out_specs=P())(*arrays)


def num_devices() -> int:
    """Devices of the mesh for which a program is being traced; 1 without a mesh."""
    mesh = jax.sharding.get_abstract_mesh()
    return 1 if mesh.empty else mesh.size


def check_divisible(batch_size: int, num_images: int) -> None:
    """Raises UserError unless each batch of an epoch can be shared out evenly.

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
