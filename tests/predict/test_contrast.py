"""Ink is told from its paper: whichever is darker, however the sheet is lit."""

import numpy as np
import pytest
from helpers.drawings import drawn, pixels
from scipy import ndimage

from mnist_flax.predict import contrast

SIDE = 240


@pytest.fixture
def strokes() -> np.ndarray:
    """float32[SIDE,SIDE], 0 (paper) to 1 (ink): a drawn 5."""
    return 1 - pixels(drawn(5, SIDE, 12)) / 255


def grid() -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    return y, x


def picture(strokes: np.ndarray, paper: np.ndarray | float, contrast: float) -> np.ndarray:
    """Draws ink that takes this share of the paper's light away."""
    return (paper * (1 - contrast * strokes)).astype(np.float32)


def assert_found(gray: np.ndarray, strokes: np.ndarray, share: float = 0.85) -> contrast.Ink:
    """The first ink covers the strokes and little else."""
    ink = contrast.find_ink(gray)[0]
    found = ink.level > (ink.floor + ink.most) / 2
    expected = strokes > 0.5
    assert (found & expected).sum() / (found | expected).sum() >= share
    return ink


@pytest.mark.parametrize(("paper", "ink"), [(255, 0), (200, 120), (250, 160), (120, 20)])
@pytest.mark.parametrize("light", [False, True])
def test_dark_ink_and_light_ink(strokes, paper, ink, light) -> None:
    gray = (ink + (paper - ink) * (1 - strokes)).astype(np.float32)
    assert_found(255 - gray if light else gray, strokes)


def test_the_other_polarity_comes_second(strokes) -> None:
    inks = contrast.find_ink(picture(strokes, 230, 0.8))
    assert len(inks) <= 2
    if len(inks) == 2:
        dark, light = inks
        assert dark.level[strokes > 0.5].mean() > 0.5
        assert light.level[strokes > 0.5].mean() < 0.05


def test_levels_are_shares_of_the_paper(strokes) -> None:
    ink = assert_found(picture(strokes, 231, 0.8), strokes)
    # The paper's level is 255 once the picture is scaled; 24 is added to it.
    assert ink.most == pytest.approx(0.8 * 255 / (255 + 24), abs=0.03)
    assert ink.level[strokes == 0].max() < 0.03
    assert ink.level.dtype == np.float32


@pytest.mark.parametrize("fall", [0.3, 0.6])
def test_shading(strokes, fall) -> None:
    y, x = grid()
    light = 1 - fall * (2 + x + y) / 4
    assert_found(picture(strokes, 240 * light, 0.7), strokes)


@pytest.mark.parametrize("more", [30, 60, 90])
def test_a_spot_of_light(strokes, more) -> None:
    y, x = grid()
    spot = np.exp(-((y - 0.2) ** 2 + (x + 0.3) ** 2) / 0.4)
    assert_found(picture(strokes, 150 + more * spot, 0.8), strokes)


@pytest.mark.parametrize("depth", [0.3, 0.5])
@pytest.mark.parametrize("angle", [0.0, 0.8, np.pi / 2])
def test_a_hard_shadow(strokes, depth, angle) -> None:
    y, x = grid()
    side = ndimage.gaussian_filter((np.cos(angle) * x + np.sin(angle) * y > 0.1) * 1.0, 1)
    assert_found(picture(strokes, 240 * (1 - depth * side), 0.8), strokes, share=0.65)


@pytest.mark.parametrize("wide", [20, 40])
def test_the_edge_of_a_sheet_on_a_table_is_no_ink(strokes, wide) -> None:
    around = np.pad(picture(strokes, 240, 0.8), wide, constant_values=70)
    # Light ink, the sheet itself, may come first: its shape tells, in strokes.py.
    dark = min(
        contrast.find_ink(around), key=lambda ink: ink.level[wide:-wide, wide:-wide].mean()
    )
    on_sheet = dark.level[wide + 1 : -wide - 1, wide + 1 : -wide - 1]
    np.testing.assert_array_equal(on_sheet > 0.5, strokes[1:-1, 1:-1] > 0.5)


@pytest.mark.parametrize(("step", "sd"), [(180, 25), (180, 30), (45, 9)])
def test_noise(strokes, step, sd) -> None:
    rng = np.random.default_rng(0)
    gray = 220 - step * strokes + rng.normal(0, sd, strokes.shape)
    assert_found(np.clip(gray, 0, 255).astype(np.float32), strokes, share=0.7)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 2), (3, 500), (60, 60), (300, 200)])
@pytest.mark.parametrize("shade", [0, 1, 128, 255])
def test_an_even_sheet_has_no_ink(size, shade) -> None:
    assert contrast.find_ink(np.full(size, shade, np.float32)) == []


@pytest.mark.parametrize("sd", [1, 3, 10, 25])
def test_noise_alone_is_no_ink(sd) -> None:
    gray = np.random.default_rng(1).normal(128, sd, (300, 300))
    assert contrast.find_ink(np.clip(gray, 0, 255).astype(np.float32)) == []


def test_a_small_digit_on_a_large_sheet_is_ink() -> None:
    gray = np.full((512, 512), 255, np.float32)
    gray[100:116, 300:303] = 0
    (ink, *_) = contrast.find_ink(gray)
    assert (ink.level[100:116, 300:303] > 0.5).all()
    assert ink.most > 0.5


def test_noise_in_a_black_edge_is_no_ink(strokes) -> None:
    noise = np.random.default_rng(0).normal(0, 2, strokes.shape)
    gray = picture(strokes, 240, 0.7) + noise
    gray[:16], gray[-16:], gray[:, :16], gray[:, -16:] = (
        np.clip(8 + part, 0, 255)
        for part in (noise[:16], noise[-16:], noise[:, :16], noise[:, -16:])
    )
    ink = assert_found(gray.astype(np.float32), strokes)
    edge = np.ones(strokes.shape, bool)
    edge[16:-16, 16:-16] = False
    assert (ink.level[edge] > ink.floor).mean() < 0.02


def test_narrowed_paper_follows_a_shadow_beside_the_strokes(strokes) -> None:
    y, x = grid()
    shadow = 1 - 0.45 * np.exp(-((y - 0.1) ** 2 + (x + 0.1) ** 2) / (2 * 0.25**2))
    (ink, *_) = contrast.find_ink(picture(strokes, 230 * shadow, 0.7))
    finer = contrast.narrowed(ink, 12)
    free = ndimage.distance_transform_edt(strokes < 0.5) > 8
    assert finer.level[free].max() < 0.75 * ink.level[free].max()
    assert finer.level[strokes > 0.9].min() > 0.5


def test_paper_is_not_narrowed_where_strokes_are_bold(strokes) -> None:
    (ink, *_) = contrast.find_ink(picture(strokes, 230, 0.7))
    assert contrast.narrowed(ink, 30) is ink
