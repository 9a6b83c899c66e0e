"""The same network, weights and batches as PyTorch: the same logits, losses and weights.

The reference is fixtures/torch_parity.npz, which PyTorch made (fixtures/make_torch_fixture.py).

Ten steps are compared in float64 and in float32, because float32 alone cannot tell a mistake
from rounding. Adam divides each gradient by its own size, so that a gradient that is only
rounding still moves its weight by up to the learning rate in each step. PyTorch in float32
differs from PyTorch in float64 by up to 0.0016 of a tensor, and by up to 0.015 in the
channels_last layout (the norm of the difference over the norm; bn2.bias). In float64 every
tensor must agree.

The biases of the convolutions are the extreme case. Batch norm cancels them, so their gradient
is zero: here exactly, in PyTorch up to rounding. There they drift, by up to 0.07 of their norm
in ten steps, without any effect on the training loss. The float32 test leaves them out.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest
from helpers import networks

from mnist_flax import augment, config, input_pipeline, optimizers, steps, torch_interop
from mnist_flax.models import ConvNet

pytestmark = pytest.mark.usefixtures("exact_products")

FIXTURE = Path(__file__).parent / "fixtures" / "torch_parity.npz"
STEPS_PER_EPOCH = 469
CONV_BIASES = {f"conv{i}.bias" for i in range(1, 7)}


@pytest.fixture(scope="module")
def torch_run() -> dict[str, np.ndarray]:
    with np.load(FIXTURE, allow_pickle=False) as file:
        return dict(file)


def arrays(torch_run: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """The arrays of one state_dict of the fixture."""
    return {
        name.removeprefix(f"{prefix}/"): x
        for name, x in torch_run.items()
        if name.startswith(f"{prefix}/") and not name.endswith("/losses")
    }


def ten_steps(
    torch_run: Mapping[str, np.ndarray], data_dir: Path, dtype: type
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The losses of the fixture's ten steps in `dtype`, and the state_dict after them."""
    split = input_pipeline.load("train", data_dir)
    images = np.asarray(augment.normalize(split.images[torch_run["batch_indices"].ravel()]))
    variables = torch_interop.from_state_dict(arrays(torch_run, "before"))
    settings = config.load(config.default_path())
    step = jax.jit(
        partial(
            steps.train_step,
            model=ConvNet(dropout_rate=0.0),
            optimizer=optimizers.create_optimizer(settings, lambda step: 1e-3),
        )
    )

    losses = []
    with jax.enable_x64(dtype is np.float64):
        params, stats = jax.tree.map(
            lambda x: x.astype(dtype), (variables["params"], variables["batch_stats"])
        )
        opt_state = optimizers.create_optimizer(settings, lambda step: 1e-3).init(params)
        state = steps.TrainState(np.int32(0), params, stats, opt_state)
        batches = images.astype(dtype).reshape(10, 128, 28, 28, 1)
        for x, indices in zip(batches, torch_run["batch_indices"], strict=True):
            state, outputs = step(state, x, split.labels[indices], jax.random.key(0))
            assert outputs["loss"].dtype == dtype
            losses.append(float(outputs["loss"].mean()))
    after = torch_interop.to_state_dict(
        {"params": state.params, "batch_stats": state.batch_stats}
    )
    return np.array(losses), after


def relative_error(actual: np.ndarray, expected: np.ndarray) -> float:
    """||actual - expected|| / ||expected||."""
    return float(np.linalg.norm(actual - expected) / np.linalg.norm(expected))


def test_logits_with_the_weights_of_pytorch(torch_run, data_dir) -> None:
    images = input_pipeline.load("test", data_dir).images[torch_run["eval_indices"]]
    variables = torch_interop.from_state_dict(arrays(torch_run, "before"))
    images = augment.normalize(images)
    logits = networks.apply(ConvNet(), variables, images, train=False)
    np.testing.assert_allclose(logits, torch_run["eval_logits"], rtol=0, atol=1e-4)


def test_ten_adam_steps_in_float64(torch_run, data_dir) -> None:
    losses, after = ten_steps(torch_run, data_dir, np.float64)
    np.testing.assert_allclose(losses, torch_run["float64/losses"], rtol=0, atol=1e-6)
    expected = arrays(torch_run, "float64")
    errors = {
        name: relative_error(after[name], x)
        for name, x in expected.items()
        if not name.endswith("num_batches_tracked")
    }
    assert len(errors) == 38
    assert {name: error for name, error in errors.items() if error > 1e-6} == {}


def test_ten_adam_steps_in_float32(torch_run, data_dir) -> None:
    losses, after = ten_steps(torch_run, data_dir, np.float32)
    np.testing.assert_allclose(losses, torch_run["float32/losses"], rtol=0, atol=1e-3)
    expected = arrays(torch_run, "float32")
    # All as one vector: the rounding of its small tensors is not what is compared here.
    weights = [
        name
        for name in expected
        if name.endswith((".weight", ".bias")) and name not in CONV_BIASES
    ]
    assert len(weights) == 20
    assert (
        relative_error(
            np.concatenate([after[name].ravel() for name in weights]),
            np.concatenate([expected[name].ravel() for name in weights]),
        )
        < 1e-3
    )
    # A running variance does not depend on a bias, unlike a running mean.
    for i in range(1, 7):
        name = f"bn{i}.running_var"
        assert relative_error(after[name], expected[name]) < 1e-2, name
    before = arrays(torch_run, "before")
    for name in CONV_BIASES:
        np.testing.assert_array_equal(after[name], before[name], err_msg=name)


def test_learning_rate_of_40_epochs(torch_run) -> None:
    settings = config.load(config.default_path())
    settings.num_epochs = 40
    schedule = optimizers.create_learning_rate_fn(settings, STEPS_PER_EPOCH)
    expected = torch_run["learning_rates"]
    assert len(expected) == 40
    first = [float(schedule(epoch * STEPS_PER_EPOCH)) for epoch in range(40)]
    last = [float(schedule((epoch + 1) * STEPS_PER_EPOCH - 1)) for epoch in range(40)]
    np.testing.assert_allclose(first, expected, rtol=1e-6)
    np.testing.assert_allclose(last, expected, rtol=1e-6)
