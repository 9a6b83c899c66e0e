"""Reads a config file, and checks what each of its fields holds.

Nothing here imports JAX: a bad config is answered before anything slow begins.
"""

import difflib
import itertools
import math
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from ml_collections import ConfigDict, FrozenConfigDict

from mnist_flax import architecture
from mnist_flax.errors import UserError
from mnist_flax.system import paths

DATASETS = ("mnist",)
OPTIMIZERS = ("adam",)
SCHEDULES = ("step", "cosine")
DTYPES = ("float32", "bfloat16")

# tfds slices: 'train', 'train[:55000]', 'train[90%:]', 'train[:100]+test'.
_BOUND = r"(-?\d+%?)?"
_SLICE = rf"(train|test)(\[{_BOUND}:{_BOUND}\])?"
_COUNTER = itertools.count()
_MAX_BYTES = 2**20
_SPLIT = re.compile(rf"{_SLICE}(\+{_SLICE})*")


class Rule(NamedTuple):
    """What a field of a config may hold.

    Attributes:
      allowed: the rule in words, to follow 'it must be'.
      accepts: says whether a value keeps the rule; it gets any type at all.
      kind: the type of every value that keeps it.
    """

    allowed: str
    accepts: Callable[[Any], bool]
    kind: type


def _integer(low: int, high: float = math.inf) -> Rule:
    """Makes the rule for an int, not a bool, in [low, high]."""
    allowed = f"of at least {low}" if high == math.inf else f"from {low} to {high}"
    return Rule(
        f"an integer {allowed}", lambda x: type(x) is int and low <= x <= high, kind=int
    )


def _number(allowed: str, accepts: Callable[[float], bool]) -> Rule:
    """Makes the rule for a finite float, or an int that is no bool, that `accepts`."""
    return Rule(
        f"a finite number {allowed}",
        lambda x: (
            isinstance(x, int | float)
            and not isinstance(x, bool)
            and abs(x) <= sys.float_info.max
            and accepts(x)
        ),
        kind=float,
    )


def _one_of(names: tuple[str, ...]) -> Rule:
    """Makes the rule for one of a few strings."""
    return Rule(
        " or ".join(map(repr, names)), lambda x: isinstance(x, str) and x in names, kind=str
    )


_SHARE = _number("from 0 to 1", lambda x: 0 <= x <= 1)
_FACTOR = _number("from 0.25 to 4", lambda x: 0.25 <= x <= 4)
_TFDS_SPLIT = Rule(
    "a tfds split such as 'train', 'test' or 'train[:55000]'",
    lambda x: isinstance(x, str) and _SPLIT.fullmatch(x) is not None,
    kind=str,
)

# Every field of a config: one that has no line here is unknown.
RULES: Mapping[str, Rule] = {
    # jax.random.key drops all but 32 bits: 2**32 would silently be 0 again.
    "seed": _integer(0, 2**32 - 1),
    "dataset": _one_of(DATASETS),
    "data_dir": Rule("a path, or '' for the default", lambda x: isinstance(x, str), kind=str),
    "train_split": _TFDS_SPLIT,
    "test_split": _TFDS_SPLIT,
    "batch_size": _integer(1),
    # Steps are counted in 32 bits: 10,000 epochs of 60,000 fit.
    "num_epochs": _integer(1, 10_000),
    "optimizer": _one_of(OPTIMIZERS),
    "learning_rate": _number("from 1e-10 to 1000", lambda x: 1e-10 <= x <= 1000),
    "schedule.kind": _one_of(SCHEDULES),
    "schedule.step_size": _integer(1, 10_000),
    "schedule.gamma": _number("above 0, up to 1", lambda x: 0 < x <= 1),
    "schedule.end_factor": _SHARE,
    "schedule.warmup_epochs": _number("from 0 to 10,000", lambda x: 0 <= x <= 10_000),
    "model.architecture": Rule(
        f"up to {architecture.MAX_CONVS} convolutions and {architecture.MAX_POOLS} 'pool': "
        "'8 8 pool same 16k1'",
        lambda x: isinstance(x, str) and architecture.is_valid(x),
        kind=str,
    ),
    "model.dropout_rate": _number("from 0 to below 1", lambda x: 0 <= x < 1),
    "model.dtype": _one_of(DTYPES),
    "augment.crop_probability": _SHARE,
    "augment.crop_size": _integer(1, 28),
    "augment.degrees": _number("from 0 to 180", lambda x: 0 <= x <= 180),
    "augment.brightness": _SHARE,
    "augment.contrast": _SHARE,
    "augment.translate": _SHARE,
    "augment.scale_min": _FACTOR,
    "augment.scale_max": _FACTOR,
    "target_accuracy": _number("above 0, up to 1", lambda x: 0 < x <= 1),
}


