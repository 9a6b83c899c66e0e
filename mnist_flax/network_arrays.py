"""Lists the arrays that a network has, and checks arrays that come from outside."""

from collections.abc import Collection, Mapping
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from mnist_flax.errors import UserError
from mnist_flax.models import ConvNet


@cache
def shapes(architecture: str) -> dict[str, tuple[int, ...]]:
    """Lists the shapes of a network's arrays; nothing is computed for it.

    Args:
      architecture: the network's.

    Returns:
      The shape of each array by its path, such as (3, 3, 1, 8) for 'params/conv1/kernel' and
      (8,) for 'batch_stats/bn1/mean'. It is cached: do not change it.
    """
    images = jax.ShapeDtypeStruct((1, 28, 28, 1), jnp.float32)
    init = partial(ConvNet(architecture=architecture).init, train=False)
    tree = jax.eval_shape(init, jax.random.key(0), images)
    return {name: x.shape for name, x in traverse_util.flatten_dict(tree, sep="/").items()}


def check(
    what: str,
    found: Mapping[str, Any],
    expected: Mapping[str, tuple[int, ...]],
    integers: Collection[str] = (),
) -> dict[str, np.ndarray]:
    """Checks that exactly the expected arrays are there, and that they hold finite numbers.

    Args:
      what: what holds the arrays, such as 'state_dict'; errors begin with it.
      found: by name, anything that `np.asarray` takes: tensors on the CPU, too.
      expected: shapes by name.
      integers: the names of arrays of integers; all others are of a float type.

    Returns:
      The arrays in the order of `expected`, as float32 copies; integers as they are.

    Raises:
      UserError: an array is missing, has another shape or type, or holds a value that is not
        finite in float32; or there is one more. The message names the first such array.
    """
    extra = next((name for name in found if name not in expected), None)
    arrays = {}
    try:
        for name, shape in expected.items():
            if name not in found:
                other = "" if extra is None else f"; it has {extra!r} instead"
                raise ValueError(f"{name!r} of shape {list(shape)} is missing{other}")
            arrays[name] = _array(name, found[name], shape, name in integers)
        if extra is not None:
            raise ValueError(f"{extra!r} is no entry of this network")
    except ValueError as error:
        why = " ".join(str(error).split())
        raise UserError(f"{what}: {why}; give all weights of the network, no others") from error
    return arrays


def _array(name: str, value: Any, shape: tuple[int, ...], is_integer: bool) -> np.ndarray:
    """Reads one array; raises ValueError if it is not as expected."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name!r} cannot be read as an array: {error}") from error
    if array.shape != shape:
        raise ValueError(f"{name!r} has shape {list(array.shape)}, expected {list(shape)}")
    # jnp's issubdtype: NumPy's does not know bfloat16.
    if not jnp.issubdtype(array.dtype, jnp.integer if is_integer else jnp.floating):
        expected = "an integer" if is_integer else "float32"
        raise ValueError(f"{name!r} has type {array.dtype}, expected {expected}")
    if is_integer:
        return array
    with np.errstate(over="ignore"):  # What float32 cannot hold becomes infinite.
        array = array.astype(np.float32)
    if not np.isfinite(array).all():
        raise ValueError(f"{name!r} holds a value that is not finite in float32")
    return array
