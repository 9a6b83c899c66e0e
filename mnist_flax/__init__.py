"""MNIST at 99.4 % with fewer than 20,000 parameters, in JAX and Flax.

The names below are public and stable. Each is imported when it is first used, so that
`import mnist_flax` alone does not import JAX. docs/LIBRARY.md has a training loop of your own.

Data: `load_split` reads images and labels, a `Split`. `random_augment` augments a batch;
`normalize` converts it to the input of a network.

Networks: `ConvNet` is the one that is trained, of any architecture. `PlainNet` is the
assignment's in stock Linen: read that one. `tabulate` and `count_params` describe a network;
`from_state_dict` and `to_state_dict` exchange its weights with PyTorch.

Training: `load_config` reads a config, `train_and_evaluate` trains as it says. For a loop of
your own there are `TrainState`, `create_train_state` and `train_step`.

Trained networks: `load_run` and `load_weights` read one, a `Trained`. `predict_logits` and
`evaluate_split` use it; `Scores`, `wilson_interval` and `find_mistakes` say how good it is.
`draw_curves`, `draw_augmentations`, `draw_confusion` and `draw_mistakes` draw PNG pictures.
`export_network` writes it in another format; `drawing_page` makes a page to draw digits on.

The modules that define these names are public too, such as `mnist_flax.augment`. The rest of
the package serves the commands: `python -m mnist_flax.main --help`.
"""

import importlib
import sys
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from mnist_flax import (
        accelerators,
        architecture,
        augment,
        config,
        errors,
        inference,
        input_pipeline,
        metrics,
        models,
        optimizers,
        plain,
        steps,
        torch_interop,
        train,
    )
    from mnist_flax.augment import normalize, random_augment
    from mnist_flax.config import load as load_config
    from mnist_flax.demo.build_page import build as drawing_page
    from mnist_flax.export.command import export as export_network
    from mnist_flax.inference import evaluate_split
    from mnist_flax.inference import logits as predict_logits
    from mnist_flax.input_pipeline import Split
    from mnist_flax.input_pipeline import load as load_split
    from mnist_flax.metrics import Scores, wilson_interval
    from mnist_flax.model_table import model_table as tabulate
    from mnist_flax.models import ConvNet, count_params
    from mnist_flax.plain import Net as PlainNet
    from mnist_flax.plots.augmentations import draw_augmentations
    from mnist_flax.plots.curves import draw_curves
    from mnist_flax.plots.diagnostics import draw_confusion
    from mnist_flax.plots.mistakes import draw_mistakes, find_mistakes
    from mnist_flax.steps import TrainState, create_train_state, train_step
    from mnist_flax.torch_interop import from_state_dict, to_state_dict
    from mnist_flax.train import train_and_evaluate
    from mnist_flax.trained.loading import Trained
    from mnist_flax.trained.loading import from_weights as load_weights
    from mnist_flax.trained.loading import load as load_run

__all__ = [
    "ConvNet",
    "PlainNet",
    "Scores",
    "Split",
    "TrainState",
    "Trained",
    "accelerators",
    "architecture",
    "augment",
    "config",
    "count_params",
    "create_train_state",
    "draw_augmentations",
    "draw_confusion",
    "draw_curves",
    "draw_mistakes",
    "drawing_page",
    "errors",
    "evaluate_split",
    "export_network",
    "find_mistakes",
    "from_state_dict",
    "inference",
    "input_pipeline",
    "load_config",
    "load_run",
    "load_split",
    "load_weights",
    "metrics",
    "models",
    "normalize",
    "optimizers",
    "plain",
    "predict_logits",
    "random_augment",
    "steps",
    "tabulate",
    "to_state_dict",
    "torch_interop",
    "train",
    "train_and_evaluate",
    "train_step",
    "wilson_interval",
]

# Where each public name is defined. The other names in `__all__` are modules.
_DEFINED_IN = {
    "ConvNet": "models:ConvNet",
    "PlainNet": "plain:Net",
    "Scores": "metrics:Scores",
    "Split": "input_pipeline:Split",
    "TrainState": "steps:TrainState",
    "Trained": "trained.loading:Trained",
    "count_params": "models:count_params",
    "create_train_state": "steps:create_train_state",
    "draw_augmentations": "plots.augmentations:draw_augmentations",
    "draw_confusion": "plots.diagnostics:draw_confusion",
    "draw_curves": "plots.curves:draw_curves",
    "draw_mistakes": "plots.mistakes:draw_mistakes",
    "drawing_page": "demo.build_page:build",
    "evaluate_split": "inference:evaluate_split",
    "export_network": "export.command:export",
    "find_mistakes": "plots.mistakes:find_mistakes",
    "from_state_dict": "torch_interop:from_state_dict",
    "load_config": "config:load",
    "load_run": "trained.loading:load",
    "load_split": "input_pipeline:load",
    "load_weights": "trained.loading:from_weights",
    "normalize": "augment:normalize",
    "predict_logits": "inference:logits",
    "random_augment": "augment:random_augment",
    "tabulate": "model_table:model_table",
    "to_state_dict": "torch_interop:to_state_dict",
    "train_and_evaluate": "train:train_and_evaluate",
    "train_step": "steps:train_step",
    "wilson_interval": "metrics:wilson_interval",
}


if not TYPE_CHECKING:  # So that a type checker finds a misspelt name.

    def __getattr__(name: str) -> object:
        """Imports a public name when it is first used."""
        if name in _DEFINED_IN:
            module, _, attribute = _DEFINED_IN[name].partition(":")
            value = getattr(importlib.import_module(f"{__name__}.{module}"), attribute)
            globals()[name] = value
            return value
        if name in __all__:
            return importlib.import_module(f"{__name__}.{name}")
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message, name=name, obj=sys.modules[__name__])


def __dir__() -> list[str]:
    """Lists the public names, imported or not."""
    return sorted([*__all__, *(name for name in globals() if name.startswith("__"))])
