"""Lists the formats of an export: how a file is made, and how exact its answers must be.

This module imports neither JAX nor a format's libraries, so that a wrong command line is
answered at once.
"""

import importlib
from collections.abc import Callable
from typing import NamedTuple

from mnist_flax.errors import UserError
from mnist_flax.export.network import Network, Program
from mnist_flax.system import libraries


class Format(NamedTuple):
    """A format of files.

    Attributes:
      encode: makes a file's content, and the program that is read back from it.
      reference: the type in which JAX computes the logits to compare with.
      tolerance: how far the program's logits may be from those.
      libraries: what must be installed beside this package.
      install: what pip is to be given for that.
      read_by: what reads the file, and what pip is to be given for that.
    """

    encode: Callable[[Network], tuple[bytes, Program]]
    reference: str
    tolerance: float
    read_by: str
    libraries: tuple[str, ...] = ()
    install: str = ""


def _safetensors(network: Network) -> tuple[bytes, Program]:
    from mnist_flax.export import to_safetensors

    return to_safetensors.encode(network)


def _torch(network: Network) -> tuple[bytes, Program]:
    from mnist_flax.export import to_torch

    return to_torch.encode(network)


def _stablehlo(network: Network) -> tuple[bytes, Program]:
    from mnist_flax.export import to_stablehlo

    return to_stablehlo.encode(network)


def _onnx(network: Network) -> tuple[bytes, Program]:
    from mnist_flax.export import to_onnx

    return to_onnx.encode(network)


def _onnx_float32(network: Network) -> tuple[bytes, Program]:
    from mnist_flax.export import to_onnx

    return to_onnx.encode_float32(network)


_EXTRA = "'mnist_flax[export]'"
_ONNX = ("onnx", "onnxruntime")
FORMATS = {
    "safetensors": Format(
        _safetensors, "float32", 0.0, "--weights; or any program, by the file's own metadata"
    ),
    "torch": Format(
        _torch, "float32", 1e-4, "torch.load (pip install torch)", ("torch",), "torch"
    ),
    "stablehlo": Format(
        _stablehlo,
        "float64",
        1e-5,
        "jax.export.deserialize (pip install jax flatbuffers)",
        ("flatbuffers",),
        _EXTRA,
    ),
    "onnx": Format(
        _onnx, "float64", 1e-5, "ONNX Runtime (pip install onnxruntime)", _ONNX, _EXTRA
    ),
    "onnx-float32": Format(
        _onnx_float32,
        "float64",
        1e-5,
        "runtimes without uint8, such as ncnn; images are float32[n,1,28,28], 0 to 255",
        _ONNX,
        _EXTRA,
    ),
}


def check_available(name: str) -> None:
    """Checks that files of a format can be made here.

    Raises:
      UserError: there is no such format, or a library that it needs cannot be imported.
    """
    if name not in FORMATS:
        raise UserError(f"format {name!r} is unknown; choose one of {', '.join(FORMATS)}")
    for library in FORMATS[name].libraries:
        try:
            importlib.import_module(library)
            if not libraries.is_installed(library):
                raise ImportError("a folder here has its name")
        except ImportError as error:
            raise UserError(
                f"format {name} needs {library}, which cannot be imported ({error}); "
                f"pip install {FORMATS[name].install}, or choose format safetensors"
            ) from None
