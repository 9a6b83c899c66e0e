"""Pictures on the page, in real browsers: read by the same steps as by `predict`."""

import base64
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from helpers.browsers import Tab
from helpers.demo_page import box, draw, is_empty, picture, seen, shares
from helpers.drawings import drawn
from helpers.own_digits import glyphs, kinds, others
from helpers.sample_images import encoded, image_files
from helpers.trained_runs import WEIGHTS
from PIL import Image

from mnist_flax.predict import answers, images
from mnist_flax.trained import loading

RUN = loading.from_weights(WEIGHTS)
# Gives the page files as a person would, in the ways that need no window of the system.
GIVE = """(files) => {
  const data = new DataTransfer();
  for (const [name, content] of files) {
    data.items.add(new File([Uint8Array.from(atob(content), (x) => x.charCodeAt(0))], name));
  }
  const event = new Event("NAME", { bubbles: true, cancelable: true });
  event.DATA = data;
  document.body.dispatchEvent(event);
}"""
DROP = GIVE.replace("NAME", "drop").replace("DATA", "dataTransfer")
PASTE = GIVE.replace("NAME", "paste").replace("DATA", "clipboardData")


# Every step of the reading has something to do in one of them.
KINDS = (
    *("plain", "chalkboard", "frame, dark", "scanner edge, 2", "table, 3", "ruled, 0.6"),
    *("sheet on a table, turned", "squared, 0.5", "box", "box, touching", "noise, 180, sd 30"),
    *("hard shadow", "broken strokes", "hairline", "tight crop", "punch hole"),
)


def give(page: Tab, *contents: bytes, way: str = DROP) -> None:
    """Gives the page files, and waits until it has read them."""
    files = [[f"{i}.png", base64.b64encode(file).decode()] for i, file in enumerate(contents)]
    page.evaluate(way, files)
    wait(page)


def wait(page: Tab) -> None:
    """Waits until the page has read a picture."""
    page.evaluate(
        """async () => {
          const frame = () => new Promise(requestAnimationFrame);
          const sentence = document.getElementById("sentence");
          do { await frame(); await frame(); }
          while (sentence.textContent === "Reading the picture.");
        }"""
    )


def picture_of(kind: str, digit: int) -> Image.Image:
    """A picture of a digit, by hand."""
    rng = np.random.default_rng([digit, *kind.encode()])
    return kinds.KINDS[kind](rng, glyphs.from_strokes(rng, str(digit)))


def differences(found: np.ndarray, expected: np.ndarray) -> tuple[float, float]:
    """The share of pixels that differ by more than 1 of 255, and the largest of the logits'."""
    one, other = loading.logits(RUN, np.stack([found, expected]))
    apart = np.abs(found.astype(int) - expected)
    return float(np.mean(apart > 1)), float(np.abs(one - other).max())


