"""Writes the trained network of a run as one file that other programs can use.

Examples:
  python -m mnist_flax.export --workdir runs/first --format onnx --output digits.onnx
  python -m mnist_flax.export --workdir runs/first --format torch --output net.pt

Formats, and what each needs beside this package:
  safetensors  the weights, by their names here; also for --weights of other commands
  torch        the weights as a state_dict for the PyTorch original; needs torch
  stablehlo    a program for jax.export.deserialize, on CPU, CUDA and TPU; needs flatbuffers
  onnx         a program for ONNX Runtime, in the browser too; needs onnx and onnxruntime
  onnx-float32 the same for runtimes without uint8, such as ncnn; needs the same
Install what is needed with pip install torch, or pip install 'mnist_flax[export]' for the last
three; in a clone, pip install '.[export]'. To read stablehlo, flatbuffers is needed as well.

The programs take images, uint8[N,28,28] for any N from 0, a white digit (255) on black (0), and
give logits, float32[N,10]; normalization is inside. That of onnx-float32 takes the same
numbers, 0 to 255, as float32[N,1,28,28]. All files are for float32, also where the run computed
in bfloat16.

Before the file is written, it is read back, and its logits on all 10,000 test images are
compared with JAX's. They may differ by
  1e-5 from JAX's in float64: stablehlo, onnx, onnx-float32
  1e-4 from JAX's in float32: torch
  0 from JAX's in float32: safetensors
and by more, in proportion, where logits are larger than 25. The command prints the differences.

The network is that of the run's latest epoch, finished or not.
Exit status: 0 if the file was written, 2 for bad input, 130 for Ctrl-C, 1 for any other
failure, such as a file that answers differently. Unless it is 0, nothing is written.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mnist_flax.cli import arguments, exit_status
from mnist_flax.errors import TrainingError, UserError
from mnist_flax.export.formats import FORMATS, check_available
from mnist_flax.export.network import Network, Program
from mnist_flax.runs import files
from mnist_flax.system import progress

if TYPE_CHECKING:
    from mnist_flax.trained.loading import Trained

# Of the description in a file and of its arrays: it rises when their meaning changes.
FORMAT_VERSION = 1

# No file is larger.
_MAX_BYTES = 2**20
# Where a logit is larger than this, float32 rounds it more coarsely, and more is allowed.
_LARGE_LOGIT = 25


def main(argv: Sequence[str]) -> int:
    """Runs the command with the arguments `argv`; returns its exit status."""
    return exit_status.run(argv, __doc__, _add_flags, _run)


def _run(args: argparse.Namespace) -> None:
    for name in ("workdir", "format", "output"):
        if not getattr(args, name):
            raise UserError(f"--{name} is missing (--help has examples)")
    # `export` checks this, too, but after the import of JAX, which takes a second.
    _check(args.format, args.output)
    from mnist_flax.cli import jax_setup
    from mnist_flax.trained import loading

    # What is exported is compared with the CPU, which JAX_PLATFORMS=cuda would leave out.
    jax_setup.prepare(also_cpu=True)
    trained = loading.load(args.workdir, args.data_dir)
    lines = export(trained, args.format, args.output)
    print(f"Network: {args.workdir} after epoch {trained.epoch} of {trained.config.num_epochs}")
    print(*lines, sep="\n")


def export(trained: "Trained", format: str, output: str | Path) -> list[str]:
    """Writes a trained network as a file, after comparing its answers with JAX's.

    They are compared on all test images of the dataset that the network was trained on.

    Args:
      trained: the network, from a run or from a file of weights.
      format: 'safetensors', 'torch', 'stablehlo', 'onnx' or 'onnx-float32'.
      output: the file to write. It must not exist, and its folder must.

    Returns:
      Lines about the file: its size, what reads it, the network's accuracy, how far its logits
      are from JAX's.

    Raises:
      UserError: the file cannot be made, a library that the format needs is missing, or the
        network's logits are not finite.
      TrainingError: the file's logits are too far from JAX's; it is not written.
      WriteError: the file cannot be written after all.
    """
    output = Path(output)
    _check(format, output)
    from mnist_flax import input_pipeline
    from mnist_flax.export import reference

    config = trained.config
    split = input_pipeline.load("test", trained.data_dir, config.dataset)
    expected = reference.logits(trained, split.images)
    accuracy = float((expected["float32"].argmax(1) == split.labels).mean())
    description = _describe(trained, accuracy)
    network = Network(trained.variables, config.model.architecture, description)
    with progress.shown(f"Making the {format} file, and checking its answers"):
        data, program = FORMATS[format].encode(network)
        comparison = _compare(format, program, split.images, expected)
    files.replace(output, data)
    return [
        f"File: {output}, {format}, {len(data):,} bytes",
        f"Read by: {FORMATS[format].read_by}",
        f"Accuracy: {accuracy:.2%} of the test images",
        f"Checked: {comparison}",
    ]


def _check(format: str, output: Path) -> None:
    """Raises UserError if a file of this format cannot be made at `output`."""
    files.check_new_file("--output", output, _MAX_BYTES)
    check_available(format)


def _compare(
    format: str, program: Program, images: np.ndarray, expected: Mapping[str, np.ndarray]
) -> str:
    """Compares a program's logits with JAX's, and says by how much they differ.

    Raises:
      TrainingError: they differ by more than the format's tolerance.
    """
    import jax

    from mnist_flax import inference

    # A GPU or TPU rounds the factors of JAX's products to fewer bits unless it is asked not to.
    with jax.default_matmul_precision("highest"):
        found = inference.in_batches(program, images)
    differences = {dtype: np.abs(found - x).max() for dtype, x in expected.items()}
    reference, tolerance = FORMATS[format].reference, FORMATS[format].tolerance
    allowed = tolerance * max(1, np.abs(expected[reference]).max() / _LARGE_LOGIT)
    comparison = (
        f"its logits on {len(images):,} test images differ from JAX's by at most "
        f"{differences['float32']:.1e} in float32, {differences['float64']:.1e} in float64 "
        f"(allowed in {reference}: {allowed:.1e}), its digits in "
        f"{(found.argmax(1) != expected['float32'].argmax(1)).sum()} cases"
    )
    # Not `>`, which is False for NaN.
    if not differences[reference] <= allowed:
        raise TrainingError(f"the {format} file is wrong: {comparison}; nothing was written")
    return comparison


def _describe(trained: "Trained", accuracy: float) -> str:
    """Makes the JSON text that a file carries, where its format has a place for one.

    It is one text: safetensors writes several in an order that changes from file to file.
    """
    description = {
        "format_version": FORMAT_VERSION,
        "epoch": trained.epoch,
        "test_accuracy": round(accuracy, 6),
        "config": trained.config.to_dict(),
    }
    return json.dumps(description, sort_keys=True)


def _add_flags(parser: arguments.Parser) -> None:
    parser.add_path("--workdir", "folder of the run")
    parser.add_data_dir()
    parser.add_argument("--format", choices=list(FORMATS), help="format of the file")
    parser.add_path("--output", "the file to write; it must not exist")
