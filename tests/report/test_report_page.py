"""The page about a run: what is on it, and that it needs nothing else.

How it looks is for eyes.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest
from helpers import pictures
from helpers.figures import make_history
from helpers.html_pages import Page
from helpers.trained_runs import WEIGHTS, write_run
from PIL import Image

from mnist_flax import config as config_lib
from mnist_flax import input_pipeline, metrics, train
from mnist_flax.plots import curves, diagnostics, mistakes
from mnist_flax.report import build_page, command
from mnist_flax.runs import pages
from mnist_flax.trained import loading

PLOTS = {
    *("accuracy", "loss", "learning_rate", "confusion", "mistakes", "reliability"),
    *("filters", "augmentations"),
}
SECTIONS = [
    *("curves", "mistakes", "digits", "calibration", "augmentations", "environment"),
    *("filters", "network", "config"),
]
IMAGES = np.random.default_rng(0).integers(0, 256, (130, 28, 28), np.uint8)


def read_page(workdir: Path) -> Page:
    return Page((workdir / "report.html").read_bytes())


def sections(page: Page) -> list[str]:
    return [str(attributes["id"]) for tag, attributes in page.tags if tag == "section"]


@pytest.fixture(scope="module")
def finished(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run that has its report. Not to be changed."""
    workdir = tmp_path_factory.mktemp("report") / "run"
    config = config_lib.load(config_lib.default_path())
    config.data_dir, config.num_epochs, config.target_accuracy = str(data_dir), 2, 0.05
    config.train_split, config.test_split = "train[:200]", "test[:100]"
    train.train_and_evaluate(config, workdir)
    assert command.main(["--workdir", str(workdir)]) == 0
    return workdir


@pytest.fixture
def unseen() -> Iterator[None]:
    """Leaves out the rendering: `finished` has a report with all its plots."""
    with pictures.one_picture():
        yield


@pytest.fixture(scope="module")
def page(finished: Path) -> Page:
    return read_page(finished)


def test_the_verdict(finished: Path, page: Page) -> None:
    summary = json.loads((finished / "summary.json").read_text())
    accuracy = summary["final_test_accuracy"]
    assert page.text.startswith(f"MNIST, test accuracy after epoch 2 {100 * accuracy:.2f} % ")
    first = summary["first_epoch_at_target"]
    at_end = "" if accuracy >= 0.05 else ", but not at the end"
    met = f"✓ Target of 5 % met at epoch {first}{at_end} "
    assert (met if first else "✗ Target of 5 % not met") in page.text
    assert f"{round(100 * accuracy)} of 100 test images are right." in page.text
    assert "Parameters 19,114" in page.text
    assert f"at epoch {summary['best_epoch']}" in page.text
    assert "not finished" not in page.text


def test_every_mistake_is_there(finished: Path, page: Page, data_dir: Path) -> None:
    run = loading.load(finished)
    test = input_pipeline.load("test[:100]", data_dir)
    logits = loading.logits(run, test.images)
    shares = np.asarray(jax.nn.softmax(logits))
    wrong = np.flatnonzero(logits.argmax(1) != test.labels)
    assert len(wrong) > 20  # This network knows nothing yet.
    words = page.text
    for i in wrong:
        label, answer = test.labels[i], logits[i].argmax()
        assert (
            f"{label} → {answer} {answer}: {100 * shares[i, answer]:.1f} % "
            f"{label}: {100 * shares[i, label]:.1f} % image {i} "
        ) in words
    titles = [str(a["alt"]) for tag, a in page.tags if tag == "img"]
    assert sum("that was taken for a" in title for title in titles) == len(wrong)
    # The surest first.
    assert f"All {len(wrong)}, the surest first" in words
    sureness = shares[wrong].max(1)
    first = wrong[sureness.argmax()]
    assert words.index(f"image {first} ") == words.index("image ", words.index("from 0. "))


