"""Pictures of a person's own digits: that they show the digit, and that the table counts."""

import json
import sys
from types import ModuleType

import numpy as np
import pytest
from helpers.benchmark_scripts import script
from helpers.own_digits import glyphs, kinds, others
from helpers.trained_runs import WEIGHTS
from PIL import Image
from scipy import ndimage

from mnist_flax import input_pipeline
from mnist_flax.trained import loading


@pytest.fixture(scope="module")
def bench():
    return script("own_digits")


@pytest.fixture(scope="module")
def network():
    run = loading.from_weights(WEIGHTS)
    return lambda images: loading.logits(run, images)


@pytest.fixture(scope="module")
def write() -> glyphs.Writer:
    return glyphs.from_fonts(glyphs.fonts())


@pytest.mark.parametrize("kind", [*kinds.KINDS, *others.OTHERS])
def test_the_seed_makes_the_picture(kind, write) -> None:
    def make(seed: int) -> Image.Image:
        rng = np.random.default_rng(seed)
        if kind in others.OTHERS:
            return others.OTHERS[kind](rng, write)
        return kinds.KINDS[kind](rng, write(rng, "5"))

    first, again, other = (np.asarray(make(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert 16 <= min(first.shape[:2]) <= max(first.shape[:2]) < 2500


def test_plain_pictures_of_each_source_are_digits(bench, network, write, data_dir) -> None:
    split = input_pipeline.load("test[:500]", data_dir)
    of_mnist = glyphs.from_images(split.images, split.labels)
    for source in (write, glyphs.from_strokes, of_mnist):
        samples = list(bench.digits("plain", source, 100, 0))
        plainly = [bench.read_plainly(sample.picture) for sample in samples]
        answers = bench.answer(network, plainly).argmax(1)
        assert (answers == [sample.digit for sample in samples]).mean() >= 0.95


def test_a_bar_thins_to_its_middle_line() -> None:
    bar = np.zeros((40, 21), bool)
    bar[5:35, 5:16] = True
    line = glyphs.skeleton(bar)
    assert set(np.argwhere(line)[:, 1]) == {10}
    assert 18 <= line.sum() <= 30


def test_a_hairline_keeps_the_shape(write) -> None:
    for digit in range(10):
        glyph = write(np.random.default_rng(3), str(digit))
        thin = glyphs.hairline(glyph, 3)
        assert thin.sum() < glyph.sum() / 2
        # As many holes: an 8 has two.
        holes = [ndimage.label(np.pad(each, 1) < 0.5)[1] for each in (glyph, thin)]
        assert holes[0] == holes[1], digit


def test_broken_strokes_are_in_parts(write) -> None:
    parts = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        broken = glyphs.broken(rng, write(rng, "1"))
        parts.append(ndimage.label(broken > 0.5)[1])
    assert np.mean(parts) > 2


def test_touching_digits_are_one_part(write) -> None:
    for seed in range(20):
        pair = [write(np.random.default_rng(seed), text) for text in ("7", "1")]
        touching, apart = (glyphs.row(pair, gap) > 0.5 for gap in (0, 10))
        assert ndimage.label(touching, np.ones((3, 3)))[1] == 1
        assert ndimage.label(apart, np.ones((3, 3)))[1] == 2


def test_the_table_counts_what_it_says(bench) -> None:
    def always_three(images: np.ndarray) -> np.ndarray:
        return np.where(np.arange(10) == 3, 9.0, 0.0) * np.ones((len(images), 1))

    write = glyphs.from_strokes
    row, seen = bench.measure("plain", list(bench.digits("plain", write, 20, 0)), always_three)
    assert row[:2] == ("plain", 20)
    assert row.right == row.baseline == 0.1
    assert row.sure_and_wrong == 0.9
    # Most of the other digits do not look like a 3: they are warned of.
    assert row.warned >= 0.6
    assert row.sure_unwarned == pytest.approx(0.9 - row.warned)
    assert row.blank == 0
    assert len(seen) == 20
    blank = [bench.Sample(Image.new("L", (50, 50), 200), -1)] * 4
    row, _ = bench.measure("blank sheet", blank, always_three)
    assert row[2:] == (None, None, 0, 0, 0, 1)
    assert bench.table([row]).endswith("| blank sheet | 4 |  |  | 0.0 | 0.0 | 0.0 | 100.0 |")


def test_one_command_makes_the_table(bench, tmp_path, monkeypatch, capsys) -> None:
    command = ["own_digits", "--weights", str(WEIGHTS), "--kinds", "plain,12 of 16,letter"]
    files = [str(tmp_path / "table.json"), str(tmp_path / "sheet.png")]
    more = ["--n", "10", "--json", files[0], "--save-sheet", files[1]]
    monkeypatch.setattr(sys, "argv", [*command, *more])
    bench.main()
    rows = json.loads((tmp_path / "table.json").read_text())
    assert [row["kind"] for row in rows] == ["plain", "12 of 16 bits", "letter"]
    assert capsys.readouterr().out.count("\n") == 2 + len(rows)
    assert Image.open(files[1]).size == (1120, 3 * 156)


def test_scikit_learns_digits(bench, monkeypatch) -> None:
    class Data:
        images = np.stack([np.zeros((8, 8)), 16 * np.eye(8)])
        target = np.array([0, 1])

    datasets = ModuleType("sklearn.datasets")
    datasets.load_digits = Data  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sklearn", ModuleType("sklearn"))
    monkeypatch.setitem(sys.modules, "sklearn.datasets", datasets)
    for kind in bench.SCANS:
        first, second = bench.scans(kind)
        assert (first.digit, second.digit) == (0, 1)
        assert first.picture.size == second.picture.size
        paper = 255 if kind.endswith("dark") else 0
        assert {*np.asarray(first.picture).ravel()} == {paper}
        assert np.ptp(np.asarray(second.picture)) > 200


def test_numbers_of_several_digits(network, write) -> None:
    row = script("own_numbers").measure(2, write, 10, network)
    _, length, n, digits, whole, miscounted, warned, _ = map(str.strip, row.split("|"))
    assert (length, n) == ("2", "10")
    assert 100 >= float(digits) >= float(whole) >= 70
    assert int(miscounted) >= int(warned) >= 0
