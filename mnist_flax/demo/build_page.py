"""Builds the page to draw a digit on: one file, with the network inside.

The network runs in the browser, in a few lines of plain JavaScript (assets/network.js); it is
too small to need a library.
"""

import base64
import hashlib
import html
import json
import string
from pathlib import Path
from typing import Any

import numpy as np

from mnist_flax import augment, models
from mnist_flax.errors import UserError
from mnist_flax.trained import folding
from mnist_flax.trained.loading import Trained

_ASSETS = Path(__file__).parent / "assets"
_SCRIPTS = (
    *("network.js", "strokes.js", "doubt.js"),
    *("arrays.js", "decoding.js", "contrast.js", "straight.js", "lines.js"),
    *("marks.js", "grouping.js", "cropping.js", "placing.js", "picture.js"),
    *("unlike.js", "answers.js", "page.js", "pen.js", "files.js"),
)


def build(run: Trained) -> bytes:
    """Builds the page. It loads nothing, and its Content-Security-Policy forbids it to.

    Args:
      run: the network. The page computes it in float64, with weights in float32.

    Returns:
      HTML in UTF-8.

    Raises:
      UserError: with batch norm folded in, the weights are too large for float32.
    """
    style = _read("style.css")
    script = "".join(map(_read, _SCRIPTS))
    page = string.Template(_read("page.html")).substitute(
        policy=html.escape(_policy(style, script)),
        style=style,
        script=script,
        # Only base64, numbers and our own names: none can end the element around them.
        network=json.dumps({**_network(run), "shapes": _shapes()}),
        about=html.escape(_about(run)),
    )
    return page.encode()


def _read(name: str) -> str:
    """Reads a file of assets/."""
    return (_ASSETS / name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """Makes a Content-Security-Policy that allows this style, this script, and nothing else."""
    style_hash, script_hash = (
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for text in (style, script)
    )
    return (
        f"default-src 'none'; script-src 'sha256-{script_hash}'; "
        f"style-src 'sha256-{style_hash}'; img-src data:; base-uri 'none'; form-action 'none'"
    )


def _network(run: Trained) -> dict[str, Any]:
    """Makes the JSON that network.js reads.

    The weights are little-endian float32: for each convolution, with batch norm folded in,
    [O,I,H,W] and [O]; then for the linear layer [10,I] and [10].

    Raises:
      UserError: the weights are too large for float32.
    """
    folded = folding.fold(run.variables, run.config.model.architecture)
    arrays = [array for weight, bias, _ in folded.convolutions for array in (weight, bias)]
    arrays += [folded.fc_weight, folded.fc_bias]
    weights = np.concatenate([array.ravel() for array in arrays]).astype("<f4")
    if not np.isfinite(weights).all():
        raise UserError(
            "the weights are too large to compute with; give weights that were trained"
        )
    return {
        "mean": augment.MEAN,
        "std": augment.STD,
        "convolutions": [
            {
                "outputs": weight.shape[0],
                "inputs": weight.shape[1],
                "size": weight.shape[2],
                "pool": pooled,
            }
            for weight, _, pooled in folded.convolutions
        ],
        "weights": base64.b64encode(weights.tobytes()).decode(),
    }


def _shapes() -> dict[str, Any]:
    """Makes the JSON that unlike.js reads: the table of predict/doubt.py, in float16."""
    # The data, not the module: a command imports no other one.
    with np.load(Path(__file__).parents[1] / "predict" / "doubt.npz") as table:
        layers = ("hidden_kernel", "hidden_bias", "output_kernel", "output_bias")
        arrays = [table[name] for name in layers]
        hidden = len(table["hidden_bias"])
    values = np.concatenate([array.ravel() for array in arrays]).astype("<f2")
    return {
        "hidden": hidden,
        "values": base64.b64encode(values.tobytes()).decode(),
    }


def _about(run: Trained) -> str:
    """Describes the network for the page, in one sentence."""
    network = f"A neural network of {models.count_params(run.variables['params']):,} parameters"
    if not run.epoch:
        return f"{network}."
    total = run.config.num_epochs
    epochs = f"{total} epoch{'s' if total > 1 else ''}"
    if not run.finished:
        epochs = f"{run.epoch} of {epochs}"
    accuracy = run.history[-1]["test_accuracy"]
    return (
        f"{network}, trained for {epochs}, right on {100 * accuracy:.2f}\u00a0% of its test "
        "images."
    )
