"""What `python -m mnist_flax.predict` answers, prints and writes."""

import json
import os
import subprocess
from pathlib import Path

import jax
import numpy as np
import pytest
from helpers import forks
from helpers.trained_runs import WEIGHTS, write_run
from PIL import Image

from mnist_flax.plots import predictions
from mnist_flax.predict import images
from mnist_flax.predict.command import main
from mnist_flax.trained import loading


def run(*argv: object) -> int:
    return main([str(argument) for argument in argv])


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help(capsys, flag) -> None:
    assert run(flag) == 0
    out = capsys.readouterr().out
    words = ("Examples:", "--workdir", "--weights", "--save-preview", "--json", "runner_up")
    for word in (*words, "PNG", "JPEG", "BMP", "Exit status"):
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
    expected = loading.logits(loading.load(workdir), images.read(five)[None])[0]
    for record, digit in zip(records, (5, 2), strict=True):
        assert list(record) == [
            "file",
            "digit",
            "probability",
            "runner_up",
            "runner_up_probability",
            "probabilities",
        ]
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
    np.testing.assert_array_equal(seen[0], images.read(folder / "3.bmp"))
    np.testing.assert_array_equal(seen[1], images.read(folder / "2.jpeg"))
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
    argv = [*forks.python(), "-m", "mnist_flax.predict", "--workdir", workdir, folder]
    done = subprocess.run(
        [*argv, "--save-preview", "seen.png"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2
    lines = [line.split() for line in done.stdout.splitlines()[1:]]
    assert [line[1] for line in lines] == [*"012345679"]
    assert done.stderr == (
        f"error: {folder / '8.png'} is not a PNG, JPEG or BMP image; convert it to one\n"
    )
    with Image.open(tmp_path / "seen.png") as sheet:
        sheet.load()
        assert sheet.format == "PNG"


def test_pictures_that_are_skipped_are_named(capsys, workdir, folder) -> None:
    for name in ("photo.WEBP", "phone.heic", "scan.tiff"):
        (folder / name).touch()
    assert run("--workdir", workdir, folder) == 0
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(" is skipped")[0] for line in lines] == [
        f"warning: {folder / name}" for name in ("phone.heic", "photo.WEBP", "scan.tiff")
    ]


def test_an_empty_name_is_not_the_current_folder(capsys, workdir) -> None:
    assert run("--workdir", workdir, "") == 2
    assert capsys.readouterr().err == "error: an image is empty; name a path, or leave it out\n"
