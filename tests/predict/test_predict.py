"""What `python -m mnist_flax.predict` answers, prints and writes."""

import json
import os
import subprocess
from pathlib import Path

import jax
import numpy as np
import pytest
from helpers import forks
from helpers.drawings import drawn, printed
from helpers.trained_runs import WEIGHTS, write_run
from PIL import Image
from scipy import ndimage

from mnist_flax.plots import boxes, predictions
from mnist_flax.predict import decoding, images
from mnist_flax.predict.command import main
from mnist_flax.trained import loading


def run(*argv: object) -> int:
    return main([str(argument) for argument in argv])


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help(capsys, flag) -> None:
    assert run(flag) == 0
    out = capsys.readouterr().out
    words = ("Examples:", "--workdir", "--weights", "--save-preview", "--json", "runner_up")
    for word in (
        *words,
        "--many",
        "warning",
        "box",
        "HEIC",
        "docs/OWN_DIGITS.md",
        "Exit status",
    ):
        assert word in out
    assert max(map(len, out.splitlines())) <= 96


@pytest.mark.parametrize("source", ["workdir", "weights"])
def test_the_table(capsys, workdir, folder, source) -> None:
    assert run(f"--{source}", workdir if source == "workdir" else WEIGHTS, folder) == 0
    out, err = capsys.readouterr()
    assert err == ""
    heading, *lines = out.splitlines()
    assert heading.split() == ["file", "digit", "probability", "runner-up", "probability"]
    assert len({len(line) for line in (heading, *lines)}) == 1
    assert len(lines) == 10
    for digit, line in enumerate(lines):
        name, first, probability, unit, second, less, _ = line.split()
        assert Path(name).parent == folder
        assert Path(name).stem == str(digit) == first != second
        assert unit == "%"
        assert 100 >= float(probability) > 50 > float(less) >= 0


def test_json(capsys, workdir, folder) -> None:
    five = folder / "5.JPG"
    assert run("--workdir", workdir, "--json", five, folder / "2.jpeg") == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.count("\n") == 1
    records = json.loads(out)
    assert [record["file"] for record in records] == [str(five), str(folder / "2.jpeg")]
    seen = images.read(five)[0][0].image
    expected = loading.logits(loading.load(workdir), seen[None])[0]
    for record, digit in zip(records, (5, 2), strict=True):
        assert list(record) == [
            "file",
            "digit",
            "probability",
            "runner_up",
            "runner_up_probability",
            "probabilities",
            "warning",
        ]
        assert record["warning"] is None
        shares = record["probabilities"]
        order = sorted(range(10), key=lambda i: -shares[i])
        assert record["digit"] == order[0] == digit
        assert record["runner_up"] == order[1]
        assert (record["probability"], record["runner_up_probability"]) == (
            shares[order[0]],
            shares[order[1]],
        )
        assert sum(shares) == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(
        records[0]["probabilities"], jax.nn.softmax(expected), atol=1e-6, rtol=0
    )


