"""The page in real browsers: it is drawn on, and its answers are read."""

import functools
import http.server
import itertools
import threading

import jax
import numpy as np
import pytest
from helpers.browsers import ChromiumTab
from helpers.demo_page import box, draw, is_empty, picture, places, seen, shares
from helpers.drawings import STROKES
from helpers.trained_runs import WEIGHTS

from mnist_flax import config as config_lib
from mnist_flax import input_pipeline, steps
from mnist_flax.demo import build_page
from mnist_flax.predict import images
from mnist_flax.trained import loading

RUN = loading.from_weights(WEIGHTS)
# So low that the page has to be scrolled.
PHONE = {"width": 360, "height": 420, "deviceScaleFactor": 2, "mobile": True}


def touch(page: ChromiumTab, points: list[tuple[float, float]]) -> None:
    """Moves a finger from point to point."""

    def send(kind: str, *fingers: tuple[float, float]) -> None:
        where = [{"x": x, "y": y, "id": 1} for x, y in fingers]
        page.command("Input.dispatchTouchEvent", type=kind, touchPoints=where)

    send("touchStart", points[0])
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        for part in np.linspace(0, 1, 7)[1:]:
            send("touchMove", (float(x0 + part * (x1 - x0)), float(y0 + part * (y1 - y0))))
    send("touchEnd")


def test_the_probabilities_move_as_one_draws(page) -> None:
    assert is_empty(page)
    on_the_way = draw(page, 3, watched=True)
    assert len({tuple(found) for found in on_the_way}) > len(on_the_way) / 2
    assert len({int(np.argmax(found)) for found in on_the_way}) > 1
    for found in on_the_way:
        assert sum(found) == pytest.approx(1, abs=1e-3)
    assert int(np.argmax(shares(page))) == 3
    assert page.text("digit") == "3"
    # Of an answer that is sure there is no more to say than the digit.
    assert page.text("sentence") == ""
    assert page.text("spoken") == f"3, {round(100 * shares(page)[3])} percent."


def test_a_finger_draws_and_does_not_scroll(chromium, address) -> None:
    """In Chromium only: Firefox's protocol has no phone."""
    with chromium.shown(address) as page:
        page.command("Emulation.setDeviceMetricsOverride", **PHONE)
        page.command("Emulation.setTouchEmulationEnabled", enabled=True)
        (stroke,) = places(page, STROKES[2])
        touch(page, stroke)
        assert int(np.argmax(shares(page))) == 2
        assert page.evaluate("scrollY") == 0
        # Beside the paper it does.
        touch(page, [(10, 400), (10, 300), (10, 200), (10, 100)])
        assert page.evaluate(
            "new Promise((done) => scrollY ? done(true) : "
            "addEventListener('scroll', () => done(true)))"
        )


def test_logits_are_those_of_jax(page, data_dir) -> None:
    test = input_pipeline.load("test[:200]", data_dir)
    expected = loading.logits(RUN, test.images)
    pixels = test.images.reshape(200, 784).tolist()
    found = page.evaluate("(images) => images.map(mnist.logits)", pixels)
    difference = np.abs(np.array(found) - expected).max()
    print(f"largest difference of a logit: {difference:.1e}")
    assert difference < 1e-4


def test_other_layers(browser, data_dir, tmp_path) -> None:
    config = config_lib.load(config_lib.default_path())
    config.model.architecture = "4k5 pool 6k1 pool 5 5 same 3"
    # In one program: each operation alone would compile.
    state = jax.jit(functools.partial(steps.create_train_state, config=config))(
        jax.random.key(0)
    )
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    run = loading.Trained(config, variables, 0, True, [])
    test = input_pipeline.load("test[:20]", data_dir)
    expected = loading.logits(run, test.images)
    (tmp_path / "index.html").write_bytes(build_page.build(run))
    pixels = test.images.reshape(20, 784).tolist()
    with browser.shown((tmp_path / "index.html").as_uri()) as page:
        found = page.evaluate("(images) => images.map(mnist.logits)", pixels)
    assert np.abs(np.array(found) - expected).max() < 1e-4
    assert np.abs(expected).max() > 0.01


@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.long)])
def test_every_digit_as_predict_would_see_it(page, every) -> None:
    """The paper as a picture, read by images.py: nearly the same pixels, the same answers.

    Of every third digit, because images.py takes a second for such a picture.
    """
    for digit in range(10):
        page.press("Escape")
        draw(page, digit, 0.4 + 0.05 * digit)
        assert int(np.argmax(shares(page))) == digit
        if digit % every:
            continue
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
    button = box(page, "clear")
    for clear in (
        lambda: page.click(button["left"] + 9, button["top"] + 9),
        lambda: page.press("Escape"),
        lambda: page.press("Delete"),
        lambda: page.press("Enter"),  # The button still has the focus.
    ):
        draw(page, 1)
        page.evaluate("document.getElementById('clear').focus()")
        assert not is_empty(page)
        clear()
        assert is_empty(page)
        assert page.text("spoken") == "The paper is empty."


def test_a_dot_is_no_digit_yet(page) -> None:
    paper = box(page, "paper")
    page.click(paper["left"] + 50, paper["top"] + 90)
    for end in (50, 75):
        page.move(paper["left"] + end, paper["top"] + 100)
        page.button(down=True)
        page.move(paper["left"] + end, paper["top"] + 110, steps=4)
        page.button(down=False)
        assert shares(page) == [0] * 10
        assert page.text("digit") == "?"
        assert page.text("sentence") == "This is no digit yet. Draw it larger."
        assert page.text("spoken") == "This is no digit yet. Draw it larger."
        assert 0 < np.count_nonzero(seen(page)) < 100


def test_a_stroke_beyond_the_paper(page) -> None:
    paper = box(page, "paper")
    page.move(paper["left"] + 100, paper["top"] + 100)
    page.button(down=True)
    page.move(paper["left"] - 60, paper["top"] - 50, steps=4)
    page.button(down=False)
    assert sum(shares(page)) == pytest.approx(1, abs=1e-3)
    # Up again, the mouse draws no more.
    before = seen(page)
    page.move(paper["left"] + 200, paper["top"] + 200, steps=4)
    np.testing.assert_array_equal(seen(page), before)


def test_only_the_first_button_draws(page) -> None:
    for first, *others in places(page, STROKES[0]):
        page.move(*first)
        page.button(down=True, right=True)
        for point in others:
            page.move(*point)
        page.button(down=False, right=True)
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
            with browser.shown(address) as page:
                draw(page, 5)
                assert int(np.argmax(shares(page))) == 5
        finally:
            server.shutdown()
            thread.join()
