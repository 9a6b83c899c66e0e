"""Ten training steps in float64 on one device and on several, and how they differ; as JSON.

Run by parallel/test_sharding.py with eight devices, of which a test's own process has one; with
the platform whose forms of the operations are to be used, the network, and the numbers of
devices.
"""

import json
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from helpers import backend_forms
from mnist_flax import config as config_lib
from mnist_flax import models, steps
from mnist_flax.optimizers import create_learning_rate_fn, create_optimizer
from mnist_flax.parallel import sharding


def main(platform: str, architecture: str, *counts: str) -> None:
    with backend_forms.of(platform):
        json.dump(compare(architecture, [int(count) for count in counts]), sys.stdout)


def compare(architecture: str, counts: list[int]) -> dict[int, dict[str, float]]:
    jax.config.update("jax_enable_x64", True)
    config = config_lib.load(config_lib.default_path())
    config.model.architecture = architecture
    optimizer = create_optimizer(config, create_learning_rate_fn(config, 10))
    # Of the type of its images, unlike the one of the config.
    model = models.ConvNet(config.model.dropout_rate, architecture=architecture)
    wide = partial(jax.tree.map, lambda x: np.asarray(x, np.float64 if x.ndim else x.dtype))
    create = jax.jit(partial(steps.create_train_state, config=config))
    begin = wide(create(jax.random.key(0)))
    rng = np.random.default_rng(0)
    # Batches of 96: the last of an epoch, and 12 for each of 8 devices.
    images, labels = rng.normal(size=(960, 28, 28, 1)), rng.integers(0, 10, 960)

    def train(n: int) -> tuple[steps.TrainState, np.ndarray, str]:
        axes = dict(axis_types=(AxisType.Auto,), devices=jax.devices()[:n])
        mesh = jax.make_mesh((n,), (sharding.AXIS,), **axes)
        shares = NamedSharding(mesh, P(sharding.AXIS))
        with jax.set_mesh(mesh):
            step = jax.jit(partial(steps.train_step, model=model, optimizer=optimizer))
            state = jax.device_put(begin, sharding.everywhere(mesh))
            losses = []
            for i in range(0, len(images), 96):
                batch = jax.device_put((images[i : i + 96], labels[i : i + 96]), shares)
                compiled = step.lower(state, *batch, jax.random.key(i)).compile()
                state, outputs = compiled(state, *batch, jax.random.key(i))
                assert outputs["loss"].dtype == jnp.float64
                losses.append(np.asarray(outputs["loss"]))
        assert all(len(x.sharding.device_set) == n for x in jax.tree.leaves(state))
        return jax.device_get(state), np.concatenate(losses), compiled.as_text()

    alone = train(1)
    report = {}
    for n in counts:
        state, losses, program = train(n)
        trees = (state.params, state.batch_stats), (alone[0].params, alone[0].batch_stats)
        differences = jax.tree.map(lambda a, b: np.abs(a - b).max(), *trees)
        report[n] = {
            "loss": np.abs(losses - alone[1]).max(),
            "state": max(jax.tree.leaves(differences)),
            "gathers": program.count("all-gather("),
        }
    return report
