"""Lists the arrays that a network has, and checks arrays that come from outside."""

from collections.abc import Mapping
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from mnist_flax.errors import UserError
from mnist_flax.models import ConvNet


@cache
def expected(architecture: str) -> dict[str, jax.ShapeDtypeStruct]:
    """Lists the arrays of a network, without computing them.

    Args:
      architecture: the network's.

    Returns:
      Shapes and types by path, such as float32[3,3,1,8] for 'params/conv1/kernel', float32[8]
      for 'batch_stats/bn1/mean'. It is cached: do not change it.
    """
    images = jax.ShapeDtypeStruct((1, 28, 28, 1), jnp.float32)
    init = partial(ConvNet(architecture=architecture).init, train=False)
    return traverse_util.flatten_dict(jax.eval_shape(init, jax.random.key(0), images), sep="/")


def check(
    what: str, found: Mapping[str, Any], expected: Mapping[str, jax.ShapeDtypeStruct]
) -> dict[str, np.ndarray]:
    """Checks that exactly the expected arrays are there, and that all numbers are finite.

    Args:
      what: what holds the arrays, such as 'state_dict'; error messages begin with it.
      found: by name, anything that `np.asarray` takes, tensors on the CPU included.
      expected: shapes and types by name. Any float type is accepted for float32, any integer
        type for int64.

    Returns:
      Copies of the expected types, in the order of `expected`.

    Raises:
      UserError: an array is missing, has another shape or type, or holds a value that is not
        finite in float32; or there is one more. The message names the first.
    """
    extra = next((name for name in found if name not in expected), None)
    arrays = {}
    for name, like in expected.items():
        if name not in found:
            other = "" if extra is None else f"; it has {extra!r} instead"
            raise _unfit(what, f"{name!r} of shape {list(like.shape)} is missing{other}")
        try:
            arrays[name] = _convert(found[name], like)
        except ValueError as error:
            raise _unfit(what, f"{name!r} {error}") from error
    if extra is not None:
        raise _unfit(what, f"{extra!r} is no entry of this network")
    return arrays


def _convert(value: Any, like: jax.ShapeDtypeStruct) -> np.ndarray:
    """Converts one array; raises ValueError if it is not as expected."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"cannot be read as an array: {error}") from error
    if array.shape != like.shape:
        raise ValueError(f"has shape {list(array.shape)}, expected {list(like.shape)}")
    is_float = like.dtype == np.float32
    # jnp's: NumPy's issubdtype does not know bfloat16.
    if not jnp.issubdtype(array.dtype, jnp.floating if is_float else jnp.integer):
        wanted = "float32" if is_float else "an integer"
        raise ValueError(f"has type {array.dtype}, expected {wanted}")
    with np.errstate(over="ignore"):  # What float32 cannot hold becomes infinite.
        array = array.astype(like.dtype)
    if not np.isfinite(array).all():
        raise ValueError("holds a value that is not finite in float32")
    return array


def _unfit(what: str, why: str) -> UserError:
    why = " ".join(why.split())
    return UserError(f"{what}: {why}; give all weights of the network, no others")