def default_path() -> Path:
    """Returns the path of configs/default.py, in the installed package or in the clone."""
    package = Path(__file__).parent
    installed = package / "configs" / "default.py"
    return installed if installed.exists() else package.parent / "configs" / "default.py"


def load(path: str | Path) -> ConfigDict:
    """Runs a config file and returns its config, checked by `validate`.

    Args:
      path: a Python file that defines `get_config() -> ConfigDict`.

    Returns:
      The config. A whole number in a field of floats has become a float. The config is
      locked: values can change, keys cannot.

    Raises:
      UserError: the file cannot be read or run, or its config is not valid.
    """
    config = _run_config_file(Path(path))
    if not isinstance(config, ConfigDict):
        raise UserError(
            f"{path}: get_config() returned a {type(config).__name__}; "
            "it must return an ml_collections.ConfigDict"
        )
    try:
        validate(config)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except Exception as error:  # Of values that a config cannot hold, such as itself.
        raise UserError(f"{path}: {_describe(error)}") from None
    with config.ignore_type():
        config.update_from_flattened_dict(
            {key: rule.kind(flatten(config)[key]) for key, rule in RULES.items()}
        )
    return config.lock()


def override(config: ConfigDict, texts: Mapping[str, str]) -> ConfigDict:
    """Returns a copy of a config with other values for some fields, checked by `validate`.

    Args:
      config: a valid config.
      texts: values as a command line has them, by field: {"augment.degrees": "15"}.

    Raises:
      UserError: a field is unknown, or its value is not allowed.
    """
    values = {}
    for key, text in texts.items():
        check_known(key)
        try:
            values[key] = RULES[key].kind(text)
        except ValueError:
            raise bad_value(key, text) from None
    changed = config.copy_and_resolve_references()
    changed.update_from_flattened_dict(values)
    validate(changed)
    return changed.lock()


def steps_per_epoch(config: ConfigDict, num_images: int) -> int:
    """Returns the number of optimizer steps in an epoch; the last batch may be smaller."""
    return math.ceil(num_images / config.batch_size)


def validate(config: ConfigDict) -> None:
    """Checks every field of a config.

    Raises:
      UserError: a field is unknown, missing or holds what it must not. The message names
        the field, its value and what is allowed.
    """
    fields = flatten(config)
    for key in fields:
        check_known(key)
    for key, rule in RULES.items():
        if key not in fields:
            raise UserError(f"config.{key} is missing; it must be {rule.allowed}")
        if not rule.accepts(fields[key]):
            raise bad_value(key, fields[key])
    low, high = fields["augment.scale_min"], fields["augment.scale_max"]
    if low > high:
        raise UserError(
            f"config.augment.scale_min is {low}; it must be at most "
            f"config.augment.scale_max, which is {high}"
        )
    warmup, epochs = fields["schedule.warmup_epochs"], fields["num_epochs"]
    if warmup > epochs:
        raise UserError(
            f"config.schedule.warmup_epochs is {warmup}; it must be at most config.num_epochs, "
            f"which is {epochs}"
        )


