"""Config files: the default, and one line for every mistake."""

import functools
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from mnist_flax import config as config_lib
from mnist_flax.errors import UserError
from mnist_flax.parallel import sharding

CONFIGS = sorted(config_lib.default_path().parent.glob("*.py"))

CONTRACT = {
    *("seed", "dataset", "data_dir", "train_split", "test_split", "batch_size", "num_epochs"),
    *("learning_rate", "target_accuracy", "augment", "schedule", "model"),
}


def load_default() -> ConfigDict:
    return config_lib.load(config_lib.default_path())


def write(path: Path, body: str) -> Path:
    path.write_text(f"from ml_collections import ConfigDict\n\n{body}\n")
    return path


def message(error: pytest.ExceptionInfo[UserError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_is_valid_and_typed(path: Path) -> None:
    config = config_lib.load(path)
    assert config.is_locked
    assert set(config) >= CONTRACT
    fields = config_lib.flatten(config)
    assert {key: type(value) for key, value in fields.items()} == {
        key: rule.kind for key, rule in config_lib.RULES.items()
    }


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_field_has_its_comment(path: Path) -> None:
    lines = path.read_text().splitlines()
    fields = [i for i, line in enumerate(lines) if line.startswith("    config.")]
    assert fields
    assert not [lines[i] for i in fields if not lines[i - 1].lstrip().startswith("# ")]


def test_default_is_the_assignment() -> None:
    config = load_default()
    assert (config.batch_size, config.num_epochs, config.learning_rate) == (128, 20, 1e-3)
    assert (config.schedule.step_size, config.schedule.gamma) == (15, 0.5)
    assert config.model.dropout_rate == 0.05
    assert config.augment.to_dict() == {
        "crop_probability": 0.1,
        "crop_size": 22,
        "degrees": 10.0,
        "brightness": 0.2,
        "contrast": 0.2,
        "translate": 0.1,
        "scale_min": 0.9,
        "scale_max": 1.1,
    }
    assert config.target_accuracy == 0.994


def test_tpu_is_the_default_with_another_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    default = config_lib.flatten(load_default())
    tpu = config_lib.flatten(config_lib.load(config_lib.default_path().with_name("tpu.py")))
    assert {key for key in default if tpu[key] != default[key]} == {
        *("batch_size", "learning_rate", "schedule.kind", "schedule.warmup_epochs")
    }
    # What its own text says of the numbers of chips.
    for chips in (8, 32):
        monkeypatch.setattr(jax, "device_count", lambda chips=chips: chips)
        sharding.check_divisible(tpu["batch_size"], 60_000)
    monkeypatch.setattr(jax, "device_count", lambda: 64)
    with pytest.raises(UserError, match="a last batch of 608"):
        sharding.check_divisible(tpu["batch_size"], 60_000)


def test_default_path_prefers_the_installed_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "mnist_flax"
    monkeypatch.setattr(config_lib, "__file__", str(package / "config.py"))
    assert config_lib.default_path() == tmp_path / "configs" / "default.py"
    installed = package / "configs" / "default.py"
    installed.parent.mkdir(parents=True)
    installed.touch()
    assert config_lib.default_path() == installed


BAD_VALUES = {
    "seed": (-1, 2**32, 1.0, True, None, "0"),
    "dataset": ("cifar10", "", None, ["mnist"]),
    "data_dir": (None, 3),
    "train_split": ("", "trian", "train[", "train[:5]+", "validation", 3),
    "test_split": ("test[x:]", None),
    "batch_size": (0, -128, 128.0, True, "128", np.int64(128)),
    "num_epochs": (0, -1, 20.0, True, None, float("nan"), 10_001),
    "optimizer": ("sgd", "Adam", None),
    "learning_rate": (0, -1e-3, float("nan"), float("inf"), 10**310, True, "1e-3", None),
    "schedule.kind": ("Step", "linear", None),
    "schedule.step_size": (0, 1.5),
    "schedule.gamma": (0, 1.1, float("nan")),
    "schedule.end_factor": (-0.1, 1.1, None),
    "schedule.warmup_epochs": (-1, 10_001, float("nan"), "2"),
    "model.architecture": ("", "pool 8", "8 pool pool", "8k2", "8 same", None),
    "model.dropout_rate": (-0.1, 1, 1.0),
    "model.dtype": ("float16", "float64", None, 32),
    "augment.crop_probability": (-0.1, 1.1),
    "augment.crop_size": (0, 29, 22.0),
    "augment.degrees": (-1, 181),
    "augment.brightness": (-0.1, 1.1),
    "augment.contrast": (-0.1, 1.1),
    "augment.translate": (-0.1, 1.1, (0.1, 0.1)),
    "augment.scale_min": (0, -1.0, 1.2),
    "augment.scale_max": (0.8, 11, float("inf")),
    "target_accuracy": (0, 99.4, float("nan")),
}


@pytest.mark.parametrize(
    ("key", "value"),
    [(key, value) for key in BAD_VALUES for value in BAD_VALUES[key]],
    ids=lambda x: str(x)[:20],
)
def test_bad_value_is_named_with_its_field_and_what_is_allowed(key: str, value: object) -> None:
    fields = load_default().to_dict()
    *groups, name = key.split(".")
    functools.reduce(dict.__getitem__, groups, fields)[name] = value
    config = ConfigDict(fields)
    with pytest.raises(UserError) as error:
        config_lib.validate(config)
    text = message(error)
    assert f"config.{key}" in text
    assert repr(value) in text
    assert "it must be " in text


def test_every_field_has_bad_values() -> None:
    assert BAD_VALUES.keys() == config_lib.RULES.keys()


@pytest.mark.parametrize(
    "split", ["train", "test", "train[:55000]", "train[90%:]", "train[-5:]+test[10:20]"]
)
def test_splits(split: str) -> None:
    config = load_default()
    config.train_split = split
    config_lib.validate(config)


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("num_epoch", "did you mean config.num_epochs?"),
        ("degrees", "did you mean config.augment.degrees?"),
        ("augment.degree", "did you mean config.augment.degrees?"),
        ("gamma", "did you mean config.schedule.gamma?"),
        ("xyzzy", "--help lists the fields"),
        ("augment", "is a group; its fields are augment.crop_probability,"),
    ],
)
def test_unknown_key_gets_a_hint(key: str, hint: str) -> None:
    with pytest.raises(UserError) as error:
        config_lib.check_known(key)
    assert message(error).startswith(f"config.{key} is ")
    assert hint in message(error)


