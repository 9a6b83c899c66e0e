"""The page of a report: what is on it; page.html.jinja says how it looks."""

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import jinja2
import numpy as np
from jax.scipy.signal import correlate2d
from ml_collections import ConfigDict
from PIL import Image

import mnist_flax
from mnist_flax import augment, input_pipeline, metrics, model_table
from mnist_flax import config as config_lib
from mnist_flax.input_pipeline import Split
from mnist_flax.metrics import Scores, wilson_interval
from mnist_flax.plots import curves, diagnostics
from mnist_flax.plots.augmentations import augment_sheet, draw_augmentations
from mnist_flax.plots.mistakes import Mistake, draw_mistakes
from mnist_flax.plots.themes import DARK, LIGHT, Theme
from mnist_flax.steps import create_model
from mnist_flax.trained import loading
from mnist_flax.trained.loading import Trained


class Figure(NamedTuple):
    """A picture as it is put into the page.

    Attributes:
      light: a data URI, for a light background.
      dark: a data URI, for a dark one.
      width: in pixels of the page.
      height: in pixels of the page.
      alt: what it shows, in words.
    """

    light: str
    dark: str
    width: int
    height: int
    alt: str


def write_page(run: Trained, summary: Mapping[str, Any]) -> tuple[bytes, dict[str, bytes]]:
    """Evaluates a network and makes its report.

    Args:
      run: the network, from the folder of a run.
      summary: summary.json, empty if there is none.

    Returns:
      The page; its figures for light paper, PNG files by name.

    Raises:
      UserError: the data cannot be read, or the network's answers are not finite.
    """
    config = run.config
    test = input_pipeline.load(config.test_split, config.data_dir, config.dataset)
    answers = metrics.log_probabilities(loading.logits(run, test.images))
    found = metrics.score(answers, test.labels)
    loading.warn_if_not_as_recorded(run, found)
    mistakes = _mistakes(test, np.exp(answers))
    layers = model_table.list_layers(create_model(config))
    light, dark = (_draw(run, found, mistakes, test, theme) for theme in (LIGHT, DARK))
    texts = _alternatives(run, found, mistakes)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("page.html.jinja").render(
        run=run,
        config=config,
        found=found,
        interval=wilson_interval(found.correct, found.size),
        verdict=_verdict(run, found),
        seconds=sum(line["train_seconds"] + line["test_seconds"] for line in run.history),
        layers=layers,
        params=sum(layer.params for layer in layers),
        figures={
            name: _figure(png, dark[name], texts[name])
            for name, png in light.items()
            if name in texts
        },
        mistakes=[(mistake, _small_png(mistake.image)) for mistake in mistakes],
        digits=[_small_png(test.images[i]) for i in _one_of_each(test.labels)],
        classes=_classes(found),
        pairs=_pairs(found.confusion),
        fields=_fields(config),
        same=all(value == default for _, value, default in _fields(config)),
        made_with=_made_with(summary),
        version=mnist_flax.__version__,
    )
    # JSON may have surrogates, which UTF-8 lacks.
    return page.encode(errors="replace"), light


def _mistakes(test: Split, probabilities: np.ndarray) -> list[Mistake]:
    """What was taken for another digit, the surest first."""
    predictions = probabilities.argmax(1)
    wrong = [
        Mistake(
            int(i),
            test.images[i],
            int(test.labels[i]),
            int(predictions[i]),
            float(probabilities[i, predictions[i]]),
            float(probabilities[i, test.labels[i]]),
        )
        for i in np.flatnonzero(predictions != test.labels)
    ]
    return sorted(wrong, key=lambda mistake: -mistake.probability)


def _draw(
    run: Trained, found: Scores, mistakes: list[Mistake], test: Split, theme: Theme
) -> dict[str, bytes]:
    """All figures for one theme."""
    # A digit with straight and round strokes shows most; any will do.
    digit = test.images[np.argmax(test.labels == 5)]
    name = model_table.list_layers(create_model(run.config))[0].name
    kernel = np.asarray(run.variables["params"][name]["kernel"])[:, :, 0]
    seen = augment.normalize(digit[None])[0, :, :, 0]
    responses = [
        correlate2d(seen, jnp.asarray(kernel[..., i]), mode="same", precision="highest")
        for i in range(kernel.shape[-1])
    ]
    return {
        **curves.draw_panels(run.history, run.config.target_accuracy, theme),
        "confusion": diagnostics.draw_confusion(found.confusion, theme),
        "reliability": diagnostics.draw_reliability(found.bins, theme),
        "filters": diagnostics.draw_filters(kernel, np.stack(responses, axis=-1), theme),
        "augmentations": draw_augmentations(augment_sheet(digit, run.config), theme),
        "mistakes": draw_mistakes(mistakes, theme),
    }


