"""Defines the assignment's network in stock Flax Linen, layer by layer: read this one first.

This is the executable specification. Training uses `models.ConvNet`: the same network, faster,
and of any architecture. The tests compare the two, forward and backward. Their trees of
parameters are the same, so that the weights of a run load into this network unchanged:

    run = mnist_flax.load_run(workdir)
    logits = plain.Net().apply(run.variables, augment.normalize(images), train=False)

The logits of the two networks, which reach 22, then differ by at most 1e-5: measured on CPU
with a trained network and all 70,000 images (8e-6 on the test set; all answers are the same).

`models.ConvNet` differs in three things:

- its running variance is unbiased, as in PyTorch; that of Linen is biased;
- its dropout takes random bits from a hash of the key and the position, which is faster;
- it draws initial weights as PyTorch does; here they are Linen's defaults.
"""

from functools import partial

import flax.linen as nn
import jax


class Net(nn.Module):
    """The assignment's network, of 19,114 parameters.

    To train it, call `apply` with `mutable=["batch_stats"]` and `rngs={"dropout": key}`.

    Attributes:
      dropout_rate: share of activations set to zero, in [0, 1).
    """

    dropout_rate: float = 0.05

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Computes the logits of a batch of images.

        Args:
          x: float32[N,28,28,1], normalized.
          train: whether batch norm uses the batch's statistics and dropout is on.

        Returns:
          float32[N,10].
        """
        norm = partial(nn.BatchNorm, not train, momentum=0.9, epsilon=1e-5)
        dropout = nn.Dropout(self.dropout_rate, deterministic=not train)

        x = nn.Conv(8, (3, 3), name="conv1")(x)
        x = nn.relu(norm(name="bn1")(x))
        x = nn.Conv(16, (3, 3), name="conv2")(x)
        x = nn.relu(norm(name="bn2")(x))
        x = dropout(nn.max_pool(x, (2, 2), (2, 2)))  # 14 x 14

        x = nn.Conv(16, (3, 3), name="conv3")(x)
        x = nn.relu(norm(name="bn3")(x))
        x = nn.Conv(32, (3, 3), name="conv4")(x)
        x = nn.relu(norm(name="bn4")(x))
        x = dropout(nn.max_pool(x, (2, 2), (2, 2)))  # 7 x 7

        x = nn.Conv(32, (3, 3), name="conv5")(x)
        x = nn.relu(norm(name="bn5")(x))
        x = nn.Conv(32, (1, 1), name="conv6")(x)
        x = dropout(nn.relu(norm(name="bn6")(x)))

        return nn.Dense(10, name="fc")(x.mean((1, 2)))
