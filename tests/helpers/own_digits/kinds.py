"""The kinds of pictures of one plain digit, each of which a person reads at once."""

from collections.abc import Callable
from functools import partial

import numpy as np
from PIL import Image

from helpers.own_digits import lights, papers, pens
from helpers.own_digits.sheets import Rng

# Makes a picture of a glyph, float32[h,w].
Kind = Callable[[Rng, np.ndarray], Image.Image]

KINDS: dict[str, Kind] = {
    "plain": pens.plain,
    "coloured pen": pens.coloured,
    "chalkboard": pens.chalkboard,
    "JPEG": pens.jpeg,
    "rotated": pens.rotated,
    "perspective": pens.perspective,
    "dust": pens.dust,
    "shading": lights.shading,
    "transparent": pens.transparent,
    "frame, pale": partial(papers.frame, below=(10, 40), width=1, inset=0),
    "frame, dark": partial(papers.frame, below=(80, 250), width=1, inset=0),
    "frame, thick": partial(papers.frame, below=(20, 250), width=8, inset=0),
    "frame, off the rim": partial(papers.frame, below=(20, 250), width=4, inset=10),
    **{f"scanner edge, {n}": partial(papers.scanner_edge, sides=n) for n in (1, 2, 3, 4)},
    **{f"table, {n}": partial(papers.table, sides=n) for n in (2, 3)},
    "sheet on a table": partial(papers.on_table, degrees=0),
    "sheet on a table, turned": partial(papers.on_table, degrees=8),
    **{
        f"ruled, {x}": partial(papers.ruled, contrast=x, squared=False)
        for x in (0.3, 0.45, 0.6, 0.75, 0.9)
    },
    **{
        f"squared, {x}": partial(papers.ruled, contrast=x, squared=True)
        for x in (0.3, 0.5, 0.7)
    },
    **{
        f"{name}, on a table": partial(
            papers.ruled_on_table, contrast=(0.3, 0.7), squared=name == "squared"
        )
        for name in ("ruled", "squared")
    },
    "blue on blue lines": papers.blue_on_blue,
    "box": partial(papers.boxed, room=(0.12, 0.35), comb=False),
    "box, comb": partial(papers.boxed, room=(0.12, 0.35), comb=True),
    "box, touching": partial(papers.boxed, room=(-0.03, 0.12), comb=False),
    **{f"light spot, +{x}": partial(lights.light_spot, more=x) for x in (30, 60, 90)},
    "noise, 180, sd 25": partial(lights.grainy, contrast=180, sd=25),
    "noise, 180, sd 30": partial(lights.grainy, contrast=180, sd=30),
    "noise, 45, sd 9": partial(lights.grainy, contrast=45, sd=9),
    "salt and pepper": lights.salt_and_pepper,
    "hard shadow": partial(lights.hard_shadow, diagonal=False),
    "hard shadow, diagonal": partial(lights.hard_shadow, diagonal=True),
    "broken strokes": pens.broken,
    "hairline": pens.hairline,
    "tight crop": pens.tight,
    "tight crop, speck": pens.tight_speck,
    "punch hole": papers.punch_hole,
    "equal luminance": pens.equal_luminance,
    "12 of 16 bits": pens.twelve_bit,
    "faint pencil": pens.faint_pencil,
    "photo, position": partial(lights.photo, margin=(0.1, 2)),
    "photo, scale": partial(lights.photo, side=(24, 400)),
    "photo, blur": partial(lights.photo, blur=(1, 5)),
    "photo, noise": partial(lights.photo, noise=(5, 15)),
    "photo, shadow": partial(lights.photo, shadow=(0.2, 0.5)),
}
