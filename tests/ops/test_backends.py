"""What is chosen for a backend."""

import pytest

from mnist_flax.ops import backends


@pytest.mark.parametrize(
    ("platform", "batch_size", "batches"),
    [("cpu", 128, 1), ("gpu", 128, 8), ("tpu", 64, 16), ("tpu", 2048, 1)],
)
def test_batches_ahead(platform, batch_size, batches):
    assert backends.batches_ahead(platform, batch_size) == batches
