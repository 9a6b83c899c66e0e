"""The network: its tree of parameters, its size, its modes, and what it refuses."""

import math
import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import networks

from mnist_flax import config as config_lib
from mnist_flax import models, steps
from mnist_flax.ops import compiler_options

CONFIGS = sorted(config_lib.default_path().parent.glob("*.py"))


@pytest.fixture(scope="module")
def variables():
    return networks.init(models.ConvNet())


@pytest.fixture(scope="module")
def shapes():
    """Those of a new network."""
    images = jnp.zeros((1, 28, 28, 1))
    init = partial(models.ConvNet().init, train=False)
    return jax.eval_shape(init, jax.random.key(0), images)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_has_fewer_than_20_000_parameters(path):
    config = config_lib.load(path)
    state = jax.eval_shape(lambda key: steps.create_train_state(key, config), jax.random.key(0))
    assert models.count_params(state.params) < 20_000


@pytest.mark.parametrize(
    ("name", "params", "epochs"),
    [
        *(("best", 19_390, 19), ("fast", 17_482, 4), ("tiny", 6_574, 19)),
        *(("under_10000", 9_769, 19), ("under_5000", 4_750, 19)),
        *(("under_2000", 1_918, 19), ("under_1000", 994, 19)),
    ],
)
def test_records_keep_their_limits(name, params, epochs):
    config = config_lib.load(config_lib.default_path().with_name(f"{name}.py"))
    state = jax.eval_shape(lambda key: steps.create_train_state(key, config), jax.random.key(0))
    assert models.count_params(state.params) == params
    assert config.num_epochs == epochs


def test_another_architecture():
    model = models.ConvNet(architecture="4k5 pool 6k1 3")
    x = jnp.zeros((2, 28, 28, 1))
    variables = networks.init(model)
    kernels = [variables["params"][f"conv{i}"]["kernel"].shape for i in (1, 2, 3)]
    assert kernels == [(5, 5, 1, 4), (1, 1, 4, 6), (3, 3, 6, 3)]
    assert variables["params"]["fc"]["kernel"].shape == (3, 10)
    assert networks.apply(model, variables, x, train=False).shape == (2, 10)


def test_a_kernel_that_is_used_again():
    model = models.ConvNet(0.0, architecture="4 4 pool same")
    x = jax.random.normal(jax.random.key(1), (2, 28, 28, 1))
    variables = networks.init(model)
    assert set(variables["params"]) == {"conv1", "bn1", "conv2", "bn2", "bn3", "fc"}

    # The same network with a copy of the kernel: equal outputs, and the kernel's gradient is
    # the sum of theirs.
    twin = models.ConvNet(0.0, architecture="4 4 pool 4")
    params = variables["params"] | {"conv3": variables["params"]["conv2"]}

    @partial(jax.jit, static_argnums=1)
    @partial(jax.grad, has_aux=True)
    def gradient(params, model):
        tree = variables | {"params": params}
        logits, updates = model.apply(tree, x, train=True, mutable=["batch_stats"])
        return jnp.square(logits).sum(), (logits, updates)

    ours, got = gradient(variables["params"], model)
    twins, want = gradient(params, twin)
    jax.tree.map(np.testing.assert_array_equal, got, want)
    both = jax.tree.map(jnp.add, twins.pop("conv3"), twins["conv2"])
    assert jnp.abs(both["kernel"]).max() > 0.01
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
        ours,
        twins | {"conv2": both},
    )


def test_default_has_19_114_parameters(shapes):
    assert models.count_params(shapes["params"]) == 19_114


def test_tree(shapes):
    shapes = jax.tree.map(jnp.shape, shapes)
    widths = {1: (1, 8), 2: (8, 16), 3: (16, 16), 4: (16, 32), 5: (32, 32), 6: (32, 32)}
    params = {"fc": {"kernel": (32, 10), "bias": (10,)}}
    batch_stats = {}
    for i, (inputs, features) in widths.items():
        size = 1 if i == 6 else 3
        params[f"conv{i}"] = {"kernel": (size, size, inputs, features), "bias": (features,)}
        params[f"bn{i}"] = {"scale": (features,), "bias": (features,)}
        batch_stats[f"bn{i}"] = {"mean": (features,), "var": (features,)}
    assert shapes == {"params": params, "batch_stats": batch_stats}