def test_it_finds_what_predict_finds(page) -> None:
    """From the same grey pixels: nearly every pixel is equal, and so are the logits."""
    pixels, logits = [], []
    for i, kind in enumerate(KINDS):
        image = picture_of(kind, i % 10).convert("L")
        image = image.reduce(-(-max(image.size) // 512))
        gray = np.asarray(image, np.float32)
        expected = images.to_mnist(gray)
        content = base64.b64encode(image.tobytes()).decode()
        found = page.evaluate(
            """([content, height, width]) => {
              const gray = Float32Array.from(atob(content), (x) => x.charCodeAt(0));
              const pixels = mnist.toMnist(gray, height, width);
              return pixels && [...pixels];
            }""",
            [content, *gray.shape],
        )
        apart, logit = differences(np.array(found, np.uint8).reshape(28, 28), expected)
        pixels.append(apart)
        logits.append(logit)
    print(f"{len(pixels)} pictures: {np.mean(pixels):.1e} of the pixels differ by more than 1,")
    print(f"logits by {np.median(logits):.1e} (median), {max(logits):.1e} (most)")
    assert len(pixels) == len(KINDS)
    assert np.mean(pixels) < 1e-3
    assert np.median(logits) < 1e-3


def warning_of(path: Path) -> str:
    """What the page should say of a picture: the warning of predict, as a sentence."""
    network = partial(loading.logits, RUN)
    (found,) = answers.answer([images.read(path)], network)
    warning = answers.single(found).warning or ""
    warning = warning.replace("; try --many", "; it reads the largest")
    return f"{warning[0].upper()}{warning[1:]}." if warning else ""


def test_it_doubts_what_predict_doubts(page, tmp_path) -> None:
    path = tmp_path / "picture.png"
    warnings = set()
    for kind in ("two digits", "cut off", "mostly ink", "drawing", "scribble", "texture"):
        for seed in range(2):
            rng = np.random.default_rng([seed, *kind.encode()])
            others.OTHERS[kind](rng, glyphs.from_strokes).save(path)
            page.choose("file", path)
            wait(page)
            expected = warning_of(path)
            warnings.add(expected)
            sentence = page.text("sentence")
            if expected:
                assert sentence == expected, (kind, seed)
            else:
                assert sentence.partition(" ")[0] in ("", "Probably,", "Perhaps.", "Or")
    assert len(warnings) >= 3


def turns_png(page: Tab) -> bool:
    """Says whether this browser heeds EXIF in a PNG. Firefox 140 does not."""
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encoded(Image.new("L", (1, 2)), "PNG", exif=exif)
    width = page.evaluate(
        """async (data) => {
          const image = new Image();
          image.src = "data:image/png;base64," + data;
          await image.decode();
          return image.naturalWidth;
        }""",
        base64.b64encode(content).decode(),
    )
    return bool(width == 2)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "BMP"])
