"""Shows what a device that rounds the factors of products does to a trained network's answers.

    python benchmarks/precision.py tests/fixtures/trained.safetensors

By default a TPU rounds the factors of a float32 product to bfloat16, and a GPU that has it to
TF32; sums stay float32. This rounds them in the same way on a CPU, in each convolution and in
the linear layer, and compares the logits of the 10,000 test images with those of float32. It is
an imitation: nothing runs on a GPU or TPU.
"""

import argparse
from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import lax

from mnist_flax import architecture, augment, inference, input_pipeline
from mnist_flax.cli import jax_setup
from mnist_flax.ops import layers
from mnist_flax.trained import weights

# Bits of the fraction; all have float32's eight bits of the exponent.
FORMATS = {"float32": 23, "TF32 (GPU)": 10, "bfloat16 (TPU)": 7}


def logits(
    variables: Mapping[str, Any], layout: str, bits: int, images: jax.Array
) -> jax.Array:
    """Computes logits, float32[N,10], with products whose factors are rounded.

    Args:
      variables: {'params': ..., 'batch_stats': ...}, of `ConvNet`.
      layout: the network's architecture.
      bits: of the fraction of a factor.
      images: uint8[N,28,28].
    """

    def rounded(x: jax.Array) -> jax.Array:
        return lax.reduce_precision(x, exponent_bits=8, mantissa_bits=bits)

    params, stats = variables["params"], variables["batch_stats"]
    x = augment.normalize(images)
    for number, block in enumerate(architecture.parse(layout), 1):
        conv, norm = params[f"conv{block.kernel}"], params[f"bn{number}"]
        running = stats[f"bn{number}"]
        factors = rounded(x), rounded(conv["kernel"])
        axes = ("NHWC", "HWIO", "NHWC")
        y = lax.conv_general_dilated(*factors, (1, 1), "SAME", dimension_numbers=axes)
        scale = norm["scale"] * lax.rsqrt(running["var"] + layers.EPSILON)
        y = (y + (conv["bias"] - running["mean"])[None, None, None]) * scale[None, None, None]
        x = jax.nn.relu(y + norm["bias"][None, None, None])
        if block.pool:
            n, height, width, features = x.shape
            x = x.reshape(n, height // 2, 2, width // 2, 2, features).max((2, 4))
    fc = params["fc"]
    return rounded(x.mean((1, 2))) @ rounded(fc["kernel"]) + fc["bias"][None]


def main(path: str, split: str = "test") -> None:
    """Prints a line for each format: accuracy, largest difference, and changed digits."""
    jax_setup.prepare()
    trained, data = weights.read(path), input_pipeline.load(split)
    exact: np.ndarray | None = None
    print(f"{data.images.shape[0]:,} images: factors, accuracy, difference of logits, digits")
    for name, bits in FORMATS.items():
        program = jax.jit(partial(logits, trained.variables, trained.architecture, bits))
        found = inference.in_batches(program, data.images)
        exact = found if exact is None else exact
        accuracy = (found.argmax(1) == data.labels).mean()
        changed = (found.argmax(1) != exact.argmax(1)).sum()
        print(f"{name}: {accuracy:.2%}, {np.abs(found - exact).max():.1e}, {changed} changed")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", help="a .safetensors file of weights")
    main(parser.parse_args().weights)
