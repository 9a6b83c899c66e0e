"""A third of the assignment's parameters: 6,574, 19 epochs.

python -m mnist_flax.main --config configs/tiny.py

RESULTS.md has how good it is; docs/EXPERIMENTS.md what was tried for it.
"""

from ml_collections import ConfigDict

from mnist_flax.config import default_path, load


def get_config() -> ConfigDict:
    """Returns configs/default.py with one kernel for many layers and another schedule."""
    config = load(default_path())
    # The assignment asks for fewer than 20.
    config.num_epochs = 19

    # Two thirds of all parameters are one kernel, which five layers share; each has a batch
    # norm of its own. With kernels of their own they would be half as wide.
    config.model.architecture = "8 22 pool 22 same same pool same same"
    # A kernel that five layers train is held back enough.
    config.model.dropout_rate = 0.0

    # Half as much again.
    config.augment.degrees = 15.0
    # Twice the range of sizes.
    config.augment.scale_min = 0.8
    # As scale_min.
    config.augment.scale_max = 1.2

    # Thirty times the assignment's, so that 19 epochs go far.
    config.learning_rate = 0.03
    # What moved far early has to come to rest.
    config.schedule.kind = "cosine"
    # Adam's first steps go by the gradients of a few batches, and each is a large step here.
    config.schedule.warmup_epochs = 2.0
    return config
