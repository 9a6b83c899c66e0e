"""What the bits of a run depend on besides its config, and what a resume elsewhere says."""

import jax
import pytest
from helpers import quick_runs
from helpers.trained_runs import write_run

from mnist_flax import config as config_lib
from mnist_flax import train
from mnist_flax.runs import checkpoints, devices


def test_here() -> None:
    assert devices.here() == {"device": "cpu", "device_count": 1, "jax": jax.__version__}
    assert devices.in_words() == "cpu"
    assert devices.changes(devices.here()) == ""
    # What an earlier version did not note cannot have changed.
    assert devices.changes({}) == ""


def test_several_devices(monkeypatch) -> None:
    monkeypatch.setattr(jax, "device_count", lambda: 8)
    assert devices.in_words() == "8 x cpu"


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("device", "Tesla T4", "the device was Tesla T4 and is cpu"),
        ("device_count", 8, "the number of devices was 8 and is 1"),
        ("jax", "0.10.0", f"the version of JAX was 0.10.0 and is {jax.__version__}"),
    ],
)
def test_changes(key, value, words) -> None:
    assert devices.changes(devices.here() | {key: value}) == words


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_resume_on_another_device_says_so(
    data_dir, tmp_path, capsys, monkeypatch, elsewhere
) -> None:
    began = devices.here() | ({"device": "Tesla T4", "jax": "0.10.0"} if elsewhere else {})
    config = config_lib.load(config_lib.default_path())
    config.num_epochs, config.data_dir = 1, str(data_dir)
    config.train_split, config.test_split = "train[:128]", "test[:100]"
    config.model.architecture = "4 pool 4 pool 4"
    with monkeypatch.context() as patch, quick_runs.sharing():
        patch.setattr(devices, "here", lambda: began)
        train.train_and_evaluate(config, tmp_path)
    assert "Device: " + began["device"] in capsys.readouterr().out
    config.num_epochs = 3
    with quick_runs.sharing():
        train.train_and_evaluate(config, tmp_path, resume=True)
    said = (
        "warning: the run may end otherwise than it would have: the device was Tesla T4 and is "
        f"cpu; the version of JAX was 0.10.0 and is {jax.__version__}\n"
    )
    assert capsys.readouterr().err == (said if elsewhere else "")
    # Where it began stays noted, for the next resume.
    like = jax.eval_shape(lambda key: train.create_train_state(key, config), jax.random.key(0))
    assert checkpoints.load(tmp_path, 3, config, like).began == began


def test_a_checkpoint_of_an_earlier_version_notes_nothing(tmp_path, monkeypatch) -> None:
    metadata = {}
    save = checkpoints.ocp.save

    def without(path, arrays, *, custom_metadata):
        del custom_metadata["began"]
        metadata.update(custom_metadata)
        save(path, arrays, custom_metadata=custom_metadata)

    monkeypatch.setattr(checkpoints.ocp, "save", without)
    workdir = write_run(tmp_path / "run")
    config = config_lib.ConfigDict(metadata["config"])
    like = jax.eval_shape(lambda key: train.create_train_state(key, config), jax.random.key(0))
    saved = checkpoints.load(workdir, 1, config, like)
    assert (saved.began, devices.changes(saved.began)) == ({}, "")
