"""Chooses the options of XLA on CPU. docs/SPEED.md has the measurements.

XLA may drop such an option in any version; one that this version does not know is left out. A
GPU or a TPU gets none.
"""

import functools

import jax

Options = dict[str, str | bool]

# For float32: matrix products by Eigen, sums by YNNPACK. By default YNNPACK computes both; for
# products of kernel gradients, long sums with few results, it takes twice as long. Products of
# bfloat16 are YNNPACK's alone: only it uses the CPU's units for them.
_FAST: Options = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE"}
# Half the time to compile.
_SOON: Options = {"xla_backend_optimization_level": "1", "xla_cpu_use_fusion_emitters": False}


def for_loops(dtype: str = "float32") -> Options:
    """Returns the options for a program in which a run spends its time.

    Args:
      dtype: the type of the factors of its products, 'float32' or 'bfloat16'.
    """
    return {} if dtype == "bfloat16" else _known(_FAST)


def for_once(dtype: str = "float32") -> Options:
    """Returns the options for a program that runs once an epoch or less: it compiles soon.

    Args:
      dtype: as for `for_loops`.
    """
    return for_loops(dtype) | _known(_SOON)


def _known(options: Options) -> Options:
    if jax.default_backend() != "cpu":
        return {}
    return {name: value for name, value in options.items() if _is_known(name, value)}


@functools.cache
def _is_known(name: str, value: str | bool) -> bool:
    try:
        jax.jit(lambda: 0).lower().compile(compiler_options={name: value})
    except jax.errors.JaxRuntimeError:
        return False
    return True
