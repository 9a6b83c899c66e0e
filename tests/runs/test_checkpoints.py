"""What of a run is on disk, what comes back, and what is never taken for what was written."""

import errno
import json
import os
import shutil
import subprocess
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.idx_files import flipped
from orbax.checkpoint import v1 as ocp
from test_files import full_disk

from mnist_flax import config as config_lib
from mnist_flax import steps
from mnist_flax.errors import UserError, WriteError
from mnist_flax.runs import checkpoints, checksums, devices, files
from mnist_flax.runs.checkpoints import DamagedError

LIKE = {"a": jax.ShapeDtypeStruct((3,), jnp.float32), "b": jax.ShapeDtypeStruct((), jnp.int32)}


@pytest.fixture
def config():
    return config_lib.load(config_lib.default_path())


def record(epoch, accuracy):
    return {"epoch": epoch, "step": 469 * epoch, "test_accuracy": accuracy, "train_loss": None}


def state_of(epoch):
    return {"a": jnp.arange(3, dtype=jnp.float32) / epoch, "b": jnp.array(epoch, jnp.int32)}


def save_epochs(workdir, config, accuracies, first=1):
    """Saves epochs from `first` on; `accuracies` are those of all epochs, from 1."""
    history = [record(*item) for item in enumerate(accuracies, 1)]
    for epoch in range(first, len(accuracies) + 1):
        checkpoints.save(workdir, config, state_of(epoch), history[:epoch])


def content(folder):
    return {
        str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")
    }


def assert_is(saved, epoch):
    jax.tree.map(np.testing.assert_array_equal, saved.state, state_of(epoch))
    assert [line["epoch"] for line in saved.history] == list(range(1, epoch + 1))


# ------------------------------------------------------------------------------ save and load


@pytest.mark.parametrize(
    ("accuracies", "kept"),
    [
        ([0.9], [1]),
        ([0.9, 0.8], [1, 2]),
        ([0.5, 0.6, 0.7], [2, 3]),
        ([0.5, 0.9, 0.8, 0.7], [2, 3, 4]),
        ([0.5, 0.9, 0.9, 0.8, 0.7], [2, 4, 5]),
        ([0.5, 0.9, 0.8, 0.7, 0.95], [4, 5]),
    ],
)
def test_the_latest_two_and_the_best_stay(tmp_path, config, accuracies, kept):
    save_epochs(tmp_path, config, accuracies)
    assert checkpoints.epochs(tmp_path) == kept
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == [
        str(epoch) for epoch in kept
    ]
    for epoch in kept:
        assert_is(checkpoints.load(tmp_path, epoch, config, LIKE), epoch)
    assert_is(checkpoints.load_latest(tmp_path, config, LIKE), kept[-1])


def test_a_training_state_comes_back_bit_for_bit(tmp_path, config):
    like = jax.eval_shape(partial(steps.create_train_state, config=config), jax.random.key(0))
    random = np.random.default_rng(0)
    state = jax.tree.map(lambda x: jnp.asarray(100 * random.random(x.shape), x.dtype), like)
    checkpoints.save(tmp_path, config, state, [record(1, 0.9)])
    # A copy elsewhere is as good.
    shutil.move(tmp_path / "checkpoints", tmp_path / "moved" / "checkpoints")
    saved = checkpoints.load(tmp_path / "moved", 1, config, like)
    assert jax.tree.structure(saved.state) == jax.tree.structure(state)
    assert jax.tree.map(lambda x: x.dtype, saved.state) == jax.tree.map(
        lambda x: x.dtype, state
    )
    jax.tree.map(np.testing.assert_array_equal, saved.state, state)
    assert saved.history == [record(1, 0.9)]


def test_no_checkpoint(tmp_path, config):
    assert checkpoints.epochs(tmp_path) == []
    assert checkpoints.load_latest(tmp_path, config, LIKE) is None
    assert not list(tmp_path.iterdir())


def test_the_checksums_are_those_of_sha256sum(tmp_path, config):
    save_epochs(tmp_path, config, [0.9])
    folder = tmp_path / "checkpoints" / "1"
    command = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(result.stdout.splitlines()) == len(files) - 1


