"""The assignment's model summary: one row a layer, with its output's shape and parameters."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from clu import parameter_overview

from mnist_flax.models import BatchNormReluPool

_WIDTH = 64


class Layer(NamedTuple):
    """One call of a module that has parameters of its own.

    Attributes:
        name: Its place in the parameter tree: 'conv1'.
        kind: Its class: 'Conv'.
        shape: The shape of what it returns, without the batch.
        params: Number of its own parameters; 0 where they were counted in a call before.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    params: int


def model_table(model: nn.Module) -> str:
    """The summary of a network, in the layout of the assignment's (torchsummary).

    Args:
        model: As for `list_layers`.

    Returns:
        Lines of 64 characters. Shapes are channels-last; -1 is the batch. Running statistics
        are not parameters: they are not counted.
    """
    layers = list_layers(model)
    lines = [
        "-" * _WIDTH,
        f"{'Layer (type)':>25}{'Output Shape':>23}{'Param #':>16}",
        "=" * _WIDTH,
    ]
    for layer in layers:
        name = f"{layer.name} ({layer.kind})"
        lines.append(f"{name:>25}{[-1, *layer.shape]!s:>23}{layer.params:>16,}")
    total = sum(layer.params for layer in layers)
    lines += [
        "=" * _WIDTH,
        f"Total params: {total:,}",
        f"Trainable params: {total:,}",
        "Non-trainable params: 0",
        f"Params size (MB): {total * 4 / 2**20:.2f}",
        "-" * _WIDTH,
    ]
    return "\n".join(lines)


def list_layers(model: nn.Module) -> list[Layer]:
    """Lists the layers of a network for images of 28 x 28, in the order they are called.

    The network is traced with abstract values; nothing is computed.

    Args:
        model: A network that is called as `model(float32[N,28,28,1], train=False)`.
    """
    calls: list[tuple[tuple[str, ...], str, tuple[int, ...]]] = []

    def note_shape(
        method: Callable[..., Any],
        args: Any,
        kwargs: Any,
        context: nn.module.InterceptorContext,
    ) -> Any:
        output = method(*args, **kwargs)
        # The row is the batch norm's: the pooling that may follow it has none, as in the
        # assignment. Of several outputs the first is what goes on to the next layer.
        normalizes = isinstance(context.module, BatchNormReluPool)
        shape = jax.tree.leaves(args[0] if normalizes else output)[0].shape
        if len(shape) == 4:
            # Inside, activations are [C,H,W,N].
            channels, height, width, _ = shape
            shape = (1, height, width, channels)
        calls.append((context.module.path, type(context.module).__name__, shape[1:]))
        return output

    def init() -> Any:
        return model.init(jax.random.key(0), jnp.zeros((1, 28, 28, 1)), train=False)

    with nn.intercept_methods(note_shape):
        params = jax.eval_shape(init)["params"]
    layers = []
    counted = set()
    for path, kind, shape in calls:
        own = _own_params(params, path)
        if own:
            count = 0 if path in counted else int(parameter_overview.count_parameters(own))
            layers.append(Layer("/".join(path), kind, shape, count))
            counted.add(path)
    return layers


def _own_params(params: Any, path: tuple[str, ...]) -> dict[str, Any]:
    """The arrays that the module at `path` holds itself, not through a module inside it."""
    for name in path:
        params = params.get(name, {})
    return {name: value for name, value in params.items() if not isinstance(value, dict)}
