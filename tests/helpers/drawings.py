"""Digits that nobody in MNIST wrote: drawn with a pen, and printed in several fonts."""

from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

# Strokes of each digit, as points (x, y) from 0 to 100, y downwards.
STROKES: dict[int, list[list[tuple[int, int]]]] = {
    0: [
        [
            (50, 10),
            (28, 22),
            (20, 50),
            (30, 80),
            (50, 90),
            (72, 78),
            (80, 48),
            (70, 20),
            (50, 10),
        ]
    ],
    1: [[(54, 8), (50, 50), (47, 92)]],
    2: [[(22, 28), (38, 10), (62, 10), (74, 30), (60, 55), (22, 90), (50, 84), (80, 90)]],
    3: [
        [
            (25, 16),
            (50, 8),
            (70, 20),
            (66, 38),
            (45, 47),
            (70, 56),
            (76, 75),
            (55, 92),
            (24, 84),
        ]
    ],
    4: [[(38, 8), (24, 52), (78, 50)], [(66, 12), (60, 92)]],
    5: [
        [(34, 12), (30, 45), (55, 40), (74, 58), (66, 82), (44, 92), (24, 82)],
        [(34, 12), (74, 8)],
    ],
    6: [[(64, 8), (36, 36), (26, 68), (44, 92), (68, 84), (72, 64), (54, 54), (30, 66)]],
    7: [[(20, 14), (78, 10), (58, 50), (44, 92)]],
    8: [
        [
            (70, 22),
            (50, 8),
            (32, 24),
            (48, 46),
            (68, 66),
            (60, 88),
            (40, 90),
            (30, 72),
            (50, 48),
        ],
        [(50, 48), (70, 22)],
    ],
    9: [[(72, 24), (50, 10), (30, 28), (40, 48), (64, 44), (72, 24), (68, 60), (60, 92)]],
}

FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono-Oblique", "DejaVuSerif", "default")


def drawn(digit: int, side: int, width: int) -> Image.Image:
    """A mode 'L' picture of side x side pixels, black on white, off its centre."""
    image = Image.new("L", (side, side), 255)
    pen = ImageDraw.Draw(image)
    for stroke in STROKES[digit]:
        points = [(side * (0.1 + 0.006 * x), side * (0.15 + 0.006 * y)) for x, y in stroke]
        pen.line(points, fill=0, width=width, joint="curve")
    return image


def printed(text: str, font: str, size: int) -> Image.Image:
    """A mode 'L' picture, black on white."""
    if font == "default":
        chosen = ImageFont.load_default(size)
    else:
        folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
        chosen = ImageFont.truetype(str(folder / f"{font}.ttf"), size)
    image = Image.new("L", (2 * size, 2 * size), 255)
    ImageDraw.Draw(image).text((size // 2, size // 3), text, fill=0, font=chosen)
    return image


def pixels(image: Image.Image) -> np.ndarray:
    """float32[H,W], 0 to 255."""
    return np.asarray(image, np.float32)


def one(
    flag: float, drop: float, lean: float = 0, foot: float = 0
) -> list[list[tuple[float, float]]]:
    """The strokes of a 1 as written in Europe, as points (x, y) from 0 to 100.

    Args:
      flag: how far the flag reaches to the left, as a part of the height.
      drop: how far it falls, as a part of the height.
      lean: how far the stem leans to the right, as a part of the height.
      foot: the length of the line it stands on, as a part of the height.
    """
    top, bottom = 60 + 40 * lean, 60 - 40 * lean
    strokes = [[(top - 80 * flag, 10 + 80 * drop), (top, 10), (bottom, 90)]]
    if foot:
        strokes.append([(bottom - 40 * foot, 90), (bottom + 40 * foot, 90)])
    return strokes