def test_files_of_every_kind(form, page, tmp_path) -> None:
    path = tmp_path / f"three.{form.lower()}"
    as_stored = form == "PNG" and not turns_png(page)
    for i, content in enumerate(image_files(form)):
        path.write_bytes(content)
        page.choose("file", path)
        wait(page)
        if as_stored:
            with Image.open(path) as image:
                turned = image.getexif().pop(0x0112, None)
                if turned:
                    path.write_bytes(encoded(image, form, exif=Image.Exif()))
        expected = images.read(path)[0][0].image
        apart, _ = differences(seen(page), expected)
        # Browsers and Pillow decode JPEG with other roundings.
        assert apart < 0.02, (form, i)
        assert int(np.argmax(shares(page))) == loading.logits(RUN, expected[None]).argmax()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_larger_than_the_paper(orientation, page, tmp_path) -> None:
    """It is reduced, and turned as its EXIF orientation says."""
    upright = drawn(4, 900, 45).crop((0, 0, 750, 900))
    turn = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(turn[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "photo.jpg"
    path.write_bytes(encoded(stored.convert("RGB"), "JPEG", exif=exif))
    page.choose("file", path)
    wait(page)
    assert int(np.argmax(shares(page))) == 4
    apart, _ = differences(seen(page), images.read(path)[0][0].image)
    assert apart < 0.05


@pytest.mark.parametrize("way", [DROP, PASTE])
def test_a_picture_that_is_dropped_or_pasted(way, page) -> None:
    give(page, encoded(drawn(2, 200, 12), "PNG"), way=way)
    assert int(np.argmax(shares(page))) == 2
    assert page.text("digit") == "2"
    assert page.text("spoken") == f"2, {round(100 * shares(page)[2])} percent."
    # The picture is on the paper, a line around its digit.
    paper = picture(page, "paper")
    side = len(paper)
    assert (paper[side // 20, side // 20, :3] == 255).all()
    blue = (paper[..., 2] > 150) & (paper[..., 0] < 100)
    rows, columns = np.nonzero(blue)
    dark = np.argwhere((paper[..., :3] < 60).all(-1))
    assert 0 < dark[:, 0].min() - rows.min() < side / 20
    assert 0 < columns.max() - dark[:, 1].max() < side / 20


def test_what_makes_way_for_what(page) -> None:
    two = encoded(drawn(2, 200, 12), "PNG")
    draw(page, 7)
    give(page, two)
    assert int(np.argmax(shares(page))) == 2
    draw(page, 7)
    assert int(np.argmax(shares(page))) == 7
    give(page, two)
    page.press("Escape")
    assert is_empty(page)
    # The same picture again; cleared before it is read.
    page.evaluate(DROP, [["two.png", base64.b64encode(two).decode()]])
    page.press("Escape")
    page.evaluate("new Promise((done) => setTimeout(done, 500))")
    assert is_empty(page)
    assert not seen(page).any()


def test_dropping_is_announced_on_the_paper(page) -> None:
    before = page.evaluate("getComputedStyle(document.getElementById('paper')).outlineStyle")
    page.evaluate("document.body.dispatchEvent(new DragEvent('dragover', {bubbles: true}))")
    style = page.evaluate("getComputedStyle(document.getElementById('paper')).outlineStyle")
    assert (before, style) == ("none", "dashed")
    page.evaluate("document.body.dispatchEvent(new DragEvent('dragleave', {bubbles: true}))")
    after = page.evaluate("getComputedStyle(document.getElementById('paper')).outlineStyle")
    assert after == "none"


NOT_READ = "This browser cannot read the file as a picture. Save it as PNG or JPEG."


@pytest.mark.parametrize(
    ("contents", "sentence"),
    [
        ([b"no picture"], NOT_READ),
        ([b""], NOT_READ),
        ([encoded(drawn(2, 200, 12), "PNG")[:20]], NOT_READ),
        ([b"%PDF-1.4"] * 2, "Give one picture at a time."),
        ([], "That is no picture file."),
        (
            [encoded(Image.new("L", (16_385, 2)), "PNG")],
            "This picture has too many pixels. Make it smaller.",
        ),
        (
            [encoded(Image.new("L", (90, 90), 200), "PNG")],
            "Nothing stands out in this picture. Give one of a digit.",
        ),
    ],
)
def test_what_cannot_be_read(contents, sentence, page) -> None:
    draw(page, 3)
    give(page, *contents)
    assert page.text("sentence") == page.text("spoken") == sentence
    assert page.text("digit") == "?"
    assert shares(page) == [0] * 10
    assert not seen(page).any()


def test_a_file_that_is_too_large(page) -> None:
    page.evaluate(
        """() => {
          const event = new Event("drop", { bubbles: true, cancelable: true });
          const file = new File([new Uint8Array(2 ** 26 + 1)], "large.png");
          event.dataTransfer = { files: [file] };
          document.body.dispatchEvent(event);
        }"""
    )
    wait(page)
    assert page.text("sentence") == "This file is too large. Make it smaller."


def test_a_browser_that_keeps_pages_from_reading_pictures(page) -> None:
    """As some do against fingerprinting: they give noise."""
    page.evaluate(
        """() => {
          const read = CanvasRenderingContext2D.prototype.getImageData;
          CanvasRenderingContext2D.prototype.getImageData = function (...box) {
            const image = read.apply(this, box);
            image.data[5] ^= 1;
            return image;
          };
        }"""
    )
    give(page, encoded(drawn(2, 200, 12), "PNG"))
    sentence = "This browser keeps pages from reading pictures. Use another one."
    assert page.text("sentence") == sentence


def test_the_button_opens_the_systems_window(page) -> None:
    page.evaluate(
        "document.getElementById('file').addEventListener("
        "'click', (event) => { window.asked = true; event.preventDefault(); })"
    )
    button = box(page, "open")
    page.click(button["left"] + 9, button["top"] + 9)
    assert page.evaluate("window.asked") is True
