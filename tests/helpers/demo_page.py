"""The page to draw on, as a person uses it: draws on it and reads its answer."""

import base64
import io
from typing import Any

import numpy as np
from PIL import Image

from helpers.browsers import Tab
from helpers.drawings import STROKES

Point = tuple[float, float]


def shares(page: Tab) -> list[float]:
    """The ten probabilities that the page shows, once it has drawn what was last done."""
    found: list[float] = page.evaluate(
        """async () => {
          for (let i = 0; i < 2; i++) await new Promise(requestAnimationFrame);
          return [...document.querySelectorAll("#bars li")].map(
            (item) => Number(item.style.getPropertyValue("--share")));
        }"""
    )
    return found


def box(page: Tab, name: str) -> dict[str, float]:
    """The place of an element in the window: left, top, right, bottom, width, height."""
    found: dict[str, float] = page.evaluate(
        "(name) => document.getElementById(name).getBoundingClientRect()", name
    )
    return found


def places(page: Tab, strokes: Any, size: float = 0.7) -> list[list[Point]]:
    """Strokes with points 0 to 100, in pixels of the window: in the middle of the paper."""
    paper = box(page, "paper")

    def place(point: Point) -> Point:
        x, y = (0.5 + size * (value / 100 - 0.5) for value in point)
        return paper["left"] + paper["width"] * x, paper["top"] + paper["height"] * y

    return [[place(point) for point in stroke] for stroke in strokes]


def draw(page: Tab, digit: int, size: float = 0.7, watched: bool = False) -> list[list[float]]:
    """Draws a digit with the mouse; the probabilities on the way, if they are watched."""
    return draw_strokes(page, STROKES[digit], size, watched)


def draw_strokes(
    page: Tab, strokes: Any, size: float = 0.7, watched: bool = False
) -> list[list[float]]:
    """Draws strokes with the mouse; the probabilities on the way, if they are watched."""
    on_the_way = []
    for first, *others in places(page, strokes, size):
        page.move(*first)
        page.button(down=True)
        for point in others:
            page.move(*point, steps=2)
            if watched:
                on_the_way.append(shares(page))
        page.button(down=False)
    return on_the_way


def is_empty(page: Tab) -> bool:
    """Whether nothing is drawn, as a person sees it; all three signs of it agree."""
    signs = {
        max(shares(page)) == 0,
        page.text("digit") == "?",
        page.text("sentence") == "It answers as you draw.",
    }
    # "?" also stands where what is drawn is no digit.
    return signs == {True}


def picture(page: Tab, name: str) -> np.ndarray:
    """uint8[H,W,4], what is on a canvas, with its transparency."""
    url = page.evaluate("(name) => document.getElementById(name).toDataURL()", name)
    file = io.BytesIO(base64.b64decode(url.partition(",")[2]))
    return np.asarray(Image.open(file).convert("RGBA"))


def seen(page: Tab) -> np.ndarray:
    """uint8[28,28], what the page shows as what the network sees."""
    return picture(page, "seen")[..., 0]
