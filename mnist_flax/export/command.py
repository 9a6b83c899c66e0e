"""Writes the trained network of a run as one file that other programs can use.

Examples:
  python -m mnist_flax.export --workdir runs/first --format onnx --output digits.onnx
  python -m mnist_flax.export --workdir runs/first --format torch --output net.pt

Formats, and what each needs beside this package:
  safetensors  the weights, by their names here; also for --weights of other commands
  torch        the weights as a state_dict for the PyTorch original; needs torch
  stablehlo    a program for jax.export.deserialize, on CPU, CUDA and TPU; needs flatbuffers
  onnx         a program for ONNX Runtime, in the browser too; needs onnx and onnxruntime
Install what is needed with pip install torch, or pip install 'mnist_flax[export]' for the last
two; in a clone, pip install '.[export]'.

Both programs take images, uint8[N,28,28] for any N, a white digit (255) on black (0), and give
logits, float32[N,10]; normalization is inside. All files are for float32, also where the run
computed in bfloat16.

Before the file is written it is read back, and must give the logits that JAX gives, on all
10,000 test images: to 1e-5 of JAX's in float64 for a program, to 1e-4 of JAX's in float32 in
PyTorch, and exactly those with the weights of safetensors. (Logits beyond 25 in size may differ
in proportion.) The command says by how much they differ, and how large the file is.
The network is that of the run's latest epoch, finished or not.
Exit status: 0 if the file was written, 2 for bad input, 130 for Ctrl-C, 1 for any other
failure, such as a file that answers differently. Unless it is 0, nothing is written.
"""

import argparse
import importlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mnist_flax.cli import arguments, exit_status
from mnist_flax.errors import TrainingError, UserError
from mnist_flax.runs import files

if TYPE_CHECKING:
    from mnist_flax.input_pipeline import Split
    from mnist_flax.trained.loading import Trained

# What the description in a file means, and its arrays. It rises when that changes.
FORMAT_VERSION = 1

# No format needs more bytes.
_MAX_BYTES = 2**20
# Where logits are larger than this, float32 rounds them by more, and more is allowed.
_LARGE_LOGIT = 25


class Format(NamedTuple):
    """A format: the room export_NAME, which has encode and read, and what it takes.

    Attributes:
      libraries: what must be installed.
      install: what pip is to be given for that.
      reference: the type in which JAX computes the logits that those of a file are checked by.
      tolerance: how far one may be from them, if none is beyond _LARGE_LOGIT.
    """

    libraries: tuple[str, ...]
    install: str
    reference: str
    tolerance: float


FORMATS = {
    "safetensors": Format((), "", "float32", 0.0),
    "torch": Format(("torch",), "torch", "float32", 1e-4),
    "stablehlo": Format(("flatbuffers",), "'mnist_flax[export]'", "float64", 1e-5),
    "onnx": Format(("onnx", "onnxruntime"), "'mnist_flax[export]'", "float64", 1e-5),
}


def main(argv: Sequence[str]) -> int:
    """Runs the command.

    Args:
      argv: the command line without the name of the program.

    Returns:
      The exit status.
    """
    return exit_status.run(argv, __doc__, _add_flags, _run)


def _run(args: argparse.Namespace) -> None:
    for name in ("workdir", "format", "output"):
        if not getattr(args, name):
            raise UserError(f"--{name} is missing (--help has examples)")
    files.check_new_file("--output", args.output, _MAX_BYTES)
    _check_libraries(args.format)
    # JAX takes a second to import: bad input has had its answer by now.
    from mnist_flax import input_pipeline
    from mnist_flax.cli import compilation_cache
    from mnist_flax.trained import loading

    compilation_cache.enable()
    run = loading.load(args.workdir)
    split = input_pipeline.load("test", run.config.data_dir, run.config.dataset)
    data, lines = _encode(run, split, args.format)
    files.replace(args.output, data)
    print(f"Network: {args.workdir} after epoch {run.epoch} of {run.config.num_epochs}")
    print(f"File: {args.output}, {args.format}, {len(data):,} bytes", *lines, sep="\n")


def _encode(run: "Trained", split: "Split", name: str) -> tuple[bytes, list[str]]:
    """A file in the format `name`, and what to print about it.

    Raises:
      TrainingError: the file answers differently.
    """
    import jax

    from mnist_flax import inference
    from mnist_flax.export import reference

    expected = reference.logits(run, split.images)
    digits = expected["float32"].argmax(1)
    accuracy = float((digits == split.labels).mean())
    room = importlib.import_module(f"mnist_flax.export.to_{name}")
    data = room.encode(run, _description(run, accuracy))
    program = room.read(data, run.config.model.architecture)
    # A GPU or TPU rounds the factors of JAX's products to fewer bits unless it is asked not to.
    with jax.default_matmul_precision("highest"):
        found = inference.in_batches(program, split.images)
    differences = {kind: np.abs(found - x).max() for kind, x in expected.items()}
    form = FORMATS[name]
    allowed = form.tolerance * max(1, np.abs(expected[form.reference]).max() / _LARGE_LOGIT)
    measured = (
        f"its logits on {len(digits):,} test images differ from JAX's by at most "
        f"{differences['float32']:.1e} in float32, {differences['float64']:.1e} in float64 "
        f"(allowed in {form.reference}: {allowed:.1e}), its digits in "
        f"{(found.argmax(1) != digits).sum()} cases"
    )
    if not differences[form.reference] <= allowed:  # NaN is not.
        raise TrainingError(f"the {name} file is wrong: {measured}; nothing was written")
    return data, [f"Accuracy: {accuracy:.2%} of the test images", f"Checked: {measured}"]


def _description(run: "Trained", accuracy: float) -> str:
    """What a file says of the network in it, where the format has a place for that: JSON.

    One text, as safetensors puts several in any order: the same network is the same file.

    Args:
      run: the network.
      accuracy: on all test images, 0 to 1.
    """
    description = {
        "format_version": FORMAT_VERSION,
        "epoch": run.epoch,
        "test_accuracy": round(accuracy, 6),
        "config": run.config.to_dict(),
    }
    return json.dumps(description, sort_keys=True)


def _check_libraries(name: str) -> None:
    """Raises UserError if a library that the format needs cannot be imported."""
    for library in FORMATS[name].libraries:
        try:
            importlib.import_module(library)
        except ImportError as error:
            raise UserError(
                f"--format {name} needs {library}, which cannot be imported ({error}); "
                f"pip install {FORMATS[name].install}, or choose --format safetensors"
            ) from None


def _add_flags(parser: arguments.Parser) -> None:
    parser.add_path("--workdir", "folder of the run")
    parser.add_argument("--format", choices=list(FORMATS), help="format of the file")
    parser.add_path("--output", "the file to write; it must not exist")
