"""A quarter of the assignment's parameters: 4,750, 19 epochs.

python -m mnist_flax.main --config configs/under_5000.py

RESULTS.md says how accurate it is, docs/EXPERIMENTS.md what was tried for it.
"""

from ml_collections import ConfigDict

from mnist_flax.config import default_path, load


def get_config() -> ConfigDict:
    """Returns configs/tiny.py with fewer features and a smaller batch."""
    config = load(default_path().with_name("tiny.py"))
    # 18 features instead of 22 in the layers that share a kernel.
    config.model.architecture = "8 18 pool 18 same same pool same same"
    # Half of tiny.py's batch gives twice the steps: 99.44 % on train[55000:] instead of
    # 99.37 % (n = 10 each).
    config.batch_size = 64
    # Two thirds of its learning rate, as each step is of fewer images.
    config.learning_rate = 0.02
    return config
