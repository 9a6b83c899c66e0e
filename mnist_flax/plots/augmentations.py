"""Draws one digit under each augmentation of a config, over its whole range."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from mnist_flax import augment
from mnist_flax.augment import AugmentParams
from mnist_flax.plots.sheet import canvas, finish, put_image, put_text
from mnist_flax.plots.themes import LIGHT, Theme, isolated

# Images in a row: odd, so that the middle of a range is one of them.
_COLUMNS = 5
_TIMES = "\N{MULTIPLICATION SIGN}"


class Row(NamedTuple):
    """One row of the picture.

    Attributes:
      name: the augmentation.
      captions: N texts, what was done to each image.
      images: uint8[N,28,28].
    """

    name: str
    captions: list[str]
    images: np.ndarray


def augment_sheet(image: np.ndarray, config: ConfigDict) -> list[Row]:
    """Applies each augmentation alone, then all of them together.

    Args:
      image: uint8[28,28], 0 (background) to 255.
      config: the config of a run; the fields of `augment` and `seed` are used.

    Returns:
      One row for each augmentation, from one end of its range to the other, then one row of
      random draws as in training. A row has up to five images.
    """
    ranges = config.augment
    shift = round(28 * ranges.translate)
    shifts = np.round(np.linspace(-shift, shift, _COLUMNS)).astype(np.int32)
    crop = f"Crop to {ranges.crop_size} {_TIMES} {ranges.crop_size} and enlarge"
    share = ranges.crop_probability
    spread = {
        "degrees": np.linspace(-ranges.degrees, ranges.degrees, _COLUMNS),
        "brightness": np.linspace(
            max(0, 1 - ranges.brightness), 1 + ranges.brightness, _COLUMNS
        ),
        "contrast": np.linspace(max(0, 1 - ranges.contrast), 1 + ranges.contrast, _COLUMNS),
        "scale": np.linspace(ranges.scale_min, ranges.scale_max, _COLUMNS),
    }
    rows = [
        (
            crop,
            [f"as it is: {1 - share:.0%}", f"cropped: {share:.0%}"],
            _alone(crop=np.array([False, True])),
        ),
        ("Rotate", [f"{_signed(x)}°" for x in spread["degrees"]], _spread(spread, "degrees")),
        (
            "Brightness",
            [f"{_TIMES} {x:.3g}" for x in spread["brightness"]],
            _spread(spread, "brightness"),
        ),
        (
            "Contrast",
            [f"{_TIMES} {x:.3g}" for x in spread["contrast"]],
            _spread(spread, "contrast"),
        ),
        (
            "Shift, across and down",
            [f"{_signed(x)} px" for x in shifts],
            _alone(translate=np.stack([shifts, shifts], axis=1)),
        ),
        ("Scale", [f"{_TIMES} {x:.3g}" for x in spread["scale"]], _spread(spread, "scale")),
        (
            "All together, as in training",
            [""] * _COLUMNS,
            augment.sample_params(jax.random.key(config.seed), _COLUMNS, ranges),
        ),
    ]
    counts = [len(captions) for _, captions, _ in rows]
    draws = jax.tree.map(lambda *draws: np.concatenate(draws), *(draw for _, _, draw in rows))
    images = jnp.broadcast_to(jnp.asarray(image), (sum(counts), *image.shape))
    program = jax.jit(augment.apply, static_argnames="crop_size")
    results = np.asarray(program(images, draws, crop_size=ranges.crop_size))
    parts = np.split(results, np.cumsum(counts)[:-1])
    return [
        Row(name, captions, part) for (name, captions, _), part in zip(rows, parts, strict=True)
    ]


@isolated
def draw_augmentations(image: np.ndarray, config: ConfigDict, theme: Theme = LIGHT) -> bytes:
    """Draws one digit under each augmentation of a config.

    Args:
      image: uint8[28,28], 0 (background) to 255.
      config: the config of a run; the fields of `augment` and `seed` are used.
      theme: the colours.

    Returns:
      A PNG, 1080 pixels wide.
    """
    rows = augment_sheet(image, config)
    side, gap, title, caption = 96, 10, 30, 22
    step = title + side + caption + 6
    figure, axes = canvas(len(rows) * step, theme)
    for number, row in enumerate(rows):
        top = number * step + title
        put_text(axes, gap, top - 12, row.name, theme.text, 11, weight="bold")
        for i, (image, words) in enumerate(zip(row.images, row.captions, strict=True)):
            left = gap + i * (side + gap)
            put_image(axes, image, left, top, side)
            put_text(axes, left, top + side + 11, words, theme.faint_text, 9.5)
    return finish(figure, axes, len(rows) * step)


def _signed(number: float) -> str:
    """Writes a number with its sign; 0 has none."""
    return f"{number:+.3g}".replace("-", "\N{MINUS SIGN}") if number else "0"


def _spread(spread: dict[str, np.ndarray], name: str) -> AugmentParams:
    """Makes parameters that take one augmentation through its range."""
    return _alone(**{name: spread[name].astype(np.float32)})


def _alone(**draws: np.ndarray) -> AugmentParams:
    """Makes parameters of which only the given ones change an image."""
    (n,) = {len(draw) for draw in draws.values()}
    nothing = {
        "crop": np.zeros(n, bool),
        "degrees": np.zeros(n, np.float32),
        "brightness": np.ones(n, np.float32),
        "contrast": np.ones(n, np.float32),
        "brightness_first": np.zeros(n, bool),
        "translate": np.zeros((n, 2), np.int32),
        "scale": np.ones(n, np.float32),
    }
    return AugmentParams(**jax.tree.map(jnp.asarray, nothing | draws))