def test_unknown_key_in_a_config() -> None:
    config = load_default()
    with config.unlocked():
        config.augment.shear = 5.0
    with pytest.raises(UserError, match=r"config\.augment\.shear is unknown"):
        config_lib.validate(config)


def test_warmup_longer_than_the_run() -> None:
    config = load_default()
    config.num_epochs, config.schedule.warmup_epochs = 2, 2.5
    with pytest.raises(UserError, match=r"warmup_epochs is 2\.5; .*num_epochs, which is 2"):
        config_lib.validate(config)


def test_batch_larger_than_the_split() -> None:
    config = load_default()
    config.train_split = "train[:100]"
    with pytest.raises(UserError) as error:
        config_lib.check_batch_size(config, 100)
    assert "config.batch_size is 128; it must be at most 100" in message(error)
    assert "'train[:100]'" in message(error)
    config_lib.check_batch_size(config, 128)


DERIVED = """
from mnist_flax import config as config_lib

def get_config():
    config = config_lib.load(config_lib.default_path())
    {}
    return config
"""


def test_a_config_may_start_from_the_default(tmp_path: Path) -> None:
    body = "config.augment.degrees = 15; config.learning_rate = 1"
    config = config_lib.load(write(tmp_path / "mine.py", DERIVED.format(body)))
    assert config.augment.degrees == 15.0
    assert isinstance(config.learning_rate, float)
    assert not (tmp_path / "__pycache__").exists()


def test_a_config_file_with_a_dataclass_and_postponed_annotations(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "from mnist_flax import config as config_lib\n"
        "@dataclass\n"
        "class Mine:\n"
        "    seed: int = 7\n"
        "def get_config():\n"
        "    config = config_lib.load(config_lib.default_path())\n"
        "    config.seed = Mine().seed\n"
        "    return config\n"
    )
    before = set(sys.modules)
    assert config_lib.load(path).seed == 7
    assert set(sys.modules) == before


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("def get_config(:\n    pass", ", line 3: SyntaxError: "),
        (
            "def get_config():\n    x = 1\n    return ConfigDict(1 / 0)",
            ", line 5: ZeroDivisionError",
        ),
        ("import no_such_module", ", line 3: ModuleNotFoundError: "),
        ("raise ValueError('two\\nlines')", ", line 3: ValueError: two lines"),
        ("import sys; sys.exit(0)", ", line 3: SystemExit: 0"),
        ("raise GeneratorExit", ", line 3: GeneratorExit"),
        ("#" * 2**20, " is larger than 1,048,576 bytes"),
        ("def config():\n    pass", " does not define get_config()"),
        ("get_config = 3", " does not define get_config()"),
        ("def get_config():\n    pass", "get_config() returned a NoneType; it must return "),
        ("def get_config(name):\n    pass", ": TypeError: get_config() missing 1 required"),
        ("get_config = ConfigDict", ": config.seed is missing; it must be an integer"),
        (
            DERIVED.format("with config.unlocked(): del config.seed"),
            "config.seed is missing; it must",
        ),
        (DERIVED.format("config.num_epochs = 0"), "config.num_epochs is 0; it must be"),
        (
            DERIVED.format("config.epochs = 3"),
            ', line 8: AttributeError: Key "epochs" does not exist and cannot be added since '
            'the config is locked. Did you mean "num_epochs" instead of "epochs"?',
        ),
    ],
)
def test_broken_config_file(tmp_path: Path, body: str, expected: str) -> None:
    path = write(tmp_path / "mine.py", body)
    with pytest.raises(UserError) as error:
        config_lib.load(path)
    assert str(path) in message(error)
    assert expected in message(error)


def test_config_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.py does not exist"):
        config_lib.load(tmp_path / "nowhere.py")
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        config_lib.load(tmp_path)
    (tmp_path / "image.py").write_bytes(b"\x89PNG\x00\xff")
    with pytest.raises(UserError, match=r"image\.py"):
        config_lib.load(tmp_path / "image.py")


def test_a_frozen_config_takes_values_of_a_command_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from ml_collections import FrozenConfigDict\n"
        "from mnist_flax import config as config_lib\n"
        "def get_config():\n"
        "    return FrozenConfigDict(config_lib.load(config_lib.default_path()))\n"
    )
    config = config_lib.load(path)
    assert config_lib.override(config, {"seed": "3"}).seed == 3