@pytest.mark.parametrize("layer", ["conv1", "conv4", "conv5", "fc"])
def test_initial_weights_are_pytorchs(layer):
    def init(seed):
        return networks.init(models.ConvNet(), seed)["params"][layer]

    fan_in = {"conv1": 9, "conv4": 144, "conv5": 288, "fc": 32}[layer]
    bound = 1 / math.sqrt(fan_in)
    for name in ("kernel", "bias"):
        values = np.concatenate([init(seed)[name].ravel() for seed in range(8)])
        assert np.abs(values).max() <= bound
        # A uniform variable's standard deviation, and its own sampling error.
        sd = bound / math.sqrt(3)
        assert abs(values.mean()) < 5 * sd / math.sqrt(values.size)
        assert abs(values.std() - sd) < 5 * sd / math.sqrt(values.size)


def test_evaluation_leaves_the_state_alone_and_needs_no_key(variables):
    x = jax.random.normal(jax.random.key(1), (4, 28, 28, 1))
    model = models.ConvNet()
    logits, updates = networks.apply(model, variables, x, train=False, mutable=("batch_stats",))
    jax.tree.map(
        np.testing.assert_array_equal, updates["batch_stats"], variables["batch_stats"]
    )
    # Each image by itself.
    np.testing.assert_allclose(
        networks.apply(model, variables, x[:1], train=False), logits[:1], atol=1e-5
    )


@pytest.mark.parametrize(
    ("shape", "dtype", "error", "message"),
    [
        ((2, 28, 28, 1), jnp.uint8, TypeError, "the images have type uint8"),
        ((2, 28, 28, 1), jnp.int32, TypeError, "the images have type int32"),
        ((2, 28, 28), jnp.uint8, TypeError, "the images have type uint8"),
        ((2, 28, 28), jnp.float32, ValueError, r"the images have shape \(2, 28, 28\)"),
        ((28, 28, 1), jnp.float32, ValueError, r"the images have shape \(28, 28, 1\)"),
        ((2, 32, 32, 3), jnp.float32, ValueError, r"the images have shape \(2, 32, 32, 3\)"),
        ((2, 1, 28, 28), jnp.float32, ValueError, r"the images have shape \(2, 1, 28, 28\)"),
    ],
)
def test_other_images_are_refused(variables, shape, dtype, error, message):
    words = rf"{message}; ConvNet needs float32\[N,28,28,1\], as augment\.normalize\(images\)"
    images = jax.ShapeDtypeStruct(shape, dtype)
    with pytest.raises(error, match=words):
        jax.eval_shape(lambda x: models.ConvNet().apply(variables, x, train=False), images)


def test_an_architecture_that_is_not_a_string():
    with pytest.raises(TypeError, match=r"\(8, 16\); it must be a string such as '8 16 pool"):
        models.ConvNet(architecture=[8, 16]).init(
            jax.random.key(0), jnp.zeros((1, 28, 28, 1)), train=False
        )


def test_training_drops_out(variables):
    x = jax.random.normal(jax.random.key(1), (4, 28, 28, 1))

    def logits(key):
        options = {"train": True, "mutable": ("batch_stats",), "rngs": {"dropout": key}}
        return networks.apply(models.ConvNet(dropout_rate=0.5), variables, x, **options)[0]

    np.testing.assert_array_equal(logits(jax.random.key(0)), logits(jax.random.key(0)))
    assert (logits(jax.random.key(0)) != logits(jax.random.key(1))).any()


def test_bfloat16_is_for_activations_and_products_alone(variables):
    x = jax.random.normal(jax.random.key(1), (8, 28, 28, 1))
    exact, rounded = models.ConvNet(dropout_rate=0.0), models.ConvNet(0.0, jnp.bfloat16)

    # By default XLA on CPU has no product of bfloat16 with a float32 result.
    @partial(jax.jit, static_argnums=(1, 2), compiler_options=compiler_options.for_once())
    @partial(jax.value_and_grad, has_aux=True)
    def gradient(params, model, train):
        state = {**variables, "params": params}
        logits, updates = model.apply(state, x, train=train, mutable=["batch_stats"])
        return jnp.square(logits).mean(), (logits, updates)

    for train in (False, True):
        results = [gradient(variables["params"], model, train) for model in (exact, rounded)]
        first, second = (jax.tree.map(lambda x: x.dtype, each) for each in results)
        assert first == second
        # A bfloat16 has 8 bits: one rounding is 2**-9, and there are dozens of them.
        (_, (expected, _)), _ = results[0]
        (_, (actual, _)), _ = results[1]
        assert 0 < jnp.abs(actual - expected).max() <= 0.1 * jnp.abs(expected).max()
    forward = jax.jit(lambda x: rounded.apply(variables, x, train=False)).lower(x).as_text()
    signatures = re.findall(r"dot_general .* : \((.*), (.*)\) -> (.*)", forward)
    types = [tuple(re.findall(r"(bf16|f32)>", " ".join(each))) for each in signatures]
    # The last product makes the logits.
    assert types == 6 * [("bf16", "bf16", "f32")] + [("f32", "f32", "f32")]
