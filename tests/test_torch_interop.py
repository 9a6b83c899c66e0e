"""Weights from and to PyTorch; PyTorch wrote the state_dict in fixtures/torch_parity.npz."""

import re
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from helpers import networks

from mnist_flax import torch_interop
from mnist_flax.errors import UserError
from mnist_flax.models import ConvNet

pytestmark = pytest.mark.usefixtures("exact_products")

FIXTURE = Path(__file__).parent / "fixtures" / "torch_parity.npz"


@pytest.fixture
def state_dict() -> dict[str, np.ndarray]:
    with np.load(FIXTURE, allow_pickle=False) as file:
        return {
            name.removeprefix("before/"): file[name]
            for name in file
            if name.startswith("before/")
        }


@pytest.fixture
def variables() -> dict:
    """Variables of ConvNet filled with random numbers, all different and above zero."""
    images = jax.ShapeDtypeStruct((1, 28, 28, 1), jnp.float32)
    shapes = jax.eval_shape(partial(ConvNet().init, train=False), jax.random.key(0), images)
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda x: jnp.asarray(rng.uniform(0.1, 1, x.shape), x.dtype), shapes)


def raises_user_error(*parts: str):
    """Expects a UserError of one line that holds all the parts, in this order."""
    return pytest.raises(UserError, match="^" + ".*".join(map(re.escape, ("", *parts))) + ".*$")


def test_variables_have_the_tree_of_the_model(state_dict, variables) -> None:
    shapes = jax.tree.map(lambda x: (x.shape, x.dtype), variables)
    converted = torch_interop.from_state_dict(state_dict)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), converted) == shapes


def test_layouts(state_dict) -> None:
    params = torch_interop.from_state_dict(state_dict)["params"]
    weight = state_dict["conv2.weight"]
    assert weight.shape == (16, 8, 3, 3)
    assert params["conv2"]["kernel"][0, 2, 3, 11] == weight[11, 3, 0, 2]
    assert params["fc"]["kernel"][31, 7] == state_dict["fc.weight"][7, 31]


def test_to_state_dict_has_what_pytorch_has(state_dict, variables) -> None:
    converted = torch_interop.to_state_dict(variables)
    assert [(name, x.shape, x.dtype) for name, x in converted.items()] == [
        (name, x.shape, x.dtype) for name, x in state_dict.items()
    ]
    for name, x in converted.items():
        # torch.from_numpy wants the one, safetensors the other.
        assert x.flags.writeable, name
        assert x.flags.c_contiguous, name


def test_from_pytorch_and_back(state_dict) -> None:
    there = torch_interop.to_state_dict(torch_interop.from_state_dict(state_dict))
    for name, x in state_dict.items():
        if not name.endswith("num_batches_tracked"):
            np.testing.assert_array_equal(there[name], x, err_msg=name)
    assert there["bn3.num_batches_tracked"] == 0


def test_to_pytorch_and_back(variables) -> None:
    back = torch_interop.from_state_dict(torch_interop.to_state_dict(variables))
    jax.tree.map(np.testing.assert_array_equal, back, variables)


def test_no_memory_is_shared(state_dict, variables) -> None:
    converted = torch_interop.from_state_dict(state_dict)
    expected = jax.tree.map(np.array, converted)
    for x in state_dict.values():
        x[...] = 0
    jax.tree.map(np.testing.assert_array_equal, converted, expected)

    expected = jax.tree.map(np.array, variables)
    for x in torch_interop.to_state_dict(variables).values():
        x[...] = 1
    jax.tree.map(np.testing.assert_array_equal, variables, expected)


@pytest.mark.parametrize("dtype", [np.float64, np.float16, ml_dtypes.bfloat16])
def test_any_float_becomes_float32(state_dict, dtype) -> None:
    state_dict["fc.bias"] = state_dict["fc.bias"].astype(dtype)
    bias = torch_interop.from_state_dict(state_dict)["params"]["fc"]["bias"]
    assert bias.dtype == np.float32
    np.testing.assert_array_equal(bias, state_dict["fc.bias"].astype(np.float32))


def test_another_architecture() -> None:
    layers = "24k5 pool 12"
    variables = networks.init(ConvNet(architecture=layers))
    converted = torch_interop.to_state_dict(variables, layers)
    assert converted["conv1.weight"].shape == (24, 1, 5, 5)
    assert converted["bn1.running_var"].shape == (24,)
    assert converted["fc.weight"].shape == (10, 12)
    back = torch_interop.from_state_dict(converted, layers)
    jax.tree.map(np.testing.assert_array_equal, back, variables)


def test_a_kernel_that_is_used_again_is_there_once() -> None:
    layers = "4 4 pool same"
    variables = networks.init(ConvNet(architecture=layers))
    converted = torch_interop.to_state_dict(variables, layers)
    assert {name.partition(".")[0] for name in converted} == {
        *("conv1", "conv2", "bn1", "bn2", "bn3", "fc"),
    }
    back = torch_interop.from_state_dict(converted, layers)
    jax.tree.map(np.testing.assert_array_equal, back, variables)


