"""A third of the assignment's parameters: 6,182, 19 epochs.

python -m mnist_flax.main --config configs/tiny.py

RESULTS.md has how good it is; docs/EXPERIMENTS.md what was tried for it.
"""

from ml_collections import ConfigDict

from mnist_flax.config import default_path, load


def get_config() -> ConfigDict:
    """Returns configs/default.py with a narrower network and another schedule."""
    config = load(default_path())
    # The assignment asks for fewer than 20.
    config.num_epochs = 19

    # Most parameters of the assignment's network are in its widest layers, far from the image;
    # most of the work is at its beginning, where it is narrow. This one is narrow all along.
    config.model.architecture = "6 8 pool 10 12 pool 14 16"

    # Thirty times the assignment's, so that 19 epochs go far.
    config.learning_rate = 0.03
    # What moved far early has to come to rest.
    config.schedule.kind = "cosine"
    # Adam's first steps go by the gradients of a few batches, and each is a large step here.
    config.schedule.warmup_epochs = 2.0
    return config
