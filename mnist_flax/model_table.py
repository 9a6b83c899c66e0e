"""Writes the assignment's model summary: a row for each layer, its output and parameters."""

from typing import NamedTuple

import flax.linen as nn

from mnist_flax import architecture
from mnist_flax.models import ConvNet

_WIDTH = 64


class Layer(NamedTuple):
    """One layer of a network, in the order of the computation.

    Attributes:
      name: its name in the assignment, and in the tree of parameters if it has any: 'conv1'.
      kind: what it is: 'Conv', 'BatchNormRelu', 'MaxPool', 'Dropout', 'Mean' or 'Dense'.
      shape: shape of its output, without the batch; channels last.
      params: number of its parameters; 0 for a convolution whose kernel an earlier row counts.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    params: int


def model_table(model: nn.Module) -> str:
    """Formats the summary of a network, in the layout of the assignment's (torchsummary).

    Args:
      model: a `ConvNet`; for a network of another class, call `flax.linen.tabulate`.

    Returns:
      Lines of 64 characters. Shapes are channels-last; -1 is the batch. Running statistics are
      not parameters and are not counted.

    Raises:
      TypeError: the network is not a `ConvNet`.
    """
    layers = list_layers(model)
    lines = [
        "-" * _WIDTH,
        f"{'Layer (type)':>25}{'Output Shape':>23}{'Param #':>16}",
        "=" * _WIDTH,
    ]
    for layer in layers:
        name = f"{layer.name} ({layer.kind})"
        lines.append(f"{name:>25}{[-1, *layer.shape]!s:>23}{layer.params:>16,}")
    total = sum(layer.params for layer in layers)
    lines += [
        "=" * _WIDTH,
        f"Total params: {total:,}",
        f"Trainable params: {total:,}",
        "Non-trainable params: 0",
        f"Params size (MB): {total * 4 / 2**20:.2f}",
        "-" * _WIDTH,
    ]
    return "\n".join(lines)


def list_layers(model: nn.Module) -> list[Layer]:
    """Lists the layers of a network for images of 28 x 28, in the order of the computation.

    Nothing is traced or computed. Dropout with a rate of 0 has no row.

    Args:
      model: a `ConvNet`; for a network of another class, call `flax.linen.tabulate`.

    Raises:
      TypeError: the network is not a `ConvNet`.
    """
    if not isinstance(model, ConvNet):
        raise TypeError(
            f"model is a {type(model).__name__}, and only the layers of a ConvNet are known "
            "here; for another network call flax.linen.tabulate"
        )
    layers = []
    blocks = architecture.parse(model.architecture)
    side, channels, pools, drops = 28, 1, 0, 0
    for i, block in enumerate(blocks, 1):
        shape = (side, side, block.features)
        weights = block.features * (block.kernel_size**2 * channels + 1)
        is_first_use = block.kernel == i
        layers += [
            Layer(f"conv{block.kernel}", "Conv", shape, weights if is_first_use else 0),
            Layer(f"bn{i}", "BatchNormRelu", shape, 2 * block.features),
        ]
        if block.pool:
            side, pools = side // 2, pools + 1
            shape = (side, side, block.features)
            layers.append(Layer(f"pool{pools}", "MaxPool", shape, 0))
        if model.dropout_rate and (block.pool or i == len(blocks)):
            drops += 1
            layers.append(Layer(f"drop{drops}", "Dropout", shape, 0))
        channels = block.features
    layers.append(Layer("gap", "Mean", (channels,), 0))
    layers.append(Layer("fc", "Dense", (10,), 10 * (channels + 1)))
    return layers
