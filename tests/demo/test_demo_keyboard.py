"""The page without a mouse, in real browsers."""

import numpy as np
import pytest
from helpers.demo_page import box, is_empty, places, shares

# A 7 from the middle of the paper: held keys in brackets stay down for the others of a step.
SEVEN = (
    *["ArrowUp"] * 8,
    *["ArrowLeft"] * 5,
    " ",
    *["ArrowRight"] * 10,
    *["ArrowDown"] * 2,
    *["ArrowLeft", "ArrowDown", "ArrowDown"] * 5,
    *["ArrowDown"] * 4,
    " ",
)


def to_paper(page) -> None:
    """Goes to the paper with the tabulator, as it is after the buttons."""
    page.press("Tab", "Tab", "Tab")
    assert page.evaluate("document.activeElement.id") == "paper"


def cursor(page) -> tuple[float, float] | None:
    """The middle of the keyboard's pen as a part of the paper; None if it is not shown."""
    pen, paper = box(page, "cursor"), box(page, "paper")
    if not pen["width"]:
        return None
    return (
        (pen["left"] + pen["width"] / 2 - paper["left"]) / paper["width"],
        (pen["top"] + pen["height"] / 2 - paper["top"]) / paper["height"],
    )


def test_a_digit_drawn_with_keys(page) -> None:
    assert cursor(page) is None
    to_paper(page)
    assert cursor(page) == pytest.approx((0.5, 0.5), abs=0.01)
    down = SEVEN.index(" ")
    page.press(*SEVEN[:down])
    assert is_empty(page)
    assert cursor(page) == pytest.approx((0.3, 0.18), abs=0.01)
    page.press(" ")
    assert page.text("spoken") == "Pen down."
    assert page.evaluate("document.getElementById('cursor').className") == "down"
    page.press(*SEVEN[down + 1 :])
    assert int(np.argmax(shares(page))) == 7
    assert page.text("spoken").startswith(f"Pen up. 7, {round(100 * shares(page)[7])} percent.")
    # Lifted, the pen draws no more.
    before = shares(page)
    page.press(*["ArrowUp"] * 9)
    assert shares(page) == before
    page.press("Escape")
    assert is_empty(page)


def test_two_arrow_keys_draw_aslant(page) -> None:
    to_paper(page)
    page.key("ArrowLeft", down=True)
    page.press(*["ArrowDown"] * 5)
    page.key("ArrowLeft", down=False)
    page.press("ArrowDown")
    assert cursor(page) == pytest.approx((0.5 - 6 * 0.04, 0.5 + 6 * 0.04), abs=0.01)


def test_the_pen_stays_on_the_paper_and_the_page_where_it_is(page) -> None:
    page.resize(320, 256)
    to_paper(page)
    page.press(*["ArrowDown"] * 30, *["ArrowRight"] * 30)
    assert cursor(page) == pytest.approx((1, 1), abs=0.02)
    assert page.evaluate("scrollY") == 0


def test_leaving_the_paper_lifts_the_pen(page) -> None:
    to_paper(page)
    page.press(" ", *["ArrowDown"] * 8, "Tab")
    assert cursor(page) is None
    assert int(np.argmax(shares(page))) == 1
    assert page.text("spoken") == f"Pen up. 1, {round(100 * shares(page)[1])} percent."
    page.evaluate("document.getElementById('paper').focus()")
    before = shares(page)
    page.press(*["ArrowRight"] * 8)
    assert shares(page) == before


def test_mouse_and_keyboard_draw_on_one_paper(page) -> None:
    """A 4: the keys draw its stem, the mouse the rest; the mouse hides the keys' pen."""
    to_paper(page)
    page.press(*["ArrowRight"] * 3, *["ArrowUp"] * 8, " ", *["ArrowDown"] * 16)
    (corner,) = places(page, [[(38, 15), (24, 55), (78, 55)]])
    page.move(*corner[0])
    page.button(down=True)
    assert cursor(page) is None
    for point in corner[1:]:
        page.move(*point, steps=5)
    page.button(down=False)
    assert int(np.argmax(shares(page))) == 4
    page.press("ArrowUp")
    assert cursor(page) is not None


def test_what_has_the_focus_is_seen_and_has_a_name(page) -> None:
    names = {"open": "Open a picture…", "clear": "Clear", "paper": "Paper to draw on"}
    for name, says in names.items():
        page.press("Tab")
        assert page.evaluate("document.activeElement.id") == name
        style, width = page.evaluate(
            "(({outlineStyle, outlineWidth}) => [outlineStyle, outlineWidth])"
            "(getComputedStyle(document.activeElement))"
        )
        assert (style, width) == ("solid", "3px")
        element = "document.activeElement"
        assert says == page.evaluate(
            f"{element}.getAttribute('aria-label') ?? {element}.innerText"
        )
    help_text = page.evaluate("document.activeElement.getAttribute('aria-describedby')")
    assert box(page, help_text)["height"] > 0
    for word in ("arrow keys", "Space", "Esc"):
        assert word in page.text(help_text)
