"""What `python -m mnist_flax.predict` cannot use, and what it refuses."""

import errno
import json
import os
import shutil
from pathlib import Path

import pytest
from helpers.drawings import drawn, printed
from helpers.sample_images import encoded, png_of_size
from helpers.trained_runs import WEIGHTS
from PIL import Image

from mnist_flax.predict import decoding
from mnist_flax.predict.command import main
from mnist_flax.runs import files


def run(*argv: object) -> int:
    return main([str(argument) for argument in argv])


def save(path: Path, image: Image.Image) -> Path:
    image.save(path)
    return path


def names(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*")}


def fails(capsys: pytest.CaptureFixture[str], *argv: object) -> str:
    """What a command that has bad input says: one line on stderr, status 2."""
    assert run(*argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    return err


UNUSABLE = {
    "empty": (b"", "is not a PNG, JPEG, BMP, WebP or TIFF image"),
    "truncated": (
        encoded(printed("3", "default", 60), "PNG")[:-60],
        "cannot be read: image file is trunc",
    ),
    "30,000 x 30,000": (png_of_size(30_000, 30_000), "is too large"),
    "10,000 x 10,000": (png_of_size(10_000, 10_000), "is too large: 10,000 x 10,000 pixels"),
}


@pytest.mark.parametrize("name", UNUSABLE)
@pytest.mark.parametrize("form", ["table", "json"])
def test_an_image_that_cannot_be_used(capsys, workdir, tmp_path, name, form) -> None:
    content, message = UNUSABLE[name]
    path = tmp_path / "a.png"
    path.write_bytes(content)
    output = tmp_path / "seen.png"
    argv = ["--workdir", workdir, path, "--save-preview", output]
    if form == "table":
        assert f"{path} {message}" in fails(capsys, *argv)
    else:
        assert run(*argv, "--json") == 2
        out, err = capsys.readouterr()
        ((file, error),) = (record.values() for record in json.loads(out))
        assert file == str(path)
        assert error.startswith(f"{path} {message}")
        assert err == f"error: {error}\n"
    assert os.listdir(tmp_path) == ["a.png"]


def test_images_that_cannot_be_used_among_others(capsys, workdir, folder) -> None:
    (folder / "1.JPG").write_bytes(b"")
    Image.new("L", (30, 30), 200).save(folder / "4.png")
    assert run("--workdir", workdir, "--json", folder, folder / "none.png") == 2
    out, err = capsys.readouterr()
    records = json.loads(out)
    assert [record.get("digit") for record in records] == [
        0,
        None,
        2,
        3,
        None,
        *range(5, 10),
        None,
    ]
    errors = [record["error"] for record in records if "error" in record]
    assert err.splitlines() == [
        f"warning: {folder / '1.JPG'} is not a PNG, JPEG, BMP, WebP or TIFF image; convert "
        "it to one",
        f"warning: {folder / '4.png'} is blank; give an image of a digit",
        f"warning: {folder / 'none.png'} cannot be read: No such file or directory; name "
        "another",
        "error: 3 of 11 images could not be used (see above)",
    ]
    assert [f"warning: {text}" for text in errors] == err.splitlines()[:3]


def test_what_is_no_file(capsys, workdir, tmp_path) -> None:
    loop = tmp_path / "loop.png"
    loop.symlink_to(loop)
    for path, reason in [
        (tmp_path / "none.png", "No such file or directory"),
        (loop, "Too many levels of symbolic links"),
        (tmp_path / ("long" * 100 + ".png"), "File name too long"),
        (loop / "a.png", "Too many levels of symbolic links"),
    ]:
        assert f"{path} cannot be read: {reason}" in fails(capsys, "--workdir", workdir, path)


@pytest.mark.parametrize("name", ["a\x1b[31mb.png", "a\nb.png", "a\x07.png", "a\x9b0m.png"])
@pytest.mark.parametrize("usable", [True, False])
def test_a_name_cannot_write_to_the_terminal(capsys, workdir, tmp_path, name, usable) -> None:
    path = tmp_path / name
    if usable:
        drawn(3, 100, 4).save(path)
        output = tmp_path / "seen.png"
        assert run("--workdir", workdir, path, "--save-preview", output) == 0
        assert output.stat().st_size > 1000
        out, err = capsys.readouterr()
        assert out.count("\n") == 2
        text = out + err
    else:
        path.write_bytes(b"")
        text = fails(capsys, "--workdir", workdir, path)
        other = tmp_path / "none.png"
        assert run("--workdir", workdir, path, other) == 2
        text += (err := capsys.readouterr().err)
        assert err.count("\n") == 3
    shown = text.replace("\n", "")
    assert shown.isprintable()
    # In an error, which is one line, the end of a line is a space.
    assert repr(name)[1:-1] in shown or (not usable and "a b.png" in shown)


def test_a_name_that_is_no_text(capsysbinary, workdir, tmp_path) -> None:
    path = os.fsdecode(bytes(tmp_path) + b"/\xff.png")
    try:
        drawn(3, 100, 4).save(path)
    except OSError as error:  # A file system whose names are text has none of these.
        if error.errno != errno.EILSEQ:
            raise
        return
    assert run("--workdir", workdir, path) == 0
    assert b"\\udcff.png" in capsysbinary.readouterr().out


def test_a_folder_without_images(capsys, monkeypatch, workdir, tmp_path) -> None:
    (tmp_path / "notes.txt").write_text("3")
    suffixes = ".png, .jpg, .jpeg, .bmp, .webp, .tif, .tiff"
    for reads_heic in (False, True):
        monkeypatch.setattr(decoding, "reads_heic", lambda: reads_heic)  # noqa: B023
        message = fails(capsys, "--workdir", workdir, tmp_path)
        listed = f"{suffixes}, .heic, .heif" if reads_heic else suffixes
        assert f"the folder {tmp_path} has no image ({listed})" in message


def test_a_folder_that_cannot_be_read(capsys, monkeypatch, workdir, folder) -> None:
    # A test that runs as root may read everything.
    def iterdir(path):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", iterdir)
    message = fails(capsys, "--workdir", workdir, folder)
    assert f"the folder {folder} cannot be read (Permission denied)" in message


def test_no_run(capsys, tmp_path, folder) -> None:
    before = names(tmp_path)
    output = tmp_path / "seen.png"
    empty = tmp_path / "digits"
    for argv, expected in [
        ((), "give either --workdir, a run, or --weights, a file"),
        (("--workdir", empty, "--weights", WEIGHTS), "give either --workdir"),
        (("--workdir", empty), f"{empty} is not the folder of a run: it has no config.json"),
        (("--workdir", tmp_path / "none"), "is not the folder of a run"),
        (("--workdir", WEIGHTS), "is not the folder of a run"),
        (("--weights", tmp_path / "none.safetensors"), "cannot be read: No such file"),
        (("--weights", folder / "0.png"), "is not a file of weights"),
    ]:
        assert expected in fails(capsys, *argv, folder, "--save-preview", output)
    assert names(tmp_path) == before


def test_a_run_without_a_checkpoint(capsys, workdir, tmp_path, folder) -> None:
    shutil.copy(workdir / "config.json", tmp_path)
    assert "has no checkpoint yet" in fails(capsys, "--workdir", tmp_path, folder)


def test_a_preview_that_cannot_be_written(
    capsys, monkeypatch, workdir, folder, tmp_path
) -> None:
    old = save(tmp_path / "old.png", printed("3", "default", 20))
    (tmp_path / "broken.png").symlink_to(tmp_path / "none")
    before, content = names(tmp_path), old.read_bytes()
    for output, expected in [
        (old, f"--save-preview {old} exists already; remove it, or name another"),
        (tmp_path / "broken.png", "exists already"),
        (tmp_path / "seen.jpg", "must end in .png"),
        ("", "--save-preview is empty; name a path"),
        (folder, "must end in .png"),
        (tmp_path / "none" / "seen.png", "cannot be written (No such file or directory)"),
        (old / "seen.png", "cannot be written (Not a directory)"),
        (tmp_path / ("long" * 100 + ".png"), "cannot be written (File name too long)"),
    ]:
        assert expected in fails(capsys, "--workdir", workdir, folder, "--save-preview", output)

    def check_room(*_):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(files, "check_room", check_room)
    message = fails(capsys, "--workdir", workdir, folder, "--save-preview", tmp_path / "b.png")
    assert "cannot be written (Read-only file system)" in message
    assert names(tmp_path) == before
    assert old.read_bytes() == content


def test_a_preview_on_a_disk_that_becomes_full(
    capsys, monkeypatch, workdir, folder, tmp_path
) -> None:
    def sync(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "sync", sync)
    before = names(tmp_path)
    output = tmp_path / "seen.png"
    assert run("--workdir", workdir, folder, "--save-preview", output) == 1
    message = f"error: No space left on device while writing {output}\n"
    assert capsys.readouterr().err == message
    assert names(tmp_path) == before


def test_the_command_line(capsys, workdir) -> None:
    for argv, expected in [
        (("--workdir", workdir), "no image is given; name image files, or a folder of them"),
        (("--no-such-flag", "a.png"), "unknown flag --no-such-flag; --help lists the flags"),
        (("--workdir",), "argument --workdir: expected one argument"),
        (("--json=maybe", "a.png"), "argument --json: ignored explicit argument 'maybe'"),
    ]:
        assert expected in fails(capsys, *argv)