def test_a_checkpoint_is_on_the_disk_before_it_has_its_name(tmp_path, config, monkeypatch):
    events = []
    rename = Path.rename
    monkeypatch.setattr(files, "sync", events.append)
    monkeypatch.setattr(Path, "rename", lambda path, to: (events.append(to), rename(path, to)))
    save_epochs(tmp_path, config, [0.9])
    folder = tmp_path / "checkpoints"
    written = [path.relative_to(folder / "1") for path in (folder / "1").rglob("*")]
    before, after = events[: events.index(folder / "1")], events[events.index(folder / "1") :]
    assert {folder / ".unfinished" / "1" / path for path in written} < set(before)
    assert after == [folder / "1", folder]


def test_remove(tmp_path, config):
    save_epochs(tmp_path, config, [0.9, 0.8])
    # As if an earlier removal had been killed.
    shutil.copytree(tmp_path / "checkpoints", tmp_path / ".checkpoints.removed")
    checkpoints.remove(tmp_path)
    assert not list(tmp_path.iterdir())
    checkpoints.remove(tmp_path)


# ------------------------------------------------------------------------------------ damage


def truncate(content):
    return content[:-1]


def empty(content):
    return b""


def flip_first(content):
    return flipped(content, 0)


def flip_middle(content):
    return flipped(content, len(content) // 2)


def flip_last(content):
    return flipped(content, -1 % len(content))


@pytest.mark.parametrize("damage", [truncate, empty, flip_first, flip_middle, flip_last, None])
def test_damage_to_any_file_is_recognised(tmp_path, config, damage):
    save_epochs(tmp_path, config, [0.9])
    folder = tmp_path / "checkpoints" / "1"
    damaged = 0
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        whole = path.read_bytes()
        if whole:  # Orbax marks its checkpoints by an empty file.
            path.write_bytes(damage(whole)) if damage else path.unlink()
            with pytest.raises(DamagedError):
                checkpoints.load(tmp_path, 1, config, LIKE)
            path.write_bytes(whole)
            damaged += 1
    assert damaged >= 8
    assert_is(checkpoints.load(tmp_path, 1, config, LIKE), 1)


def test_damage_says_where(tmp_path, config):
    save_epochs(tmp_path, config, [0.9])
    path = tmp_path / "checkpoints" / "1" / "state" / "_METADATA"
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(DamagedError, match=r"^state/_METADATA does not have its checksum$"):
        checkpoints.load(tmp_path, 1, config, LIKE)
    path.unlink()
    with pytest.raises(DamagedError, match=r"^state/_METADATA is missing$"):
        checkpoints.load(tmp_path, 1, config, LIKE)
    path = tmp_path / "checkpoints" / "1" / "SHA256SUMS"
    path.write_bytes(b"\xff" + path.read_bytes())
    with pytest.raises(DamagedError, match=r"^its checksums cannot be read: 'ascii'"):
        checkpoints.load(tmp_path, 1, config, LIKE)
    path.unlink()
    with pytest.raises(DamagedError, match=r"^SHA256SUMS is missing$"):
        checkpoints.load(tmp_path, 1, config, LIKE)


def test_a_file_too_many_is_damage_but_for_hidden_ones(tmp_path, config):
    save_epochs(tmp_path, config, [0.9])
    folder = tmp_path / "checkpoints" / "1"
    (folder / ".DS_Store").write_text("a file manager was here")
    assert_is(checkpoints.load(tmp_path, 1, config, LIKE), 1)
    (folder / "more").touch()
    with pytest.raises(DamagedError, match="more does not have its checksum"):
        checkpoints.load(tmp_path, 1, config, LIKE)


@pytest.mark.parametrize("state", [None, {"a": np.zeros(3)}])
def test_what_orbax_cannot_read_is_damage_whatever_its_checksums(tmp_path, config, state):
    folder = tmp_path / "checkpoints" / "1"
    folder.mkdir(parents=True)
    if state is not None:
        shutil.rmtree(folder)
        ocp.save(folder, state)
    checksums.write(folder)
    with pytest.raises(DamagedError, match=r"^\w+: "):
        checkpoints.load(tmp_path, 1, config, LIKE)


def test_the_one_before_a_damaged_one_is_used(tmp_path, config, capsys):
    save_epochs(tmp_path, config, [0.7, 0.8, 0.9])
    folder = tmp_path / "checkpoints"
    (folder / "3" / "_CHECKPOINT_METADATA").write_text("{")
    before = content(tmp_path)
    assert_is(checkpoints.load_latest(tmp_path, config, LIKE), 2)
    assert content(tmp_path) == before
    assert capsys.readouterr() == (
        "",
        f"warning: the checkpoint {folder}/3 is damaged (_CHECKPOINT_METADATA does not have "
        "its checksum); the one of epoch 2 is used\n",
    )


def test_the_best_is_used_if_both_of_the_latest_are_damaged(tmp_path, config, capsys):
    save_epochs(tmp_path, config, [0.9, 0.8, 0.7, 0.6])
    for epoch in (3, 4):
        (tmp_path / "checkpoints" / str(epoch) / "SHA256SUMS").unlink()
    assert_is(checkpoints.load_latest(tmp_path, config, LIKE), 1)
    lines = capsys.readouterr().err.splitlines()
    assert ["checkpoints/4 is damaged" in line for line in lines] == [True, False]
    assert ["checkpoints/3 is damaged" in line for line in lines] == [False, True]


def test_no_good_one_is_an_error_and_changes_nothing(tmp_path, config, capsys):
    save_epochs(tmp_path, config, [0.9, 0.8])
    for epoch in (1, 2):
        os.truncate(tmp_path / "checkpoints" / str(epoch) / "state" / "_METADATA", 10)
    before = content(tmp_path)
    with pytest.raises(UserError) as error:
        checkpoints.load_latest(tmp_path, config, LIKE)
    reason = "is damaged (state/_METADATA does not have its checksum)"
    assert str(error.value) == (
        f"the run in {tmp_path} has no good checkpoint: {tmp_path}/checkpoints/2 {reason}; "
        f"{tmp_path}/checkpoints/1 {reason}; start it anew with --overwrite, or use another "
        "--workdir"
    )
    assert content(tmp_path) == before
    assert capsys.readouterr() == ("", "")


def test_a_damaged_one_is_replaced_when_its_epoch_is_saved_again(tmp_path, config):
    accuracies = [0.9, 0.8, 0.7, 0.6]
    save_epochs(tmp_path, config, accuracies)
    for epoch in (3, 4):
        os.truncate(tmp_path / "checkpoints" / str(epoch) / "state" / "_METADATA", 10)
    # From the best, which is the only good one.
    save_epochs(tmp_path, config, accuracies, first=2)
    assert checkpoints.epochs(tmp_path) == [1, 3, 4]
    for epoch in (1, 3, 4):
        assert_is(checkpoints.load(tmp_path, epoch, config, LIKE), epoch)


def test_what_a_killed_process_leaves_is_no_checkpoint(tmp_path, config):
    save_epochs(tmp_path, config, [0.9, 0.8])
    folder = tmp_path / "checkpoints"
    for name in ("3", "3.orbax-checkpoint-tmp", "1-old"):
        shutil.copytree(folder / "2", folder / ".unfinished" / name)
    shutil.copytree(folder, tmp_path / ".checkpoints.removed")
    assert_is(checkpoints.load_latest(tmp_path, config, LIKE), 2)
    save_epochs(tmp_path, config, [0.9, 0.8, 0.7], first=3)
    assert sorted(path.name for path in folder.iterdir()) == ["1", "2", "3"]
    assert list(tmp_path.iterdir()) == [folder]


# -------------------------------------------------------------------------- of another run


def test_the_same_config_is_accepted_wherever_the_data_is(tmp_path, config):
    save_epochs(tmp_path, config, [0.9])
    config.data_dir = "/elsewhere"
    assert_is(checkpoints.load_latest(tmp_path, config, LIKE), 1)


def test_another_config_is_refused_with_every_difference(tmp_path, config):
    save_epochs(tmp_path, config, [0.9, 0.8])
    config.seed = 1
    config.augment.degrees = 15.0
    with pytest.raises(UserError) as error:
        checkpoints.load_latest(tmp_path, config, LIKE)
    assert str(error.value) == (
        f"the run in {tmp_path} has another config: config.augment.degrees was 10.0 and is "
        "15.0; config.seed was 0 and is 1; use its config, or another --workdir"
    )


def test_another_network_is_refused_with_every_difference(tmp_path, config):
    save_epochs(tmp_path, config, [0.9])
    like = {
        "a": jax.ShapeDtypeStruct((4,), jnp.float32),
        "c": jax.ShapeDtypeStruct((2, 1), jnp.int32),
    }
    with pytest.raises(UserError) as error:
        checkpoints.load_latest(tmp_path, config, like)
    assert str(error.value) == (
        f"the run in {tmp_path} has another network: network.a was 'float32[3]' and is "
        "'float32[4]'; network.b was 'int32[]' and is None; network.c was None and is "
        "'int32[2, 1]'; use its network, or another --workdir"
    )


def test_a_newer_format_is_refused(tmp_path, config, monkeypatch):
    monkeypatch.setattr(checkpoints, "FORMAT", checkpoints.FORMAT + 1)
    save_epochs(tmp_path, config, [0.9])
    monkeypatch.undo()
    with pytest.raises(
        UserError,
        match=rf"^the checkpoint {tmp_path}/checkpoints/1 has format {checkpoints.FORMAT + 1}, "
        rf"and mnist_flax \S+ knows formats up to {checkpoints.FORMAT}; install a newer",
    ):
        checkpoints.load_latest(tmp_path, config, LIKE)


def test_what_it_holds_is_there_for_other_tools(tmp_path, config):
    save_epochs(tmp_path, config, [0.9, 0.8])
    metadata = ocp.metadata(tmp_path / "checkpoints" / "2").custom_metadata
    assert metadata == {
        "format": checkpoints.FORMAT,
        "config": json.loads(json.dumps(config.to_dict())),
        "arrays": {"a": "float32[3]", "b": "int32[]"},
        "history": [record(1, 0.9), record(2, 0.8)],
        "began": devices.here(),
    }


# ------------------------------------------------------------------------------ full disks


def test_a_full_disk_leaves_the_ones_before(tmp_path, config, capfd):
    save_epochs(tmp_path, config, [0.9, 0.8])
    before = content(tmp_path)
    with full_disk(1000), pytest.raises(WriteError) as error:
        save_epochs(tmp_path, config, [0.9, 0.8, 0.7], first=3)
    assert error.value.errno == errno.EFBIG
    assert error.value.filename == str(tmp_path / "checkpoints" / "3")
    assert content(tmp_path) == before
    assert capfd.readouterr() == ("", "")


def test_a_disk_that_another_process_fills_in_the_middle(tmp_path, config, monkeypatch):
    save_epochs(tmp_path, config, [0.9, 0.8])
    before = content(tmp_path)
    monkeypatch.setattr(files, "check_room", lambda folder, size: None)
    state = {"a": np.random.default_rng(0).random(100_000)}
    with full_disk(1000), pytest.raises(WriteError) as error:
        checkpoints.save(tmp_path, config, state, [record(3, 0.7)])
    assert error.value.errno == errno.EFBIG
    assert content(tmp_path) == before


def test_an_error_of_the_program_stays_one(tmp_path, config):
    with pytest.raises(Exception, match="object") as error:
        checkpoints.save(tmp_path, config, {"a": np.array([object()])}, [record(1, 0.7)])
    assert not isinstance(error.value, OSError)
    assert not list((tmp_path / "checkpoints").iterdir())


def test_checkpoints_on_another_disk_are_removed_and_the_link_stays(tmp_path):
    (tmp_path / "disk" / "3").mkdir(parents=True)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoints").symlink_to(tmp_path / "disk")
    checkpoints.remove(tmp_path / "run")
    assert (tmp_path / "run" / "checkpoints").is_symlink()
    assert not list((tmp_path / "disk").iterdir())


def test_a_checkpoint_that_may_not_be_read_is_not_called_damaged(tmp_path, monkeypatch):
    (tmp_path / "checkpoints" / "1").mkdir(parents=True)

    def refuse(path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(UserError, match=r"cannot be read \(Permission denied\)") as error:
        checkpoints.load(tmp_path, 1, None, None)
    assert "damaged" not in str(error.value)
    assert "--overwrite" not in str(error.value)
