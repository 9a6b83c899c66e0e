"""Writes a network as an ONNX program, for ONNX Runtime and ONNX Runtime Web.

It takes 'images', uint8[n,28,28], 0 (background) to 255, and gives 'logits', float32[n,10], for
any n. Normalization is inside, so that its users need not know how it is done. Batch norm is
folded into the convolutions, which are ONNX's own.
"""

from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

import mnist_flax
from mnist_flax import augment
from mnist_flax.export.network import Network, Program
from mnist_flax.trained import folding

# The lowest versions that have all that is used here: ONNX Runtime and ONNX Runtime Web have
# read them since version 1.12, of 2022.
OPSET, IR_VERSION = 17, 8


def encode(network: Network) -> tuple[bytes, Program]:
    """Makes the file; the description goes into its metadata_props, as 'mnist_flax'."""
    constants, nodes = _graph(network)
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
    helper.set_model_props(model, {"mnist_flax": network.description})
    onnx.checker.check_model(model, full_check=True)
    data = model.SerializeToString(deterministic=True)
    return data, read(data)


def read(data: bytes) -> Program:
    """Makes a program of the file's content, in ONNX Runtime on the CPU."""
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return lambda images: session.run(["logits"], {"images": images})[0]


def _graph(network: Network) -> tuple[dict[str, np.ndarray], list[onnx.NodeProto]]:
    """Makes the constants, by name, and the nodes in order; activations are [N,C,H,W]."""
    folded = folding.fold(network.variables, network.architecture)
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
