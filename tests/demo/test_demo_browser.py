"""The page in a real browser, headless: it is drawn on, and its answers are read.

The tests need the Python package playwright and a Chromium or Chrome of the system. Without
them they are skipped, but where the environment variable CI is set they fail.
"""

import base64
import contextlib
import functools
import http.server
import io
import itertools
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from helpers.drawings import STROKES
from helpers.trained_runs import WEIGHTS
from PIL import Image

from mnist_flax import config as config_lib
from mnist_flax import input_pipeline, steps
from mnist_flax.demo import build_page, command
from mnist_flax.predict import images
from mnist_flax.trained import loading

RUN = loading.from_weights(WEIGHTS)
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# No sandbox, no GPU, and no network traffic of its own.
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}}
# So low that the page has to be scrolled.
PHONE: dict[str, Any] = {
    "viewport": {"width": 360, "height": 420},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A Chromium."""
    missing = pytest.fail if os.environ.get("CI") else pytest.skip
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        missing("no Chromium here; apt-get install chromium")
    try:
        from playwright import sync_api
    except ImportError:
        missing("no playwright here; pip install '.[test]'")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which the command has written the page."""
    folder = tmp_path_factory.mktemp("page")
    argv = ["--weights", str(WEIGHTS), "--export-dir", str(folder), "--no-open"]
    assert command.main(argv) == 0
    return folder


@pytest.fixture
def page(request: pytest.FixtureRequest, browser: Any, folder: Path) -> Iterator[Any]:
    """The page, opened as a file on a desktop or the device that the test names."""
    device = getattr(request, "param", DESKTOP)
    with shown(browser, device, (folder / "index.html").as_uri()) as page:
        yield page


@contextlib.contextmanager
def shown(browser: Any, device: dict[str, Any], address: str) -> Iterator[Any]:
    """A page at an address. It may not complain, and may not request anything else."""
    complaints: list[str] = []
    requests: list[str] = []
    with browser.new_context(**device) as context:
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        context.on("request", lambda request: requests.append(request.url))
        page.goto(address)
        yield page
    assert complaints == []
    assert [url for url in requests if not url.startswith("data:")] == [address]


def shares(page: Any) -> list[float]:
    """The ten probabilities that the page shows, once it has drawn what was last done."""
    found: list[float] = page.evaluate(
        """async () => {
          for (let i = 0; i < 2; i++) await new Promise(requestAnimationFrame);
          return [...document.querySelectorAll("#bars li")].map(
            (item) => Number(item.style.getPropertyValue("--share")));
        }"""
    )
    return found


def places(page: Any, digit: int, size: float = 0.7) -> list[list[tuple[float, float]]]:
    """The strokes of a digit, in pixels of the page: in the middle of the paper."""
    box = page.locator("#paper").bounding_box()
    return [
        [
            tuple(
                box[start] + box[length] * (0.5 + size * (value / 100 - 0.5))
                for start, length, value in zip(
                    ("x", "y"), ("width", "height"), point, strict=True
                )
            )
            for point in stroke
        ]
        for stroke in STROKES[digit]
    ]


def draw(page: Any, digit: int, size: float = 0.7, watched: bool = False) -> list[list[float]]:
    """Draws with the mouse; the probabilities on the way, if they are watched."""
    on_the_way = []
    for first, *others in places(page, digit, size):
        page.mouse.move(*first)
        page.mouse.down()
        for point in others:
            page.mouse.move(*point, steps=6)
            if watched:
                on_the_way.append(shares(page))
        page.mouse.up()
    return on_the_way


def touch(page: Any, points: list[tuple[float, float]]) -> None:
    """Moves a finger from point to point."""
    session = page.context.new_cdp_session(page)

    def send(kind: str, *fingers: tuple[float, float]) -> None:
        where = [{"x": x, "y": y, "id": 1} for x, y in fingers]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": where})

    send("touchStart", points[0])
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        for part in np.linspace(0, 1, 7)[1:]:
            send("touchMove", (float(x0 + part * (x1 - x0)), float(y0 + part * (y1 - y0))))
    send("touchEnd")


def is_empty(page: Any) -> bool:
    """Whether nothing is drawn, as a person sees it; all three signs of it agree."""
    signs = {
        max(shares(page)) == 0,
        page.inner_text("#digit") == "?",
        page.inner_text("#sentence") == "It answers as you draw.",
    }
    (empty,) = signs
    return bool(empty)


def picture(page: Any, name: str) -> np.ndarray:
    """uint8[H,W,4], what is on a canvas, with its transparency."""
    url = page.evaluate("(name) => document.getElementById(name).toDataURL()", name)
    file = io.BytesIO(base64.b64decode(url.partition(",")[2]))
    return np.asarray(Image.open(file).convert("RGBA"))


def seen(page: Any) -> np.ndarray:
    """uint8[28,28], what the page shows as what the network sees."""
    return picture(page, "seen")[..., 0]


def test_the_probabilities_move_as_one_draws(page) -> None:
    assert is_empty(page)
    on_the_way = draw(page, 3, watched=True)
    assert len({tuple(found) for found in on_the_way}) > len(on_the_way) / 2
    assert len({int(np.argmax(found)) for found in on_the_way}) > 1
    for found in on_the_way:
        assert sum(found) == pytest.approx(1, abs=1e-3)
    assert int(np.argmax(shares(page))) == 3
    assert page.inner_text("#digit") == "3"
    assert page.inner_text("#sentence") == "This is a 3."
    assert page.inner_text("#spoken") == f"This is a 3. {round(100 * shares(page)[3])} percent."


@pytest.mark.parametrize("page", [PHONE], indirect=True)
def test_a_finger_draws_and_does_not_scroll(page) -> None:
    (stroke,) = places(page, 2)
    touch(page, stroke)
    assert int(np.argmax(shares(page))) == 2
    assert page.evaluate("scrollY") == 0
    # Beside the paper it does.
    touch(page, [(10, 400), (10, 300), (10, 200), (10, 100)])
    page.wait_for_function("scrollY > 0")


def test_logits_are_those_of_jax(page, data_dir) -> None:
    test = input_pipeline.load("test[:200]", data_dir)
    expected = loading.logits(RUN, test.images)
    pixels = test.images.reshape(200, 784).tolist()
    found = page.evaluate("(images) => images.map(mnist.logits)", pixels)
    difference = np.abs(np.array(found) - expected).max()
    print(f"largest difference of a logit: {difference:.1e}")
    assert difference < 1e-4


def test_other_layers(browser, data_dir) -> None:
    config = config_lib.load(config_lib.default_path())
    config.model.architecture = "4k5 pool 6k1 pool 5 5 same 3"
    state = steps.create_train_state(jax.random.key(0), config)
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    run = loading.Trained(config, variables, 0, True, [])
    test = input_pipeline.load("test[:20]", data_dir)
    expected = loading.logits(run, test.images)
    page = browser.new_page()
    page.set_content(build_page.build(run).decode())
    pixels = test.images.reshape(20, 784).tolist()
    found = page.evaluate("(images) => images.map(mnist.logits)", pixels)
    page.close()
    assert np.abs(np.array(found) - expected).max() < 1e-4
    assert np.abs(expected).max() > 0.01


def test_every_digit_as_predict_would_see_it(page) -> None:
    """The paper as a picture, read by images.py: nearly the same pixels, the same answers."""
    for digit in range(10):
        page.keyboard.press("Escape")
        draw(page, digit, 0.4 + 0.05 * digit)
        assert int(np.argmax(shares(page))) == digit
        found = seen(page)
        other = images.to_mnist(255 - picture(page, "paper")[..., 3].astype(np.float32))
        assert other is not None
        # A centre that lies in the middle of two pixels goes to either.
        shifts = itertools.product((-1, 0, 1), repeat=2)
        correlation = max(
            np.corrcoef(found.ravel(), np.roll(other, shift, (0, 1)).ravel())[0, 1]
            for shift in shifts
        )
        assert correlation > 0.9
        answers = loading.logits(RUN, np.stack([found, other])).argmax(1)
        assert answers.tolist() == [digit, digit]


def test_any_strokes_become_an_image_like_mnists(page) -> None:
    """It fits 20x20, is as white as can be, and its centre of mass is in the middle."""
    random = np.random.default_rng(0)
    drawings = []
    for _ in range(200):
        spread, start = random.uniform(0, 1, (2, 2))
        drawings.append(
            [
                np.clip(start + spread * random.uniform(-1, 1, (points, 2)), 0, 1).tolist()
                for points in random.integers(1, 9, random.integers(1, 4))
            ]
        )
    found = np.array(
        page.evaluate("(all) => all.map((strokes) => [...mnist.pixels(strokes)])", drawings)
    ).reshape(200, 28, 28)
    assert found.min() == 0
    for image in found:
        assert image.max() == 255
        places = np.argwhere(image)
        low, high = places.min(0), places.max(0)
        assert (high - low < 20).all()
        centre = (places * image[image > 0][:, None]).sum(0) / image.sum()
        for axis in range(2):
            at_the_rim = low[axis] <= 0 or high[axis] >= 27
            assert at_the_rim or abs(centre[axis] - 14) <= 0.51
    assert page.evaluate("[...mnist.pixels([])]") == [0] * 784


def test_ways_to_begin_anew(page) -> None:
    for clear in (
        lambda: page.click("text=Clear"),
        lambda: page.keyboard.press("Escape"),
        lambda: page.keyboard.press("Delete"),
        lambda: (page.focus("body"), page.keyboard.press("Tab"), page.keyboard.press("Enter")),
    ):
        draw(page, 1)
        assert not is_empty(page)
        clear()
        assert is_empty(page)
        assert page.inner_text("#spoken") == "The paper is empty."


def test_a_dot_and_a_stroke_beyond_the_paper(page) -> None:
    box = page.locator("#paper").bounding_box()
    page.mouse.click(box["x"] + 50, box["y"] + 90)
    assert sum(shares(page)) == pytest.approx(1, abs=1e-3)
    assert 0 < np.count_nonzero(seen(page)) < 100
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] - 150, box["y"] - 90, steps=4)
    page.mouse.up()
    assert sum(shares(page)) == pytest.approx(1, abs=1e-3)
    # Up again, the mouse draws no more.
    before = seen(page)
    page.mouse.move(box["x"] + 200, box["y"] + 200, steps=4)
    np.testing.assert_array_equal(seen(page), before)


def test_only_the_first_button_draws(page) -> None:
    for first, *others in places(page, 0):
        page.mouse.move(*first)
        page.mouse.down(button="right")
        for point in others:
            page.mouse.move(*point)
        page.mouse.up(button="right")
    assert is_empty(page)


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def test_the_page_on_a_web_server(browser, folder) -> None:
    """As `python -m http.server --bind 127.0.0.1 --directory FOLDER` serves it."""
    handler = functools.partial(QuietHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            address = f"http://127.0.0.1:{server.server_port}/"
            with shown(browser, DESKTOP, address) as page:
                draw(page, 5)
                assert int(np.argmax(shares(page))) == 5
        finally:
            server.shutdown()
            thread.join()
