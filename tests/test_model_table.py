"""The model table against the assignment's."""

import flax.linen as nn
import jax
import pytest

from mnist_flax.model_table import list_layers, model_table
from mnist_flax.models import ConvNet, count_params

# The rows of the assignment's summary that have parameters, channels last.
ASSIGNMENT = {
    "conv1": ((28, 28, 8), 80),
    "bn1": ((28, 28, 8), 16),
    "conv2": ((28, 28, 16), 1168),
    "bn2": ((28, 28, 16), 32),
    "conv3": ((14, 14, 16), 2320),
    "bn3": ((14, 14, 16), 32),
    "conv4": ((14, 14, 32), 4640),
    "bn4": ((14, 14, 32), 64),
    "conv5": ((7, 7, 32), 9248),
    "bn5": ((7, 7, 32), 64),
    "conv6": ((7, 7, 32), 1056),
    "bn6": ((7, 7, 32), 64),
    "fc": ((10,), 330),
}


def test_layers_are_the_assignments() -> None:
    layers = list_layers(ConvNet())
    assert {x.name: (x.shape, x.params) for x in layers} == ASSIGNMENT
    assert [x.name for x in layers] == list(ASSIGNMENT)


def test_table_prints_every_row_and_the_total() -> None:
    lines = model_table(ConvNet()).splitlines()
    assert lines[1].split() == ["Layer", "(type)", "Output", "Shape", "Param", "#"]
    assert lines[3].split() == ["conv1", "(Conv)", "[-1,", "28,", "28,", "8]", "80"]
    assert lines[15].split() == ["fc", "(Dense)", "[-1,", "10]", "330"]
    assert lines[17:20] == [
        "Total params: 19,114",
        "Trainable params: 19,114",
        "Non-trainable params: 0",
    ]
    assert {len(line) for line in lines[:17]} == {64}


class Nested(nn.Module):
    """A parameter at the root, a layer that is called twice, a layer inside a layer."""

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        twice = nn.Dense(1, name="twice")
        x = nn.Sequential([nn.Dense(1, name="inner"), nn.relu], name="outer")(twice(twice(x)))
        return x + self.param("shift", nn.initializers.zeros, (3,)).sum()


def test_table_of_any_network() -> None:
    layers = list_layers(Nested())
    variables = Nested().init(jax.random.key(0), jax.numpy.zeros((1, 28, 28, 1)), train=False)
    assert sum(x.params for x in layers) == count_params(variables["params"])
    # Each call in its order; what is called again has been counted.
    expected = [("twice", 2), ("twice", 0), ("inner", 2), ("", 3)]
    assert [(x.name, x.params) for x in layers] == expected


def test_a_network_without_train_is_an_error() -> None:
    with pytest.raises(TypeError, match="train"):
        model_table(nn.Dense(1))
