"""Config to optax: the optimizer and its learning rate."""

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict


def create_learning_rate_fn(config: ConfigDict, steps_per_epoch: int) -> optax.Schedule:
    """Learning rate by step, counted from 0.

    'step' is PyTorch's StepLR over whole epochs: learning_rate * gamma ** (epoch // step_size).
    'cosine' falls from learning_rate, after the warm-up, to end_factor of it after the last
    step, as half a wave (Loshchilov and Hutter 2017, https://arxiv.org/abs/1608.03983, with one
    period). In the warm-up's W steps, step k has (k + 1) / W of what the schedule says.

    Args:
      config: uses learning_rate, num_epochs and schedule.
      steps_per_epoch: optimizer steps in an epoch.

    Returns:
      A function from a step to float32.
    """
    schedule = config.schedule
    warmup = round(schedule.warmup_epochs * steps_per_epoch)
    rate = {"step": _step, "cosine": _cosine}[schedule.kind](config, steps_per_epoch, warmup)
    if not warmup:
        return rate

    def warmed_up(step: jax.typing.ArrayLike) -> jax.Array:
        return rate(step) * jnp.minimum(1.0, (jnp.asarray(step) + 1) / warmup)

    return warmed_up


def _step(config: ConfigDict, steps_per_epoch: int, warmup: int) -> optax.Schedule:
    schedule = config.schedule
    drops = range(schedule.step_size, config.num_epochs, schedule.step_size)
    return optax.piecewise_constant_schedule(
        config.learning_rate, {epoch * steps_per_epoch: schedule.gamma for epoch in drops}
    )


def _cosine(config: ConfigDict, steps_per_epoch: int, warmup: int) -> optax.Schedule:
    falling = max(1, config.num_epochs * steps_per_epoch - warmup)
    decay = optax.cosine_decay_schedule(
        config.learning_rate, falling, config.schedule.end_factor
    )
    return lambda step: decay(jnp.maximum(jnp.asarray(step) - warmup, 0))


def create_optimizer(
    config: ConfigDict, learning_rate_fn: optax.Schedule
) -> optax.GradientTransformation:
    """The optimizer that config.optimizer names."""
    return {"adam": optax.adam}[config.optimizer](learning_rate_fn)