def _alternatives(run: Trained, found: Scores, mistakes: list[Mistake]) -> dict[str, str]:
    """What each figure on the page shows, for who does not see it."""
    first, last = run.history[0], run.history[-1]
    epochs = f"by epoch, from {first['epoch']} to {last['epoch']}"
    pairs = _pairs(found.confusion)
    often = f"; most often a {pairs[0][0]} is taken for a {pairs[0][1]}" if pairs else ""
    return {
        "loss": f"Training and test loss {epochs}; the table below has the numbers.",
        "accuracy": (
            f"Training and test accuracy {epochs}: test accuracy from "
            f"{first['test_accuracy']:.2%} to {last['test_accuracy']:.2%}, with the target of "
            f"{run.config.target_accuracy:.2%} as a line."
        ),
        "learning_rate": (
            f"The learning rate {epochs}: from {first['learning_rate']:g} to "
            f"{last['learning_rate']:g}."
        ),
        "confusion": f"Confusion matrix of ten digits: {len(mistakes):,} mistakes{often}.",
        "reliability": (
            "Reliability diagram: how often the network is right against the probability that "
            f"it gives. On average they are {found.ece:.2%} apart."
        ),
        "filters": "The filters of the first layer, each above a 5 as it sees it.",
        "augmentations": (
            "Rows of one digit: cropped, rotated, brighter and darker, with more and less "
            "contrast, shifted, scaled, and all of these together."
        ),
    }


def _verdict(run: Trained, found: Scores) -> dict[str, Any]:
    """Whether and when the target was reached; counts are compared, as in summary.json."""
    needed = run.config.target_accuracy * found.size - 1e-6
    rights = [round(line["test_accuracy"] * found.size) for line in run.history]
    reached = [
        line["epoch"]
        for line, right in zip(run.history, rights, strict=True)
        if right >= needed
    ]
    best = rights.index(max(rights))
    return {
        "first": reached[0] if reached else None,
        "holds": found.correct >= needed,
        "best": rights[best] / found.size,
        "best_epoch": run.history[best]["epoch"],
    }


def _classes(found: Scores) -> list[dict[str, Any]]:
    """A row for each digit; None where there is nothing to divide by."""
    rows = []
    for digit, row in enumerate(found.confusion):
        images, right, answers = (
            int(row.sum()), int(row[digit]), int(found.confusion[:, digit].sum()),
        )  # fmt: skip
        rows.append(
            {
                "digit": digit,
                "images": images,
                "right": right,
                "accuracy": right / images if images else None,
                "interval": wilson_interval(right, images) if images else None,
                "precision": right / answers if answers else None,
            }
        )
    return rows


def _pairs(confusion: np.ndarray) -> list[tuple[int, int, int]]:
    """The most frequent mistakes, at most five: digit, answer, how often."""
    wrong = confusion - np.diag(np.diag(confusion))
    order = np.argsort(-wrong, axis=None, kind="stable")[:5]
    pairs = [(int(i), int(j)) for i, j in np.transpose(np.unravel_index(order, wrong.shape))]
    return [(i, j, int(wrong[i, j])) for i, j in pairs if wrong[i, j]]


def _fields(config: ConfigDict) -> list[tuple[str, Any, Any]]:
    """The fields of a config: name, value, and the assignment's value."""
    default = config_lib.flatten(config_lib.load(config_lib.default_path()))
    return [(name, value, default[name]) for name, value in config_lib.flatten(config).items()]


def _made_with(summary: Mapping[str, Any]) -> dict[str, Any]:
    """What summary.json says of the machine and the versions."""
    names = ("backend", "device_count", "total_seconds", "compile_seconds")
    known = {name: summary[name] for name in names if name in summary}
    return known | summary.get("versions", {})


def _one_of_each(labels: np.ndarray) -> list[int]:
    """The first image of each digit that there is."""
    return [int(place) for place in np.unique(labels, return_index=True)[1]]


def _small_png(image: np.ndarray) -> str:
    """An image uint8[28,28] as a data URI, white on black as it is."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, format="PNG", optimize=True)
    return _data_uri(file.getvalue())


def _figure(light: bytes, dark: bytes, alt: str) -> Figure:
    with Image.open(io.BytesIO(light)) as image:
        width, height = image.size
    return Figure(_data_uri(light), _data_uri(dark), width // 2, height // 2, alt)


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
