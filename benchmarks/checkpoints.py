"""Measures what a checkpoint costs, beside an epoch of the default config.

    python benchmarks/checkpoints.py [EPOCHS]

Trains and tests that many epochs (by default 5), and saves each as a run does. The checkpoints
go into a temporary folder in the current one, as the disk is part of what is measured.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import jax

from mnist_flax import config as config_lib
from mnist_flax.cli import jax_setup
from mnist_flax.programs import Programs
from mnist_flax.runs import checkpoints
from mnist_flax.steps import create_recipe
from mnist_flax.train import load_splits


def main(count: int) -> None:
    """Trains `count` epochs; prints how long each took, and how long its checkpoint."""
    jax_setup.prepare()
    config = config_lib.load(config_lib.default_path())
    train, test = load_splits(config)
    programs = Programs(create_recipe(config, train.size), train, test)
    programs.wait_until_compiled()
    root = jax.random.key(config.seed)
    state = programs.create(root)
    history, epochs, saves = [], [], []
    with tempfile.TemporaryDirectory(dir=".") as folder:
        for number in range(1, count + 1):
            begin = time.perf_counter()
            state = programs.train_epoch(state, root, number).train_state
            accuracy = programs.eval_epoch(state).compute()["accuracy"].item()
            middle = time.perf_counter()
            history.append({"epoch": number, "test_accuracy": accuracy})
            checkpoints.save(Path(folder), config, state, history)
            epochs.append(middle - begin)
            saves.append(time.perf_counter() - middle)
            print(f"epoch {number}: {epochs[-1]:.2f} s, saved in {1e3 * saves[-1]:.0f} ms")
    for name, function in (("minimum", min), ("median", statistics.median)):
        epoch, save = function(epochs), function(saves)
        print(f"{name}: {epoch:.2f} s, {1e3 * save:.0f} ms: {100 * save / epoch:.2f} %")


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 5)
