"""Builds the page of a report; page.html.jinja lays it out."""

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
from mnist_flax.plots.augmentations import draw_augmentations
from mnist_flax.plots.mistakes import Mistake, draw_mistakes, find_mistakes
from mnist_flax.plots.themes import DARK, LIGHT, Theme
from mnist_flax.steps import create_model
from mnist_flax.system import progress
from mnist_flax.trained import loading
from mnist_flax.trained.loading import Trained


class Figure(NamedTuple):
    """A plot on the page.

    Attributes:
      light: the PNG for light pages, as a data URI.
      dark: the PNG for dark pages, as a data URI.
      width: in pixels of the page.
      height: in pixels of the page.
      alt: what the plot shows, for screen readers.
    """

    light: str
    dark: str
    width: int
    height: int
    alt: str


def build(run: Trained, summary: Mapping[str, Any]) -> tuple[bytes, dict[str, bytes]]:
    """Evaluates a network on its run's test split and builds the report.

    Args:
      run: the network and its run.
      summary: the content of summary.json, empty for a run that has not finished.

    Returns:
      The page, HTML in UTF-8, and its plots for light pages: PNG files by name.

    Raises:
      UserError: the data cannot be read, or the network's answers are not finite.
    """
    config = run.config
    test = input_pipeline.load(config.test_split, run.data_dir, config.dataset)
    answers = metrics.log_probabilities(loading.logits(run, test.images))
    scores = metrics.score(answers, test.labels)
    loading.warn_if_not_as_recorded(run, scores)
    mistakes = find_mistakes(test.images, test.labels, np.exp(answers))
    layers = model_table.list_layers(create_model(config))
    with progress.shown("Drawing the plots"):
        light, dark = (_draw(run, scores, mistakes, test, theme) for theme in (LIGHT, DARK))
    texts = _alternative_texts(run, scores, mistakes)
    fields = _fields(config)
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
        scores=scores,
        interval=wilson_interval(scores.correct, scores.size),
        verdict=_verdict(run, scores),
        seconds=sum(line["train_seconds"] + line["test_seconds"] for line in run.history),
        layers=layers,
        params=sum(layer.params for layer in layers),
        figures={
            name: _figure(png, dark[name], texts[name])
            for name, png in light.items()
            if name in texts
        },
        mistakes=[(mistake, _small_png(mistake.image)) for mistake in mistakes],
        digits=[_small_png(test.images[i]) for i in _first_of_each(test.labels)],
        classes=_classes(scores),
        pairs=_frequent_pairs(scores.confusion),
        fields=fields,
        same=all(value == default for _, value, default in fields),
        made_with=_made_with(summary),
        version=mnist_flax.__version__,
    )
    # Texts from JSON may hold surrogates, which UTF-8 cannot encode.
    return page.encode(errors="replace"), light


def _draw(
    run: Trained, scores: Scores, mistakes: list[Mistake], test: Split, theme: Theme
) -> dict[str, bytes]:
    """Draws all plots for one theme: PNG files by name."""
    # A 5 has straight and round strokes. Without one, the first image has to do.
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
        "confusion": diagnostics.draw_confusion(scores.confusion, theme),
        "reliability": diagnostics.draw_reliability(scores.bins, theme),
        "filters": diagnostics.draw_filters(kernel, np.stack(responses, axis=-1), theme),
        "augmentations": draw_augmentations(digit, run.config, theme),
        "mistakes": draw_mistakes(mistakes, theme),
    }


def _alternative_texts(run: Trained, scores: Scores, mistakes: list[Mistake]) -> dict[str, str]:
    """Describes each plot on the page, for screen readers."""
    first, last = run.history[0], run.history[-1]
    epochs = f"by epoch, from {first['epoch']} to {last['epoch']}"
    pairs = _frequent_pairs(scores.confusion)
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
            "Reliability diagram: the share of right answers against the probability that the "
            f"network gives. On average they differ by {scores.ece:.2%}."
        ),
        "filters": "The filters of the first layer, each above its response to a test image.",
        "augmentations": (
            "Rows of one digit: cropped, rotated, brighter and darker, with more and less "
            "contrast, shifted, scaled, and with all of these together."
        ),
    }


def _verdict(run: Trained, scores: Scores) -> dict[str, Any]:
    """Says when the target was met, whether it is met now, and which epoch was best."""
    target, size = run.config.target_accuracy, scores.size
    correct = [metrics.count_correct(line["test_accuracy"], size) for line in run.history]
    return {
        "first": metrics.first_epoch_at_target(correct, size, target),
        "holds": metrics.meets_target(scores.correct, size, target),
        "best": max(correct) / size,
        "best_epoch": correct.index(max(correct)) + 1,
    }


def _classes(scores: Scores) -> list[dict[str, Any]]:
    """Makes a table row for each digit; a share of nothing is None."""
    rows = []
    for digit, row in enumerate(scores.confusion):
        images, right = int(row.sum()), int(row[digit])
        answers = int(scores.confusion[:, digit].sum())
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


def _frequent_pairs(confusion: np.ndarray) -> list[tuple[int, int, int]]:
    """Finds the most frequent mistakes, at most five: digit, answer, number of images."""
    wrong = confusion - np.diag(np.diag(confusion))
    order = np.argsort(-wrong, axis=None, kind="stable")[:5]
    pairs = [(int(i), int(j)) for i, j in np.transpose(np.unravel_index(order, wrong.shape))]
    return [(i, j, int(wrong[i, j])) for i, j in pairs if wrong[i, j]]


def _fields(config: ConfigDict) -> list[tuple[str, Any, Any]]:
    """Lists the fields of a config: name, value, and the default config's value."""
    default = config_lib.flatten(config_lib.load(config_lib.default_path()))
    return [(name, value, default[name]) for name, value in config_lib.flatten(config).items()]


def _made_with(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Selects what summary.json says about the machine, the time and the versions."""
    names = ("backend", "device_count", "total_seconds", "compile_seconds")
    known = {name: summary[name] for name in names if name in summary}
    return known | summary.get("versions", {})


def _first_of_each(labels: np.ndarray) -> list[int]:
    """Finds the first image of each digit that occurs, from 0 to 9."""
    return [int(place) for place in np.unique(labels, return_index=True)[1]]


def _small_png(image: np.ndarray) -> str:
    """Encodes an image, uint8[28,28], as a PNG in a data URI."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, format="PNG", optimize=True)
    return _data_uri(file.getvalue())


def _figure(light: bytes, dark: bytes, alt: str) -> Figure:
    """Encodes a plot for the page, at half its size in pixels."""
    with Image.open(io.BytesIO(light)) as image:
        width, height = image.size
    return Figure(_data_uri(light), _data_uri(dark), width // 2, height // 2, alt)


def _data_uri(png: bytes) -> str:
    """Encodes a PNG as a data URI."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
