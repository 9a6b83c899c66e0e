"""The page in windows of every size, in real browsers: nothing overlaps, nothing moves away."""

import itertools

import numpy as np
import pytest
from helpers.demo_page import box, draw, draw_strokes, picture, shares

# In CSS pixels. The first is a window of 1280x1024 at 400 %.
SMALL_AND_LOW = ((320, 256), (320, 300), (390, 360), (400, 300))
USUAL = ((568, 320), (667, 375), (844, 390), (390, 844), (768, 1024), (1280, 800))
SIZES = (*SMALL_AND_LOW, *USUAL)
DOT = [[(50, 50), (51, 50)]]
# All that a person sees, as rectangles: the lines of each text, canvases and buttons.
RECTANGLES = """() => {
  const found = [];
  const add = (name, { left, top, right, bottom }) => {
    if (right > left && bottom > top) found.push([name, left, top, right, bottom]);
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const parent = texts.currentNode.parentElement;
    if (parent.closest("#hint, #spoken, button, script")) continue;
    if (parent.id === "digit") {
      // Its letters are taller than its line.
      add("digit", parent.getBoundingClientRect());
      continue;
    }
    if (getComputedStyle(parent).visibility === "hidden") continue;
    const range = document.createRange();
    range.selectNodeContents(texts.currentNode);
    for (const line of range.getClientRects()) add(range.toString(), line);
  }
  for (const item of document.querySelectorAll("canvas, button, .track")) {
    add(item.id || item.className, item.getBoundingClientRect());
  }
  return found;
}"""


def settled(page) -> None:
    """Waits until the page has redrawn, twice: a change of size is seen with the next frame."""
    shares(page)
    shares(page)


@pytest.fixture(params=["nothing", "a dot", "a digit"])
def drawn(request, page):
    """The page with what it shows before, while and after one draws."""
    if request.param == "a dot":
        draw_strokes(page, DOT)
    if request.param == "a digit":
        draw(page, 8)
    return page


def test_nothing_overlaps_and_nothing_is_beside_the_window(drawn) -> None:
    for width, height in SIZES:
        drawn.resize(width, height)
        settled(drawn)
        inside, all_of_it = drawn.evaluate(
            "(({clientWidth, scrollWidth}) => [clientWidth, scrollWidth])"
            "(document.documentElement)"
        )
        assert all_of_it <= inside
        found = drawn.evaluate(RECTANGLES)
        assert len(found) > 20
        for name, left, top, right, _ in found:
            assert min(left, top) >= 0, (width, height, name)
            assert right <= inside + 0.5, (width, height, name)
        for (one, *a), (other, *b) in itertools.combinations(found, 2):
            wide = min(a[2], b[2]) - max(a[0], b[0])
            high = min(a[3], b[3]) - max(a[1], b[1])
            # The boxes of two lines of a text may touch.
            assert wide <= 1 or high <= 4, (width, height, one, other)


@pytest.mark.parametrize("size", SMALL_AND_LOW)
def test_small_windows_show_paper_and_answer_at_once(size, page) -> None:
    page.resize(*size)
    settled(page)
    for name in ("clear", "paper", "digit", "seen"):
        assert box(page, name)["bottom"] <= size[1], name
    # Room to put a finger beside the paper and scroll.
    assert 112 <= box(page, "paper")["width"] <= 0.6 * size[0]


def test_the_paper_stays_where_it_is(page) -> None:
    for size in SIZES:
        page.resize(*size)
        page.press("Escape")
        settled(page)
        before = box(page, "paper")
        for strokes in (DOT, [[(20, 20), (80, 80)]], [[(80, 20), (20, 80)]]):
            draw_strokes(page, strokes)
            settled(page)
            assert box(page, "paper") == before


def test_a_finer_screen_redraws_at_once(page) -> None:
    """As when the window goes to another screen: only the ratio of pixels changes."""
    draw(page, 3)
    for ratio in (2, 3, 1.5):
        page.resize(1280, 800, ratio)
        settled(page)
        paper = picture(page, "paper")
        width = page.evaluate("document.getElementById('paper').clientWidth")
        assert paper.shape[:2] == (round(width * ratio),) * 2
        assert 0.05 < np.mean(paper[..., 3] > 0) < 0.2


def test_a_dark_page_draws_in_light_ink(chromium, address) -> None:
    """In Chromium only: Firefox's protocol does not change the colour scheme."""
    with chromium.shown(address) as page:
        draw(page, 3)
        for scheme, shade in (("light", 0x1C), ("dark", 0xF3), ("light", 0x1C)):
            page.command(
                "Emulation.setEmulatedMedia",
                features=[{"name": "prefers-color-scheme", "value": scheme}],
            )
            settled(page)
            paper = picture(page, "paper")
            assert np.median(paper[paper[..., 3] == 255][:, 0]) == shade
