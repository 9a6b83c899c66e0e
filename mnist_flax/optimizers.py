"""Config to optax: the optimizer and its learning rate."""

import optax
from ml_collections import ConfigDict


def create_learning_rate_fn(config: ConfigDict, steps_per_epoch: int) -> optax.Schedule:
    """Learning rate by step, counted from 0: PyTorch's StepLR over whole epochs.

    Args:
      config: uses learning_rate, num_epochs and schedule.
      steps_per_epoch: optimizer steps in an epoch.

    Returns:
      A function from a step to config.learning_rate * gamma ** (epoch // step_size).
    """
    drops = range(config.schedule.step_size, config.num_epochs, config.schedule.step_size)
    return optax.piecewise_constant_schedule(
        config.learning_rate,
        {epoch * steps_per_epoch: config.schedule.gamma for epoch in drops},
    )


def create_optimizer(
    config: ConfigDict, learning_rate_fn: optax.Schedule
) -> optax.GradientTransformation:
    """The optimizer that config.optimizer names."""
    return {"adam": optax.adam}[config.optimizer](learning_rate_fn)