def check_known(key: str) -> None:
    """Raises UserError unless `key`, such as 'augment.degrees', is the name of a field."""
    if key in RULES:
        return
    members = [name for name in RULES if name.startswith(f"{key}.")]
    if members:
        raise UserError(f"config.{key} is a group; its fields are {', '.join(members)}")
    # Also match the bare field name, without its group.
    names = {name.rpartition(".")[2]: name for name in RULES} | {name: name for name in RULES}
    near = difflib.get_close_matches(key, names, n=1)
    if near:
        raise UserError(f"config.{key} is unknown; did you mean config.{names[near[0]]}?")
    raise UserError(f"config.{key} is unknown; --help lists the fields")


def bad_value(key: str, value: object) -> UserError:
    """Makes the error for a field that holds what its rule does not accept."""
    text = " ".join(repr(value).split())
    return UserError(f"config.{key} is {text}; it must be {RULES[key].allowed}")


def check_batch_size(config: ConfigDict, num_train: int) -> None:
    """Checks the one field whose range depends on the data.

    Args:
      config: a valid config.
      num_train: number of images in `config.train_split`.

    Raises:
      UserError: a batch is larger than the split.
    """
    if config.batch_size > num_train:
        raise UserError(
            f"config.batch_size is {config.batch_size}; it must be at most {num_train:,}, "
            f"the number of images in config.train_split {config.train_split!r}"
        )


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Turns {"augment": {"degrees": 5.0}} into {"augment.degrees": 5.0}."""
    fields: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, ConfigDict) and len(value):
            fields |= flatten(value, f"{prefix}{key}.")
        else:
            fields[f"{prefix}{key}"] = value
    return fields


def _run_config_file(path: Path) -> Any:
    """Runs a file and returns what its get_config() returns.

    Raises:
      UserError: the file cannot be read, or it or get_config() raised an error.
    """
    paths.check_not_a_pipe(path)
    try:
        with path.open("rb") as file:
            source = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        raise UserError(f"the config file {path} does not exist") from None
    except OSError as error:
        raise UserError(f"the config file {path} cannot be read: {error.strerror}") from None
    # Compiled here, not imported: an import would leave a __pycache__ beside the user's file.
    if len(source) > _MAX_BYTES:
        raise UserError(f"the config file {path} is larger than {_MAX_BYTES:,} bytes")
    # A config file may load another one: each has a name of its own.
    module = ModuleType(f"mnist_flax_config_file_{next(_COUNTER)}")
    module.__file__ = str(path)
    # Where a dataclass in the file looks up the names in its annotations.
    sys.modules[module.__name__] = module
    try:
        exec(compile(source, str(path), "exec"), module.__dict__)
        if not callable(getattr(module, "get_config", None)):
            raise UserError(f"the config file {path} does not define get_config()")
        config = module.get_config()
        # A frozen one cannot take the values of a command line.
        return ConfigDict(config) if isinstance(config, FrozenConfigDict) else config
    except (UserError, KeyboardInterrupt):
        raise
    except BaseException as error:  # SystemExit, too: a config file ends no command.
        raise UserError(f"{path}{_line(path, error)}: {_describe(error)}") from error
    finally:
        del sys.modules[module.__name__]


def _line(path: Path, error: BaseException) -> str:
    """Names the innermost line of a file that an error came from: ', line 7', or ''."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f", line {error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    return f", line {lines[-1]}" if lines else ""


def _describe(error: BaseException) -> str:
    """Describes an error in one line: 'ValueError: message'."""
    try:
        message = error.msg if isinstance(error, SyntaxError) else str(error)
    except Exception:  # An error of the user's own may not know how to describe itself.
        message = ""
    cause = error.args[0] if error.args else None
    if isinstance(error, AttributeError) and isinstance(cause, KeyError):
        # A locked config shows all of its fields before it says which may be meant.
        message = re.sub(r' Other fields present: ".*"\n', " ", cause.args[0], flags=re.S)
    return " ".join(f"{type(error).__name__}: {message}".split())