def test_a_folder_and_a_file_of_it_are_each_answered_once(capsys, workdir, folder) -> None:
    assert run("--workdir", workdir, "--json", folder / "3.bmp", folder, folder) == 0
    records = json.loads(capsys.readouterr().out)
    assert [record["digit"] for record in records] == [3, 0, 1, 2, 4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize("flag", ["--save-preview", "--save_preview"])
def test_the_preview(capsys, monkeypatch, workdir, folder, tmp_path, flag) -> None:
    calls = []

    def draw(*arguments):
        calls.append(arguments)
        return preview_drawn(*arguments)

    preview_drawn = predictions.draw_preview
    monkeypatch.setattr(predictions, "draw_preview", draw)
    output = tmp_path / "seen.PNG"
    assert (
        run("--workdir", workdir, folder / "3.bmp", f"{flag}={output}", folder / "2.jpeg") == 0
    )
    ((seen, probabilities, shown),) = calls
    for i, name in enumerate(("3.bmp", "2.jpeg")):
        np.testing.assert_array_equal(seen[i], images.read(folder / name)[0][0].image)
    assert probabilities.argmax(1).tolist() == [3, 2]
    assert shown == ["3.bmp", "2.jpeg"]
    assert output.read_bytes() == preview_drawn(*calls[0])
    assert set(os.listdir(tmp_path)) == {"digits", "seen.PNG"}
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_a_run_that_never_finished(capsys, tmp_path, folder) -> None:
    unfinished = write_run(tmp_path / "run", num_epochs=20)
    assert run("--workdir", unfinished, folder / "7.bmp") == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[1].split()[1] == "7"
    assert err == f"warning: the run in {unfinished} is used as it was after epoch 1 of 20\n"


def test_as_a_process(workdir, folder, tmp_path) -> None:
    (folder / "8.png").write_bytes(b"")
    argv = [*forks.python(draws=True), "-m", "mnist_flax.predict", "--workdir", workdir, folder]
    done = subprocess.run(
        [*argv, "--save-preview", "seen.png"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2
    lines = [line.split() for line in done.stdout.splitlines()[1:]]
    assert [line[1] for line in lines] == [*"012345679"]
    assert done.stderr == (
        f"error: {folder / '8.png'} is not a PNG, JPEG, BMP, WebP or TIFF image; "
        "convert it to one\n"
    )
    with Image.open(tmp_path / "seen.png") as sheet:
        sheet.load()
        assert sheet.format == "PNG"


def test_every_picture_that_is_skipped_is_named(capsys, monkeypatch, workdir, folder) -> None:
    monkeypatch.setattr(decoding, "reads_heic", lambda: False)
    convert = "convert it to PNG or JPEG to have it read"
    install = "pip install pillow-heif to have it read"
    skipped = {
        "a.AVIF": convert,
        "b.gif": convert,
        "c.heic": install,
        "d.HEIF": install,
        "e.jxl": convert,
        "f.pdf": convert,
        "g.svg": convert,
    }
    for name in (*skipped, ".hidden.gif", "table.csv"):
        (folder / name).touch()
    drawn(4, 200, 6).save(folder / "h.webp")
    drawn(5, 200, 6).save(folder / "i.TIFF")
    assert run("--workdir", workdir, "--json", folder) == 0
    out, err = capsys.readouterr()
    assert err.splitlines() == [
        *(f"warning: {folder / name} is skipped; {remedy}" for name, remedy in skipped.items()),
        f"warning: {folder} also holds what is no picture, and is skipped: table.csv",
    ]
    records = json.loads(out)
    assert [record["digit"] for record in records] == [*range(10), 4, 5]


def test_many_files_that_are_no_pictures_are_one_line(capsys, workdir, folder) -> None:
    for i in range(12):
        (folder / f"{i:02}.txt").touch()
    (folder / "more").mkdir()
    assert run("--workdir", workdir, folder) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(
        "is skipped: " + ", ".join(f"{i:02}.txt" for i in range(10)) + " and 2 more"
    )


def test_a_telephones_pictures_are_read_from_a_folder(capsys, workdir, folder) -> None:
    pillow_heif = pytest.importorskip(
        "pillow_heif", reason="pillow-heif is not installed; pip install '.[heic]' to run this"
    )
    pillow_heif.register_heif_opener()
    drawn(3, 200, 6).convert("RGB").save(folder / "photo.HEIC", format="HEIF")
    assert run("--workdir", workdir, "--json", folder) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert [record["digit"] for record in json.loads(out)] == [*range(10), 3]


# ---------------------------------------------------------------------------------- warnings


def test_warnings_in_the_table_and_in_json(capsys, workdir, folder) -> None:
    cut = printed("2", "DejaVuSans", 60)
    cut.crop((48, 0, *cut.size)).save(folder / "cut.png")
    argv = ("--workdir", workdir, folder / "3.bmp", folder / "cut.png")
    assert run(*argv) == 0
    out, err = capsys.readouterr()
    assert err == ""
    _, plain, warned = out.splitlines()
    assert plain.endswith(" %")
    assert warned.endswith(" %  it is cut off at the rim")
    assert run(*argv, "--json") == 0
    records = json.loads(capsys.readouterr().out)
    assert [record["warning"] for record in records] == [None, "it is cut off at the rim"]


def test_several_digits_are_one_with_a_warning(capsys, workdir, number) -> None:
    assert run("--workdir", workdir, "--json", number) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert record["warning"] == "there are 3 marks; try --many"
    assert "box" not in record


# -------------------------------------------------------------------------------------- many


@pytest.fixture
def number(tmp_path: Path) -> Path:
    """A picture of 365."""
    path = tmp_path / "365.png"
    sheet = Image.new("L", (420, 200), 255)
    for i, digit in enumerate((3, 6, 5)):
        sheet.paste(drawn(digit, 200, 14).crop((25, 0, 160, 200)), (10 + 135 * i, 0))
    sheet.save(path)
    return path


def test_the_table_of_many(capsys, workdir, number, folder) -> None:
    assert run("--workdir", workdir, "--many", number, folder / "7.bmp") == 0
    out, err = capsys.readouterr()
    assert err == ""
    heading, *lines = out.splitlines()
    assert heading.split() == [
        *("file", "box", "digit", "probability", "runner-up", "probability")
    ]
    assert len({len(line) for line in (heading, *lines)}) == 1
    rows = [line.split() for line in lines]
    assert [row[0] for row in rows] == [str(number)] * 3 + [str(folder / "7.bmp")]
    assert [row[5] for row in rows] == [*"3657"]
    lefts = [int(row[1]) for row in rows[:3]]
    assert lefts == sorted(lefts)


def test_json_of_many(capsys, workdir, number, folder) -> None:
    (folder / "1.JPG").write_bytes(b"")
    assert run("--workdir", workdir, "--many", "--json", number, folder / "1.JPG") == 2
    record, failed = json.loads(capsys.readouterr().out)
    assert list(record) == ["file", "text", "digits"]
    assert record["file"] == str(number)
    assert record["text"] == "365"
    assert [each["digit"] for each in record["digits"]] == [3, 6, 5]
    for each, expected in zip(record["digits"], boxes_of_ink(number), strict=True):
        assert list(each) == [
            "digit",
            "probability",
            "runner_up",
            "runner_up_probability",
            "probabilities",
            "warning",
            "box",
        ]
        assert each["warning"] is None
        assert np.abs(np.subtract(each["box"], expected)).max() <= 2
    assert list(failed) == ["file", "error"]


def boxes_of_ink(path: Path) -> list[tuple[int, ...]]:
    """The boxes of what is black, from the left to the right."""
    labels, _ = ndimage.label(np.asarray(Image.open(path)) < 128, np.ones((3, 3)))
    sides = sorted(ndimage.find_objects(labels), key=lambda box: box[1].start)
    return [(x.start, y.start, x.stop, y.stop) for y, x in sides]


def test_the_preview_of_many(capsys, monkeypatch, workdir, number, folder, tmp_path) -> None:
    calls = []

    def draw(*arguments):
        calls.append(arguments)
        return boxes_drawn(*arguments)

    boxes_drawn = boxes.draw_boxes
    monkeypatch.setattr(boxes, "draw_boxes", draw)
    output = tmp_path / "seen.png"
    argv = ("--workdir", workdir, "--many", number, folder / "7.bmp")
    assert run(*argv, "--save-preview", output) == 0
    ((pictures, found, read, shown),) = calls
    assert [picture.shape for picture in pictures] == [(200, 420), (200, 200)]
    assert [[digit for digit, _ in each] for each in read] == [[3, 6, 5], [7]]
    assert shown == ["365.png", "7.bmp"]
    for box, expected in zip(found[0], boxes_of_ink(number), strict=True):
        assert np.abs(np.subtract(box, expected)).max() <= 2
    with Image.open(output) as sheet:
        sheet.load()
        assert sheet.format == "PNG"


def test_an_empty_name_is_not_the_current_folder(capsys, workdir) -> None:
    assert run("--workdir", workdir, "") == 2
    assert capsys.readouterr().err == "error: an image is empty; name a path, or leave it out\n"
