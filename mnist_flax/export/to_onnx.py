"""Writes a network as an ONNX program, for ONNX Runtime and ONNX Runtime Web, and for others.

It takes 'images', 0 (background) to 255, and gives 'logits', float32[n,10], for any n from 0.
Normalization is inside, so that its users need not know how it is done. Batch norm is folded
into the convolutions, which are ONNX's own.

'images' are uint8[n,28,28]. Runtimes for phones, such as ncnn, know no uint8: a second form
takes float32[n,1,28,28], with the same numbers, 0 to 255.
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
    data = _serialize(network, "uint8", TensorProto.UINT8, ["n", 28, 28])
    return data, read(data)


def encode_float32(network: Network) -> tuple[bytes, Program]:
    """Makes the file for runtimes without uint8; see `encode`."""
    data = _serialize(network, "float32", TensorProto.FLOAT, ["n", 1, 28, 28])
    return data, read_float32(data)


def read(data: bytes) -> Program:
    """Makes a program of the file's content, in ONNX Runtime on the CPU."""
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return lambda images: session.run(["logits"], {"images": images})[0]


def read_float32(data: bytes) -> Program:
    """Makes the same program of a file for runtimes without uint8."""
    program = read(data)
    return lambda images: program(images[:, None].astype(np.float32))


def _serialize(network: Network, dtype: str, element: int, shape: list[str | int]) -> bytes:
    """Makes a file that takes images of a type and a shape."""
    constants, nodes = _graph(network, from_bytes=element == TensorProto.UINT8)
    pixels = helper.make_tensor_value_info("images", element, shape)
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 10])
    initializers = [numpy_helper.from_array(x, name) for name, x in constants.items()]
    model = helper.make_model(
        helper.make_graph(nodes, "mnist_flax", [pixels], [logits], initializers),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="mnist_flax",
        producer_version=mnist_flax.__version__,
        doc_string=f"MNIST: images {dtype}[{','.join(map(str, shape))}], 0 (background) to 255 "
        "and not normalized, to the logits of ten digits.",
    )
    helper.set_model_props(model, {"mnist_flax": network.description})
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def _graph(
    network: Network, from_bytes: bool
) -> tuple[dict[str, np.ndarray], list[onnx.NodeProto]]:
    """Makes the constants, by name, and the nodes in order; activations are [N,C,H,W].

    Args:
      network: what to compute.
      from_bytes: whether the images are uint8[n,28,28], else float32[n,1,28,28].
    """
    folded = folding.fold(network.variables, network.architecture)
    constants: dict[str, np.ndarray] = {
        # (x / 255 - MEAN) / STD, each step rounded to float32, as in `augment.normalize`.
        "white": np.array([255], np.float32),
        "mean": np.array([augment.MEAN], np.float32),
        "std": np.array([augment.STD], np.float32),
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

    if from_bytes:
        constants["channel_axis"] = np.array([1], np.int64)
        add("Cast", "float", to=TensorProto.FLOAT)
        add("Unsqueeze", "channel", "channel_axis")
    add("Div", "scaled", "white")
    add("Sub", "centred", "mean")
    add("Div", "normalized", "std")
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
