"""A network as a program of ONNX, for ONNX Runtime and ONNX Runtime Web.

From 'images' uint8[n,28,28], 0 (background) to 255, to 'logits' float32[n,10], for any n.
Pixels are bytes as an image has them, so that nobody outside need know how to normalize them.
Batch norm is folded into the convolutions, which are ONNX's own.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

import mnist_flax
from mnist_flax import augment
from mnist_flax.trained import folding, loading

# What ONNX Runtime and ONNX Runtime Web read since version 1.12, of 2022: nothing here needs
# more.
OPSET, IR_VERSION = 17, 8


def encode(run: loading.Trained, description: str) -> bytes:
    """The file.

    Args:
      run: the network.
      description: goes into the model's metadata_props, as 'mnist_flax'.
    """
    constants, nodes = _graph(run)
    pixels = helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", 28, 28])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 10])
    initializers = [numpy_helper.from_array(x, name) for name, x in constants.items()]
    model = helper.make_model(
        helper.make_graph(nodes, "mnist_flax", [pixels], [logits], initializers),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="mnist_flax",
        producer_version=mnist_flax.__version__,
        doc_string="MNIST: images uint8, 0 (background) to 255, to the logits of ten digits.",
    )
    helper.set_model_props(model, {"mnist_flax": description})
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


def read(data: bytes, layers: str) -> Callable[[np.ndarray], np.ndarray]:
    """From uint8[N,28,28] to float32[N,10], by ONNX Runtime on the CPU.

    Args:
      data: the file.
      layers: left out; the file says it all.
    """
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return lambda images: session.run(["logits"], {"images": images})[0]


def _graph(run: loading.Trained) -> tuple[dict[str, np.ndarray], list[onnx.NodeProto]]:
    """The constants by name, and the nodes in order; activations are [N,C,H,W]."""
    folded = folding.fold(run.variables, run.config.model.architecture)
    constants: dict[str, np.ndarray] = {
        # (x / 255 - MEAN) / STD, each step rounded to float32, as in `augment.normalize`.
        "white": np.array([255], np.float32),
        "mean": np.array([augment.MEAN], np.float32),
        "std": np.array([augment.STD], np.float32),
        "channel_axis": np.array([1], np.int64),
        "fc.weight": folded.fc_weight,
        "fc.bias": folded.fc_bias,
    }
    nodes: list[onnx.NodeProto] = []
    last = "images"

    def add(operator: str, output: str, *inputs: str, **attributes: Any) -> None:
        nonlocal last
        nodes.append(
            helper.make_node(operator, [last, *inputs], [output], output, **attributes)
        )
        last = output

    add("Cast", "float", to=TensorProto.FLOAT)
    add("Div", "scaled", "white")
    add("Sub", "centred", "mean")
    add("Div", "normalized", "std")
    add("Unsqueeze", "input", "channel_axis")
    for i, (weight, bias, pooled) in enumerate(folded.convolutions, 1):
        constants |= {f"conv{i}.weight": weight, f"conv{i}.bias": bias}
        size = weight.shape[-1]
        inputs = (f"conv{i}.weight", f"conv{i}.bias")
        add("Conv", f"conv{i}", *inputs, kernel_shape=[size] * 2, pads=[size // 2] * 4)
        add("Relu", f"relu{i}")
        if pooled:
            add("MaxPool", f"pool{i}", kernel_shape=[2, 2], strides=[2, 2])
    add("GlobalAveragePool", "gap")
    add("Flatten", "features")
    add("Gemm", "logits", "fc.weight", "fc.bias", transB=1)
    return constants, nodes
