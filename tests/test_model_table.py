"""The model table against the assignment's."""

import jax
import jax.numpy as jnp
import pytest

from mnist_flax import config
from mnist_flax.model_table import list_layers, model_table
from mnist_flax.models import ConvNet, count_params
from mnist_flax.plain import Net

# The layers of the assignment's network, and the shapes of its summary, channels last.
ASSIGNMENT = {
    "conv1": ("Conv", (28, 28, 8), 80),
    "bn1": ("BatchNormRelu", (28, 28, 8), 16),
    "conv2": ("Conv", (28, 28, 16), 1168),
    "bn2": ("BatchNormRelu", (28, 28, 16), 32),
    "pool1": ("MaxPool", (14, 14, 16), 0),
    "drop1": ("Dropout", (14, 14, 16), 0),
    "conv3": ("Conv", (14, 14, 16), 2320),
    "bn3": ("BatchNormRelu", (14, 14, 16), 32),
    "conv4": ("Conv", (14, 14, 32), 4640),
    "bn4": ("BatchNormRelu", (14, 14, 32), 64),
    "pool2": ("MaxPool", (7, 7, 32), 0),
    "drop2": ("Dropout", (7, 7, 32), 0),
    "conv5": ("Conv", (7, 7, 32), 9248),
    "bn5": ("BatchNormRelu", (7, 7, 32), 64),
    "conv6": ("Conv", (7, 7, 32), 1056),
    "bn6": ("BatchNormRelu", (7, 7, 32), 64),
    "drop3": ("Dropout", (7, 7, 32), 0),
    "gap": ("Mean", (32,), 0),
    "fc": ("Dense", (10,), 330),
}


def test_layers_are_the_assignments() -> None:
    layers = list_layers(ConvNet())
    assert {x.name: (x.kind, x.shape, x.params) for x in layers} == ASSIGNMENT
    assert [x.name for x in layers] == list(ASSIGNMENT)


def test_table_prints_every_row_and_the_total() -> None:
    lines = model_table(ConvNet()).splitlines()
    assert lines[1].split() == ["Layer", "(type)", "Output", "Shape", "Param", "#"]
    assert lines[3].split() == ["conv1", "(Conv)", "[-1,", "28,", "28,", "8]", "80"]
    assert lines[7].split() == ["pool1", "(MaxPool)", "[-1,", "14,", "14,", "16]", "0"]
    assert lines[21].split() == ["fc", "(Dense)", "[-1,", "10]", "330"]
    assert lines[23:26] == [
        "Total params: 19,114",
        "Trainable params: 19,114",
        "Non-trainable params: 0",
    ]
    assert {len(line) for line in lines[:23]} == {64}


@pytest.mark.parametrize(
    "model",
    [
        ConvNet(),
        ConvNet(architecture="4 4 pool same 8k5 8 pool same 6"),
        *(
            ConvNet(**config.load(path).model)
            for path in sorted(config.default_path().parent.glob("*.py"))
        ),
    ],
    ids=lambda model: model.architecture,
)
def test_table_is_that_of_the_network(model: ConvNet) -> None:
    """The rows come from the architecture; here they meet the network that it makes."""
    rows = list_layers(model)
    images = jnp.zeros((1, 28, 28, 1))

    def forward() -> dict:
        return model.init_with_output(
            jax.random.key(0), images, train=False, mutable=True, capture_intermediates=True
        )[1]

    variables = jax.eval_shape(forward)
    params = variables["params"]
    assert sum(row.params for row in rows) == count_params(params)
    # A kernel that is used again is in the first of its rows.
    counts = {row.name: row.params for row in reversed(rows) if row.name in params}
    assert counts == {name: count_params(layer) for name, layer in params.items()}
    for name in {row.name for row in rows if row.kind == "Conv"}:
        calls = variables["intermediates"][name]["__call__"]
        shapes = [
            (height, width, channels)
            for (channels, height, width, _), _ in jax.tree.map(jnp.shape, calls)
        ]
        assert shapes == [row.shape for row in rows if row.name == name]
    assert rows[-2].shape == params["fc"]["kernel"].shape[:1]


def test_dropout_of_0_has_no_row() -> None:
    assert "Dropout" not in {row.kind for row in list_layers(ConvNet(dropout_rate=0.0))}


def test_another_class_of_network_is_an_error() -> None:
    with pytest.raises(TypeError, match=r"model is a Net, .* flax\.linen\.tabulate"):
        model_table(Net())


def test_the_size_is_in_mebibytes() -> None:
    # As torchsummary: 19,114 numbers of four bytes.
    assert "Params size (MB): 0.07\n" in model_table(ConvNet())