@pytest.mark.parametrize(
    "name", ["conv1.weight", "bn4.running_var", "bn6.num_batches_tracked", "fc.bias"]
)
def test_a_missing_entry(state_dict, name) -> None:
    shape = str(list(state_dict.pop(name).shape))
    with raises_user_error("state_dict: ", f"'{name}' of shape {shape} is missing;"):
        torch_interop.from_state_dict(state_dict)


def test_the_first_missing_entry_is_named(state_dict) -> None:
    for name in ("conv6.bias", "bn2.weight", "fc.weight"):
        del state_dict[name]
    with raises_user_error("'bn2.weight' of shape [16] is missing;"):
        torch_interop.from_state_dict(state_dict)
    with raises_user_error("'conv1.weight' of shape [8, 1, 3, 3] is missing;"):
        torch_interop.from_state_dict({})


def test_other_names_show_in_the_error(state_dict) -> None:
    parallel = {f"module.{name}": x for name, x in state_dict.items()}
    with raises_user_error("'conv1.weight'", "is missing; it has 'module.conv1.weight'"):
        torch_interop.from_state_dict(parallel)


def test_an_extra_entry(state_dict) -> None:
    state_dict |= {"fc2.weight": np.zeros((1, 1)), "fc2.bias": np.zeros(1)}
    with raises_user_error("state_dict: 'fc2.weight' is no entry"):
        torch_interop.from_state_dict(state_dict)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "conv2.weight",
            np.zeros((3, 3, 8, 16)),
            "shape [3, 3, 8, 16], expected [16, 8, 3, 3]",
        ),
        ("fc.weight", np.zeros((32, 10)), "shape [32, 10], expected [10, 32]"),
        ("bn1.num_batches_tracked", np.array([3]), "shape [1], expected []"),
        ("bn1.num_batches_tracked", np.array(3.0), "type float64, expected an integer"),
        ("fc.bias", np.zeros(10, np.int64), "type int64, expected float32"),
        ("fc.bias", np.zeros(10, np.complex64), "type complex64, expected float32"),
        ("fc.bias", ["a"] * 10, "type <U1, expected float32"),
        ("fc.bias", None, "shape [], expected [10]"),
        ("fc.bias", [[1.0], [1.0, 2.0]], "cannot be read as an array"),
        ("bn5.running_mean", np.full(32, np.nan), "not finite"),
        ("bn5.running_mean", np.full(32, -np.inf), "not finite"),
        ("bn5.running_mean", np.full(32, 1e39), "not finite"),
    ],
)
def test_an_unfit_entry(state_dict, name, value, message) -> None:
    state_dict[name] = value
    with raises_user_error(f"state_dict: '{name}' ", message):
        torch_interop.from_state_dict(state_dict)


def test_unfit_variables(variables) -> None:
    with raises_user_error("variables: 'params/conv1/kernel' of shape [3, 3, 1, 8] is missing"):
        torch_interop.to_state_dict({"batch_stats": variables["batch_stats"]})
    with raises_user_error("variables: 'opt_state/count' is no entry"):
        torch_interop.to_state_dict({**variables, "opt_state": {"count": 1}})
    variables["params"]["fc"]["bias"] = jnp.zeros(3)
    with raises_user_error("variables: 'params/fc/bias' has shape [3], expected [10]"):
        torch_interop.to_state_dict(variables)
    variables["params"]["fc"]["bias"] = jnp.full(10, jnp.nan)
    with raises_user_error("variables: 'params/fc/bias' holds a value that is not finite"):
        torch_interop.to_state_dict(variables)


def test_with_pytorch_itself(state_dict) -> None:
    torch = pytest.importorskip(
        "torch", reason="PyTorch is not a dependency; install it to run this"
    )
    from fixtures.make_torch_fixture import Net

    variables = torch_interop.from_state_dict(state_dict)
    net = Net().eval()
    converted = torch_interop.to_state_dict(variables)
    net.load_state_dict({k: torch.from_numpy(x) for k, x in converted.items()}, strict=True)
    images = np.random.default_rng(0).normal(size=(64, 28, 28, 1)).astype(np.float32)
    with torch.no_grad():
        expected = net(torch.from_numpy(images.transpose(0, 3, 1, 2))).numpy()
    logits = ConvNet().apply(variables, images, train=False)
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-4)

    # And back, from tensors.
    back = torch_interop.from_state_dict(net.state_dict())
    jax.tree.map(np.testing.assert_array_equal, back, variables)


def test_tensors_that_numpy_cannot_read(state_dict) -> None:
    torch = pytest.importorskip(
        "torch", reason="PyTorch is not a dependency; install it to run this"
    )
    state_dict["fc.bias"] = torch.zeros(10, requires_grad=True)
    with raises_user_error("'fc.bias' cannot be read as an array: ", "detach()"):
        torch_interop.from_state_dict(state_dict)
