"""Steps whose batches are drawn one at a time, and several at a time; how they differ, as JSON.

Run by test_steps.py in a process of its own, with the number of devices.
"""

import json
import sys
from functools import partial

import jax
import numpy as np

from mnist_flax import config as config_lib
from mnist_flax import epochs, steps
from mnist_flax.parallel import sharding

AHEAD, START, STOP = 3, 1, 6  # The second time only two of the three batches are trained on.


def main() -> None:
    config = config_lib.load(config_lib.default_path())
    config.model.architecture = "4 pool 8"
    config.batch_size = 16
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (96, 28, 28)).astype(np.uint8)
    mesh = sharding.make_mesh()
    arrays = images, rng.integers(0, 10, 96).astype(np.int32)
    split = sharding.DeviceSplit(*sharding.replicate(arrays, mesh))
    recipe = steps.create_recipe(config, split.size)
    found = []
    with jax.set_mesh(mesh):
        state = sharding.replicate(steps.init_state(jax.random.key(0), recipe), mesh)
        begun, order, key = jax.jit(
            partial(epochs.start_epoch, num_images=split.size),
            out_shardings=sharding.everywhere(mesh),
        )(state, jax.random.key(1), 1)
        arguments = begun, split, order, key, np.int32(START), np.int32(STOP)
        for ahead in (1, AHEAD):
            program = jax.jit(
                partial(epochs.full_steps, recipe=recipe, ahead=ahead),
                out_shardings=sharding.everywhere(mesh),
            )
            compiled = program.lower(*arguments).compile()
            found.append((jax.device_get(compiled(*arguments)), compiled.as_text()))
    (one, _), (several, text) = found
    differences = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), one, several)
    report = {
        "difference": max(jax.tree.leaves(differences)),
        "step": int(several.train_state.step),
        "images": int(several.metrics.accuracy.count),
        "gathers": text.count("all-gather("),
    }
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    main()
