"""Makes the optimizer and its learning rate from a config."""

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict


def create_learning_rate_fn(config: ConfigDict, steps_per_epoch: int) -> optax.Schedule:
    """Makes the learning rate as a function of the step, counted from 0.

    'step' is PyTorch's StepLR over whole epochs, which it counts from 0: learning_rate *
    gamma ** (epoch // step_size).
    'cosine' falls after the warm-up, as half a wave, from learning_rate to end_factor times
    learning_rate after the last step (Loshchilov and Hutter 2017,
    https://arxiv.org/abs/1608.03983, with one period). A warm-up of W steps multiplies either:
    step k, from 0, has (k + 1) / W of the scheduled rate.

    Args:
      config: a config; its learning_rate, num_epochs and schedule are used.
      steps_per_epoch: optimizer steps in an epoch.

    Returns:
      A function that maps a step to the learning rate, float32.
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
    """Makes the optimizer that config.optimizer names.

    Args:
      config: a config; its field `optimizer` is used.
      learning_rate_fn: the learning rate by step, from `create_learning_rate_fn`.
    """
    return {"adam": optax.adam}[config.optimizer](learning_rate_fn)
