"""What XLA is asked for: only what it knows, and only on CPU."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mnist_flax.ops import compiler_options


@pytest.mark.parametrize("options", [compiler_options.for_loops, compiler_options.for_once])
def test_programs_compile_with_them_and_compute_the_same(options):
    def function(x):
        return jnp.tanh(x @ x.T).sum(1)

    x = jax.random.normal(jax.random.key(0), (64, 32))
    actual = jax.jit(function, compiler_options=options())(x)
    np.testing.assert_allclose(actual, jax.jit(function)(x), rtol=1e-5, atol=1e-5)


def test_an_option_that_this_xla_does_not_know_is_left_out(monkeypatch):
    fast = compiler_options.for_loops()
    monkeypatch.setattr(
        compiler_options, "_FAST", {"xla_no_such_option": "1", **compiler_options._FAST}
    )
    assert compiler_options.for_loops() == fast


def test_an_accelerator_takes_none(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert compiler_options.for_loops() == compiler_options.for_once() == {}


def test_products_of_bfloat16_are_left_to_the_default():
    """Given float32's option, XLA computes them in float32 (docs/SPEED.md, bfloat16)."""
    fast = compiler_options.for_loops("float32")
    assert fast
    assert compiler_options.for_loops() == fast
    assert compiler_options.for_loops("bfloat16") == {}
    assert not fast.items() & compiler_options.for_once("bfloat16").items()
    assert fast.items() <= compiler_options.for_once("float32").items()