def test_the_tables(finished: Path, page: Page, data_dir: Path) -> None:
    words = page.text
    test = input_pipeline.load("test[:100]", data_dir)
    logits = loading.logits(loading.load(finished), test.images)
    for digit in range(10):
        images = (test.labels == digit).sum()
        wrong = (logits.argmax(1) != test.labels)[test.labels == digit].sum()
        share = 100 * (1 - wrong / images)
        assert f" {digit} {images} {wrong} {share:.2f} % " in words
    assert "conv1 Conv 28×28×8 80 " in words.replace("\N{MULTIPLICATION SIGN}", "×")  # noqa: RUF001
    assert "total 19,114" in words
    assert "in 13 layers" in words
    # The config, and where it is not the assignment's.
    assert "augment.degrees 10.0 augment.scale_max" in words
    assert "train_split train[:200] train " in words
    assert "target_accuracy 0.05 0.994 " in words
    changed = [a for tag, a in page.tags if tag == "tr" and a.get("class") == "changed"]
    assert len(changed) == 5
    for name, version in json.loads((finished / "summary.json").read_text())[
        "versions"
    ].items():
        assert f"{name} {version}" in words
    assert "backend cpu" in words


def test_every_part_can_be_reached(page: Page) -> None:
    assert_links_lead_somewhere(page)


def assert_links_lead_somewhere(page: Page) -> None:
    """Each part has a link, and each link leads to a part."""
    assert sections(page) == SECTIONS
    links = [link[1:] for link in page.linked if link.startswith("#")]
    assert sorted(links) == sorted(SECTIONS)


def test_the_panels_have_the_order_of_curves_png(page: Page) -> None:
    texts = [str(a["alt"]) for tag, a in page.tags if tag == "img"]
    starts = ("Training and test accuracy", "Training and test loss", "The learning rate")
    places = [i for start in starts for i, text in enumerate(texts) if text.startswith(start)]
    assert places == [places[0], places[0] + 1, places[0] + 2]
    assert list(curves.draw_panels(make_history(1), 0.994)) == [
        *("accuracy", "loss", "learning_rate"),
    ]


def test_nothing_is_loaded(finished: Path, page: Page) -> None:
    assert {link.partition(":")[0] for link in page.linked if link[0] != "#"} == {"data"}
    assert not {"script", "iframe", "object", "embed", "form", "base"} & {
        tag for tag, _ in page.tags
    }
    text = (finished / "report.html").read_text()
    for word in ("http:", "https:", "url(", "@import", "//cdn"):
        assert word not in text
    assert page.policy() == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def test_it_has_the_mark_of_its_command(finished: Path) -> None:
    assert pages.mark(command.NAME) in (finished / "report.html").read_bytes()[:500]


def test_tensorboard_shows_the_same_pictures(finished: Path, data_dir: Path) -> None:
    """What the training left there is what the trained network answers now."""
    run = loading.load(finished)
    test = input_pipeline.load("test[:100]", data_dir)
    answers = metrics.log_probabilities(loading.logits(run, test.images))
    scores = metrics.score(answers, test.labels)
    wrong = mistakes.find_mistakes(test.images, test.labels, np.exp(answers))
    (events,) = (path.read_bytes() for path in finished.glob("events.out.tfevents.*"))
    assert diagnostics.draw_confusion(scores.confusion) in events
    assert mistakes.draw_mistakes(wrong, most=75) in events


def test_the_plots_are_files_too(finished: Path, page: Page) -> None:
    assert {path.name for path in (finished / "report").iterdir()} == {
        f"{name}.png" for name in PLOTS
    }
    for path in (finished / "report").iterdir():
        with Image.open(path) as image:
            assert image.format == "PNG"
            assert image.width == (648 if path.stem == "learning_rate" else 1080)
    plots = [a for tag, a in page.tags if tag == "img" and a["width"] in ("540", "324")]
    assert len(plots) == len(PLOTS) - 1  # The mistakes are on the page one by one.
    assert all(a["alt"] for a in plots)
    assert len([tag for tag, _ in page.tags if tag == "source"]) == len(plots)


