"""Prepares a dataset from its files: once, and whole or not at all."""

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import requests
import tensorflow_datasets as tfds
from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError

from mnist_flax.datasets.mnist_idx import MnistIdx
from mnist_flax.errors import UserError
from mnist_flax.system import paths, progress

# By the names of config.dataset; config.DATASETS lists the same ones.
DATASETS: dict[str, type[MnistIdx]] = {"mnist": MnistIdx}

_CHOOSE = "choose another folder (--config.data_dir of a run, --data-dir, or TFDS_DATA_DIR)"
_REINSTALL = "reinstall mnist_flax, or delete the file to have it downloaded"


def prepare(dataset: str, data_dir: str | os.PathLike[str] | None = None) -> MnistIdx:
    """Prepares a dataset if that has not been done, and returns its builder, ready to be read.

    Several processes may call this at once: one prepares, the others wait. Nothing reads what
    an interrupted preparation leaves behind; the next call prepares again.

    Args:
      dataset: a key of DATASETS.
      data_dir: the folder of all prepared datasets. None or '': the environment variable
        TFDS_DATA_DIR, or ~/tensorflow_datasets.

    Raises:
      UserError: the dataset is unknown; its files are damaged, or missing and cannot be
        downloaded; data_dir cannot be written; the prepared data is damaged.
    """
    if dataset not in DATASETS:
        raise UserError(f"dataset: {dataset!r} is unknown; allowed: {', '.join(DATASETS)}")
    builder_class = DATASETS[dataset]
    root = _data_root(data_dir)
    folder = root / builder_class.name / str(builder_class.VERSION)
    try:
        # Before the lock, which writes: prepared data may lie on a read-only disk.
        if not folder.exists():
            with _only_one_process(folder.parent):
                if not folder.exists():
                    with progress.shown(f"Preparing the data of {dataset}, once"):
                        _prepare(builder_class(data_dir=root), folder)
    except OSError as error:
        raise UserError(
            f"data_dir: cannot prepare {dataset} in {root}: {_one_line(error)}; "
            f"make room or make it writable, or {_CHOOSE}"
        ) from error
    return _prepared_builder(builder_class, root, folder)


def damaged(folder: str | os.PathLike[str], why: object) -> UserError:
    """Makes the error for prepared data that cannot be read."""
    return UserError(
        f"the prepared data in {os.fspath(folder)} is damaged: {_one_line(why)}; "
        "delete that folder to have it prepared anew"
    )


def _data_root(data_dir: str | os.PathLike[str] | None) -> Path:
    """Returns the folder of all prepared datasets.

    Raises:
      UserError: its name is an address, or is not UTF-8, which no writer of records opens.
    """
    root = os.fspath(data_dir or "") or os.environ.get("TFDS_DATA_DIR", "")
    folder = (
        paths.local_path("data_dir", root) if root else paths.home_folder("tensorflow_datasets")
    )
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        raise UserError(f"data_dir: the name of {folder} is not UTF-8; {_CHOOSE}") from None
    return folder


@contextlib.contextmanager
def _only_one_process(folder: Path) -> Iterator[None]:
    """Holds a lock, which the system releases however this process ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        with progress.shown("Waiting for another process to prepare the data"):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _prepare(builder: MnistIdx, folder: Path) -> None:
    """Writes `folder`, through a temporary one that tfds renames at the very end."""
    # Preparations that were killed left these; this process alone has the lock.
    for leftover in folder.parent.glob(f"incomplete.*_{folder.name}"):
        shutil.rmtree(leftover)
    _check_files(builder)
    tfds.disable_progress_bar()  # it takes two seconds
    try:
        builder.download_and_prepare(
            file_format="array_record",
            # tfds takes the files it finds in manual_dir instead of downloading them.
            download_config=tfds.download.DownloadConfig(
                manual_dir=builder.BUNDLED, try_download_gcs=False
            ),
        )
    except (
        requests.RequestException,
        tfds.download.DownloadError,
        NonMatchingChecksumError,
    ) as error:
        raise _download_failed(builder.URL, error) from error
    except RuntimeError as error:  # array_record's writer knows no OSError
        raise OSError(_one_line(error)) from error


def _check_files(builder: MnistIdx) -> None:
    """Checks the bundled files, and that there is a network if one is missing."""
    for url, expected in builder.url_infos.items():
        path = builder.BUNDLED / expected.filename
        if not path.exists():
            # tfds alone would try for minutes before it gave up.
            try:
                requests.head(url, timeout=10)
            except requests.RequestException as error:
                raise _download_failed(f"{url}, for {path} is missing,", error) from error
            continue
        try:
            content = path.read_bytes()
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error}; {_REINSTALL}") from error
        sha256 = hashlib.sha256(content).hexdigest()
        if (len(content), sha256) != (expected.size, expected.checksum):
            raise UserError(
                f"{path} is damaged: {len(content)} bytes with sha256 {sha256} instead of "
                f"{int(expected.size)} bytes with {expected.checksum}; {_REINSTALL}"
            )


def _download_failed(what: str, error: Exception) -> UserError:
    return UserError(
        f"Downloading {what} failed: {_one_line(error)}; connect to the network, or reinstall "
        "mnist_flax, which brings the files along"
    )


def _prepared_builder(builder_class: type[MnistIdx], root: Path, folder: Path) -> MnistIdx:
    """Opens what is prepared and checks that it is all there."""
    try:
        builder = builder_class(data_dir=root)
    except Exception as error:  # whatever the parsing of tfds' JSON file happens to raise
        raise damaged(folder, error) from error
    sizes = {name: split.num_examples for name, split in builder.info.splits.items()}
    if sizes != builder.SIZES:
        raise damaged(folder, f"it holds {sizes or 'no splits'} instead of {builder.SIZES}")
    return builder


def _one_line(error: object) -> str:
    return " ".join(str(error).split())
