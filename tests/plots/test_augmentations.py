"""One digit under each augmentation: that each row does what its captions say, and no more."""

import jax
import numpy as np
import pytest
from helpers.figures import THEMES, assert_is_picture, assert_legible
from matplotlib.figure import Figure
from ml_collections import ConfigDict
from PIL import Image, ImageEnhance

from mnist_flax import augment
from mnist_flax import config as config_lib
from mnist_flax.plots.augmentations import Row, augment_sheet, draw_augmentations
from mnist_flax.plots.themes import Theme


@pytest.fixture(scope="module")
def digit() -> np.ndarray:
    """A 7, away from the edges, with greys."""
    image = np.zeros((28, 28), np.uint8)
    image[7:10, 8:20] = 250
    image[10:22, 15:18] = 180
    return image


@pytest.fixture(scope="module")
def config() -> ConfigDict:
    return config_lib.load(config_lib.default_path())


@pytest.fixture(scope="module")
def rows(digit: np.ndarray, config: ConfigDict) -> dict[str, Row]:
    return {row.name.partition(",")[0].split()[0]: row for row in augment_sheet(digit, config)}


def test_captions(rows: dict[str, Row]) -> None:
    factors = [f"\N{MULTIPLICATION SIGN} {x}" for x in (0.8, 0.9, 1, 1.1, 1.2)]
    scales = [f"\N{MULTIPLICATION SIGN} {x}" for x in (0.9, 0.95, 1, 1.05, 1.1)]
    assert {name: row.captions for name, row in rows.items()} == {
        "Crop": ["as it is: 90%", "cropped: 10%"],
        "Rotate": ["\N{MINUS SIGN}10°", "\N{MINUS SIGN}5°", "0°", "+5°", "+10°"],
        "Brightness": factors,
        "Contrast": factors,
        "Shift": ["\N{MINUS SIGN}3 px", "\N{MINUS SIGN}2 px", "0 px", "+2 px", "+3 px"],
        "Scale": scales,
        "All": [""] * 5,
    }
    for row in rows.values():
        assert row.images.dtype == np.uint8
        assert row.images.shape == (len(row.captions), 28, 28)


def test_what_is_done_is_what_pillow_does(rows: dict[str, Row], digit: np.ndarray) -> None:
    image = Image.fromarray(digit)
    for i, factor in enumerate((0.8, 0.9, 1.0, 1.1, 1.2)):
        for name in ("Brightness", "Contrast"):
            expected = getattr(ImageEnhance, name)(image).enhance(np.float32(factor))
            np.testing.assert_array_equal(rows[name].images[i], expected, err_msg=name)
    for i, degrees in enumerate((-10, -5, 0, 5, 10)):
        np.testing.assert_array_equal(rows["Rotate"].images[i], image.rotate(degrees))
    for i, pixels in enumerate((-3, -2, 0, 2, 3)):
        expected = np.roll(digit, (pixels, pixels), (0, 1))
        np.testing.assert_array_equal(rows["Shift"].images[i], expected)
    whole, cropped = rows["Crop"].images
    np.testing.assert_array_equal(whole, digit)
    assert cropped.sum() > 1.3 * digit.sum()
    smaller, *_, larger = rows["Scale"].images
    np.testing.assert_array_equal(rows["Scale"].images[2], digit)
    assert smaller.sum() < digit.sum() < larger.sum()


def test_all_together_is_drawn_as_in_training(
    rows: dict[str, Row], digit: np.ndarray, config: ConfigDict
) -> None:
    draws = augment.sample_params(jax.random.key(config.seed), 5, config.augment)
    expected = augment.apply(np.stack([digit] * 5), draws)
    np.testing.assert_array_equal(rows["All"].images, expected)


def test_a_config_without_augmentation(digit: np.ndarray, config: ConfigDict) -> None:
    """And brightness and contrast from 0 on, as they cannot be less."""
    config = config.copy_and_resolve_references()
    config.augment.update(
        degrees=0.0, translate=0.0, scale_min=1.0, scale_max=1.0, crop_probability=0.0
    )
    config.augment.update(brightness=1.5, contrast=0.0)
    rows = {row.name: row for row in augment_sheet(digit, config)}
    for name in ("Rotate", "Scale", "Contrast", "Shift, across and down"):
        assert (rows[name].images == digit).all(), name
    assert rows["Rotate"].captions == ["0°"] * 5
    assert rows["Brightness"].captions[0] == "\N{MULTIPLICATION SIGN} 0"
    assert not rows["Brightness"].images[0].any()


@THEMES
@pytest.mark.filterwarnings("error")
def test_a_picture(digit: np.ndarray, config: ConfigDict, theme: Theme) -> None:
    assert_is_picture(lambda theme: draw_augmentations(digit, config, theme), theme)


def test_no_words_on_others_or_beyond_the_edge(
    digit: np.ndarray, config: ConfigDict, drawn: list[Figure]
) -> None:
    config = config.copy_and_resolve_references()
    config.augment.degrees = 10.5
    draw_augmentations(digit, config)
    assert "\N{MINUS SIGN}10.5°" in [text.get_text() for text in drawn[0].axes[0].texts]
    assert_legible(drawn[0])
