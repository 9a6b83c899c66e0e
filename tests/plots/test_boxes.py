"""The sheet of `--many --save-preview`."""

import io
import itertools

import numpy as np
import pytest
from helpers.figures import THEMES
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from mnist_flax.plots.boxes import MOST, draw_boxes
from mnist_flax.plots.themes import LIGHT

BOXES = [(10.0, 20.0, 40.0, 70.0), (50.0, 22.0, 80.0, 72.0)]
ANSWERS = [(4, 0.99), (2, 0.6)]


def draw(count: int = 1, name: str = "a.png", **fields: object) -> bytes:
    pictures = [np.full((100, 200), 255.0)] * count
    return draw_boxes(pictures, [BOXES] * count, [ANSWERS] * count, [name] * count, **fields)


def patches(figure: Figure) -> list[Rectangle]:
    return [
        patch for axes in figure.axes for patch in axes.patches if isinstance(patch, Rectangle)
    ]


@THEMES
def test_boxes_and_digits(drawn, theme) -> None:
    assert draw(theme=theme) == b""
    (figure,) = drawn
    assert [patch.get_bbox().extents.tolist() for patch in patches(figure)] == [
        list(box) for box in BOXES
    ]
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == ["4", "2"]
    # Whether it is sure has a colour.
    colours = [patch.get_edgecolor()[:3] for patch in patches(figure)]
    assert colours == [to_rgb(theme.test), to_rgb(theme.target)]
    assert axes.get_title(loc="left") == "a.png"


def test_it_is_a_png() -> None:
    with Image.open(io.BytesIO(draw())) as image:
        assert image.format == "PNG"
        seen = np.asarray(image.convert("RGB"))
    for colour in (LIGHT.test, LIGHT.target):
        assert (seen == np.round(np.multiply(to_rgb(colour), 255))).all(-1).sum() > 50


@pytest.mark.parametrize("count", [1, 3, MOST + 2])
def test_pictures_below_each_other_and_no_more_than_most(drawn, count) -> None:
    draw(count)
    (figure,) = drawn
    shown = figure.axes
    assert len(shown) == min(count, MOST)
    bottoms = [axes.get_position().y0 for axes in shown]
    assert bottoms == sorted(bottoms, reverse=True)
    for above, below in itertools.pairwise(shown):
        assert below.get_position().y1 <= above.get_position().y0


@pytest.mark.parametrize("shape", [(30, 600), (100, 100), (600, 30)])
def test_any_shape_is_shown_whole(drawn, shape) -> None:
    picture = np.zeros(shape)
    draw_boxes([picture], [[(1, 1, 20, 20)]], [[(7, 0.9)]], ["a"])
    (axes,) = drawn[0].axes
    drawn[0].draw_without_rendering()
    assert axes.get_xlim() == (-0.5, shape[1] - 0.5)
    assert axes.get_ylim() == (shape[0] - 0.5, -0.5)
    width, height = (
        axes.get_position().width * drawn[0].get_figwidth(),
        axes.get_position().height * drawn[0].get_figheight(),
    )
    assert height / width == pytest.approx(shape[0] / shape[1], rel=0.1)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["$\\frac{", "数字三.png", "a\\x07.png"])
def test_names_of_any_kind(name) -> None:
    assert draw(name=name).startswith(b"\x89PNG")


def test_a_picture_in_which_nothing_was_found(drawn) -> None:
    draw_boxes([np.zeros((50, 50))], [[]], [[]], ["a.png"])
    assert patches(drawn[0]) == []
