"""Times convolutions with their gradients: XLA's own and convolution.conv, alone and in a loop.

    python benchmarks/gradients.py

Prints the milliseconds of the forward and backward pass of each layer at batch 128, the minimum
of several. docs/SPEED.md shows a result.
"""

import time
from collections.abc import Callable

import jax
from jax import lax

from mnist_flax.ops import compiler_options, convolution

BATCH, STEPS, ROUNDS = 128, 5, 7
# Name, height and width of the image, input channels, features, height and width of the kernel.
LAYERS = [
    ("conv1", 28, 1, 8, 3),
    ("conv2", 28, 8, 16, 3),
    ("conv3", 14, 16, 16, 3),
    ("conv4", 14, 16, 32, 3),
    ("conv5", 7, 32, 32, 3),
    ("conv6", 7, 32, 32, 1),
]

Conv = Callable[[jax.Array, jax.Array], jax.Array]


def xla_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Computes the textbook convolution, with the gradients that JAX derives."""
    dimensions = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=dimensions)


def milliseconds(
    conv: Conv,
    x: jax.Array,
    kernel: jax.Array,
    loop: bool,
    options: compiler_options.Options,
) -> float:
    """Times one forward and backward pass: the minimum of ROUNDS, in milliseconds."""

    def step(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, jax.Array]:
        y, backward = jax.vjp(conv, x, kernel)
        # Like the batch norm that follows in the network: the gradient depends on all of y, so
        # that XLA does not compute y anew in every place that uses it.
        dx, dkernel = backward(y - y.mean())
        # Each pass depends on the one before it, so that XLA cannot leave one out.
        return x + 1e-9 * dx, kernel + 1e-9 * dkernel

    steps = STEPS if loop else 1
    run = jax.jit(
        lambda x, kernel: (
            lax.fori_loop(0, steps, lambda _, c: step(*c), (x, kernel))
            if loop
            else step(x, kernel)
        ),
        compiler_options=options,
    )
    jax.block_until_ready(run(x, kernel))
    times = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        jax.block_until_ready(run(x, kernel))
        times.append((time.perf_counter() - begin) / steps * 1e3)
    return min(times)


def main() -> None:
    """Prints a line for each layer."""
    print(f"{'':7}{'XLA, alone':>12}{'in a loop':>12}{'ours, alone':>14}{'in a loop':>12}")
    for name, size, channels, features, width in LAYERS:
        keys = jax.random.split(jax.random.key(0))
        x = jax.random.normal(keys[0], (BATCH, size, size, channels))
        kernel = 0.1 * jax.random.normal(keys[1], (width, width, channels, features))
        # Each in its own layout; XLA's compiled with JAX's default options, ours as in a run.
        cases: tuple[tuple[Conv, jax.Array, compiler_options.Options], ...] = (
            (xla_conv, x, {}),
            (convolution.conv, x.transpose(3, 1, 2, 0), compiler_options.for_loops()),
        )
        times = [
            milliseconds(conv, images, kernel, loop, options)
            for conv, images, options in cases
            for loop in (False, True)
        ]
        print(f"{name:7}{times[0]:12.1f}{times[1]:12.1f}{times[2]:14.1f}{times[3]:12.1f}")


if __name__ == "__main__":
    main()
