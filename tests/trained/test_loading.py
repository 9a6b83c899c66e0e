"""A trained network is loaded from the folder of a run, which stays as it was."""

import json
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest
from helpers.trained_runs import WEIGHTS

from mnist_flax import augment, steps
from mnist_flax import config as config_lib
from mnist_flax.errors import UserError
from mnist_flax.runs import checkpoints, checksums
from mnist_flax.trained import loading, weights


def filled(number: int, like: jax.ShapeDtypeStruct) -> np.ndarray:
    """An array whose numbers differ from those for any other `number`."""
    return np.arange(like.size).reshape(like.shape).astype(like.dtype) + like.dtype.type(number)


def write_run(workdir: Path, epochs: int, num_epochs: int = 2) -> list[steps.TrainState]:
    """Makes the folder of a run after `epochs` of its `num_epochs`; returns its states."""
    config = config_lib.load(config_lib.default_path())
    config.num_epochs = num_epochs
    workdir.mkdir(exist_ok=True)
    (workdir / "config.json").write_text(json.dumps(config.to_dict()))
    create = partial(steps.create_train_state, config=config)
    shapes = jax.eval_shape(create, jax.random.key(0))
    states, history = [], []
    for epoch in range(1, epochs + 1):
        states.append(jax.tree.map(partial(filled, epoch), shapes))
        history.append({"epoch": epoch, "test_accuracy": 1 / epoch, "test_loss": None})
        checkpoints.save(workdir, config, states[-1], history)
    return states


def content(folder: Path) -> dict[str, tuple[float, bytes | None]]:
    """Every file and folder below a folder, with its time and content."""
    return {
        str(path): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else None)
        for path in [folder, *folder.rglob("*")]
    }


def assert_variables(run: loading.Trained, state: steps.TrainState) -> None:
    expected = {"params": state.params, "batch_stats": state.batch_stats}
    jax.tree.map(np.testing.assert_array_equal, run.variables, expected)


def test_a_finished_run(tmp_path, capsys) -> None:
    states = write_run(tmp_path, epochs=2)
    before = content(tmp_path)
    run = loading.load(tmp_path)
    assert content(tmp_path) == before
    assert_variables(run, states[1])
    assert (run.epoch, run.finished, run.config.num_epochs) == (2, True, 2)
    assert run.history == [
        {"epoch": 1, "test_accuracy": 1.0, "test_loss": None},
        {"epoch": 2, "test_accuracy": 0.5, "test_loss": None},
    ]
    assert capsys.readouterr() == ("", "")


def test_a_run_that_never_finished(tmp_path, capsys) -> None:
    states = write_run(tmp_path, epochs=1)
    run = loading.load(tmp_path)
    assert_variables(run, states[0])
    assert (run.epoch, run.finished) == (1, False)
    assert capsys.readouterr().err == (
        f"warning: the run in {tmp_path} is used as it was after epoch 1 of 2\n"
    )


def test_a_run_whose_latest_checkpoint_is_damaged(tmp_path, capsys) -> None:
    states = write_run(tmp_path, epochs=2)
    (tmp_path / "checkpoints" / "2" / checksums.SUMS).unlink()
    before = content(tmp_path)
    run = loading.load(tmp_path)
    assert content(tmp_path) == before
    assert_variables(run, states[0])
    assert (run.epoch, run.finished, len(run.history)) == (1, False, 1)
    damaged, used = capsys.readouterr().err.splitlines()
    assert "checkpoints/2 is damaged" in damaged
    assert "is used as it was after epoch 1 of 2" in used


def test_no_run(tmp_path) -> None:
    with pytest.raises(UserError, match="is not the folder of a run: it has no config"):
        loading.load(tmp_path / "nowhere")
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(UserError, match="is not the folder of a run"):
        loading.load(file)
    assert content(tmp_path).keys() == {str(tmp_path), str(file)}


def test_a_run_without_a_checkpoint(tmp_path) -> None:
    write_run(tmp_path, epochs=0)
    before = content(tmp_path)
    with pytest.raises(UserError, match=r"has no checkpoint yet; .* --resume"):
        loading.load(tmp_path)
    assert content(tmp_path) == before


def test_weights_of_a_file() -> None:
    run = loading.choose(None, str(WEIGHTS))
    assert (run.epoch, run.finished, run.history) == (0, True, [])
    assert run.config == config_lib.load(config_lib.default_path())
    jax.tree.map(np.testing.assert_array_equal, run.variables, weights.read(WEIGHTS).variables)


def test_the_flags_of_commands(tmp_path) -> None:
    states = write_run(tmp_path, epochs=2)
    assert_variables(loading.choose(str(tmp_path), None), states[1])
    for flags in [(None, None), ("", ""), (str(tmp_path), str(WEIGHTS))]:
        with pytest.raises(UserError, match="either --workdir, a run, or --weights, a file"):
            loading.choose(*flags)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read"),
        ("{", "cannot be read"),
        ("[1]", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        ("\xff", "cannot be read"),
        ("{}", "config.seed is missing"),
        ('{"sed": 1}', "config.sed is unknown; did you mean config.seed?"),
    ],
)
def test_a_config_that_is_not_one(tmp_path, text, message) -> None:
    (tmp_path / "config.json").write_text(text, encoding="latin1")
    with pytest.raises(UserError) as error:
        loading.load(tmp_path)
    assert str(tmp_path / "config.json") in str(error.value)
    assert message in str(error.value)


def test_logits_of_any_number_of_images() -> None:
    run = loading.from_weights(WEIGHTS)
    images = np.random.default_rng(0).integers(0, 256, (501, 28, 28), np.uint8)
    model = steps.create_model(run.config)
    expected = model.apply(run.variables, augment.normalize(images), train=False)
    for n in (0, 3, 501):
        found = loading.logits(run, images[:n])
        assert found.shape == (n, 10)
        np.testing.assert_allclose(found, expected[:n], rtol=0, atol=1e-4, err_msg=str(n))


@pytest.mark.parametrize(
    ("asked", "environment", "there", "expected"),
    [
        (None, None, True, "own"),
        (None, None, False, ""),
        (None, "other", True, ""),
        ("asked", "other", True, "asked"),
    ],
)
def test_where_the_data_is_today(tmp_path, monkeypatch, asked, environment, there, expected):
    """The caller's word, then TFDS_DATA_DIR, then the run's own folder if it is still there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TFDS_DATA_DIR")
    if environment:
        monkeypatch.setenv("TFDS_DATA_DIR", environment)
    if there:
        Path("own").mkdir()
    assert loading._data_dir(asked, "own") == expected
