"""That XLA on CPU computes products of bfloat16 as such; docs/SPEED.md says what else costs."""

import re

import jax
import jax.numpy as jnp
import pytest

from mnist_flax.ops import compiler_options, convolution

_RESULT = re.compile(r"(%[\w.-]+) = (\w+)\[")
_DOT = re.compile(r" dot\((%[\w.-]+), (%[\w.-]+)\)")


def factor_types(channels: int, dtype: str, options: compiler_options.Options) -> list[str]:
    """The types of the factors of the products in a convolution and its gradients."""

    def conv(x, kernel, dy):
        y, gradients = jax.vjp(convolution.conv, x, kernel)
        return y, gradients(dy)

    x, dy = (jnp.ones((c, 8, 8, 16), dtype) for c in (channels, 16))
    lowered = jax.jit(conv).lower(x, jnp.ones((3, 3, channels, 16)), dy)
    program = lowered.compile(options).as_text()
    types = dict(_RESULT.findall(program))
    return [types[name] for pair in _DOT.findall(program) for name in pair]


@pytest.mark.parametrize("channels", [1, 8])
def test_no_factor_is_converted_to_float32(channels: int) -> None:
    found = factor_types(channels, "bfloat16", compiler_options.for_loops("bfloat16"))
    assert found == 6 * ["bf16"]


def test_the_option_of_float32_would_convert_them() -> None:
    """Where the XLA of this jax knows the option; it shows that the test above can fail."""
    if not compiler_options.for_loops():
        pytest.skip("this jax has no option for float32 that bfloat16 must do without")
    assert "f32" in factor_types(8, "bfloat16", compiler_options.for_loops())
    assert factor_types(8, "float32", compiler_options.for_loops()) == 6 * ["f32"]