@pytest.mark.usefixtures("unseen")
def test_no_mistake_and_names_that_are_no_markup(data_dir: Path, tmp_path, capsys) -> None:
    name = '<script>alert("&amp;")<'
    (tmp_path / name).symlink_to(data_dir)
    run = write_run(tmp_path / "<b>&run", data_dir=str(tmp_path / name), test_split="test[:60]")
    summary = {"backend": "</td><i>\udcff", "versions": {"<u>": "&lt;"}}
    (run / "summary.json").write_text(json.dumps(summary))
    assert command.main(["--workdir", str(run)]) == 0
    found = read_page(run)
    assert not {"script", "b", "i", "u"} & {tag for tag, _ in found.tags}
    for words in (f"{tmp_path}/{name} ", "backend </td><i>?", "<u> &lt;"):
        assert words in found.text
    assert "No mistakes Every one of the 60 test images is right." in found.text
    assert_links_lead_somewhere(found)
    assert capsys.readouterr().out.startswith(f"Report: {run}/report.html (")


@pytest.mark.usefixtures("impatient", "data_dir", "unseen")
def test_it_says_what_it_is_at(tmp_path, capsys) -> None:
    run = write_run(tmp_path / "run", test_split="test[:60]")
    assert command.main(["--workdir", str(run)]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if not line.startswith("warning: ")] == [
        "Computing the network's answers on 60 images ...",
        "Drawing the plots ...",
    ]


def content(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")
    }


@pytest.mark.usefixtures("unseen")
def test_a_run_that_never_finished(data_dir: Path, tmp_path, capsys) -> None:
    run = write_run(
        tmp_path / "run", data_dir=str(data_dir), test_split="test[:60]", num_epochs=5
    )
    before = content(run)
    assert command.main(["--workdir", str(run)]) == 0
    line = f"warning: the run in {run} is used as it was after epoch 1 of 5\n"
    assert capsys.readouterr().err == line
    found = read_page(run)
    assert "This run has not finished. The report shows it after epoch 1 of 5" in found.text
    assert "in summary.json when it finishes; there is none yet." in found.text
    assert_links_lead_somewhere(found)
    # Nothing of the run is changed, and nothing is left beside the report.
    after = content(run)
    assert {path: after.pop(path) for path in before} == before
    names = [str(Path(path).relative_to(run)) for path in after]
    expected = ["report", "report.html", *(f"report/{name}.png" for name in PLOTS)]
    assert sorted(names) == sorted(expected)


@pytest.mark.usefixtures("unseen")
def test_many_mistakes(tmp_path, monkeypatch) -> None:
    """The first ones are shown, the others once a person wants to see them."""
    run = write_run(tmp_path / "run", test_split="test[:130]")
    flat = np.tile(np.float32([0, 0, 0, 0, 0, 0, 0, 0, 0, 9]), (130, 1))
    monkeypatch.setattr(loading, "logits", lambda *_: flat)
    monkeypatch.setattr(
        input_pipeline, "load", lambda *_: input_pipeline.Split(IMAGES, np.zeros(130, np.int32))
    )
    assert command.main(["--workdir", str(run)]) == 0
    found = read_page(run)
    assert "The other 10 0 → 9" in found.text
    assert found.text.count("0 → 9") == 130


def test_the_verdict_when_the_end_is_worse() -> None:
    run = loading.from_weights(WEIGHTS)
    line = {"epoch": 1, "test_accuracy": 1.0}
    run = run._replace(history=[line, {"epoch": 2, "test_accuracy": 0.9}])
    found = metrics.score(np.log(np.full((10, 10), 0.1)), np.arange(10))
    verdict = build_page._verdict(run, found)
    assert verdict == {"first": 1, "holds": False, "best": 1.0, "best_epoch": 1}
    lines = [line | {"test_accuracy": 0.8}, run.history[1]]
    never = build_page._verdict(run._replace(history=lines), found)
    assert never == {"first": None, "holds": False, "best": 0.9, "best_epoch": 2}
