"""Preparation: whole or not at all, whatever happens to the files, the disk or the process."""

import contextlib
import errno
import fcntl
import functools
import hashlib
import http.server
import os
import resource
import shutil
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from array_record.python import array_record_module
from helpers import forks
from helpers.idx_files import flipped, idx_bytes, write_gz
from tensorflow_datasets.core.download.checksums import UrlInfo

import mnist_flax
from mnist_flax import input_pipeline
from mnist_flax.datasets import preparation
from mnist_flax.datasets.mnist_idx import MnistIdx
from mnist_flax.errors import UserError

ROOT = Path(mnist_flax.__file__).parents[1]
NAMES = [
    f"{prefix}-{what}-ubyte.gz"
    for prefix in ("train", "t10k")
    for what in ("images-idx3", "labels-idx1")
]


def raises_user_error(*parts: str):
    """Expects a UserError of one line that holds all the parts, in this order."""
    return pytest.raises(UserError, match="^" + "".join(f".*{part}" for part in parts) + ".*$")


# ------------------------------------------------------------------------ a tiny data set


class TinyIdx(MnistIdx):
    """Five and three images; stands for the next dataset, too."""

    VERSION = tfds.core.Version("1.0.0")
    SIZES = {"train": 5, "test": 3}  # noqa: RUF012


@pytest.fixture
def files(tmp_path, monkeypatch) -> Path:
    """The folder of TinyIdx' files, which is registered as dataset 'tiny'."""
    folder = tmp_path / "files"
    folder.mkdir()
    url_infos = {}
    for prefix, n in (("train", 5), ("t10k", 3)):
        images = bytes(range(n)) * 784
        for name, content in (
            (f"{prefix}-images-idx3-ubyte.gz", idx_bytes((n, 28, 28), images)),
            (f"{prefix}-labels-idx1-ubyte.gz", idx_bytes((n,), bytes(range(n)))),
        ):
            write_gz(folder / name, content)
            url_infos[TinyIdx.URL + name] = url_info(folder / name)
    monkeypatch.setattr(TinyIdx, "BUNDLED", folder)
    monkeypatch.setattr(TinyIdx, "url_infos", url_infos)
    monkeypatch.setitem(preparation.DATASETS, "tiny", TinyIdx)
    return folder


def url_info(path: Path) -> UrlInfo:
    content = path.read_bytes()
    return UrlInfo(len(content), hashlib.sha256(content).hexdigest(), path.name)


def written(folder: Path) -> list[str]:
    """All that stands in a data folder, but for the lock and tfds' empty folders."""
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.name not in (".lock", "tiny_idx", "mnist_idx", "downloads", "extracted")
    )


def test_a_new_dataset_is_one_more_line(files, tmp_path):
    images, labels = input_pipeline.load("test", tmp_path / "data", dataset="tiny")
    assert images.tobytes() == bytes(range(3)) * 784
    assert labels.tolist() == [0, 1, 2]
    with raises_user_error("dataset: 'none' is unknown; allowed: mnist, tiny"):
        input_pipeline.load("test", tmp_path / "data", dataset="none")


def test_prepared_once_and_silently(files, tmp_path, capfd):
    data = tmp_path / "data"
    input_pipeline.load("test", data, dataset="tiny")
    before = {path: path.stat().st_mtime_ns for path in data.rglob("*")}
    input_pipeline.load("train", data, dataset="tiny")
    assert {path: path.stat().st_mtime_ns for path in data.rglob("*")} == before
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("impatient")
def test_it_says_that_it_prepares(files, tmp_path, capfd):
    data = tmp_path / "data"
    input_pipeline.load("test", data, dataset="tiny")
    out, err = capfd.readouterr()
    assert out == ""
    assert "Preparing the data of tiny, once ...\n" in err


def test_prepared_data_needs_no_lock_and_no_files(files, tmp_path, monkeypatch):
    input_pipeline.load("test", tmp_path / "data", dataset="tiny")
    shutil.rmtree(files)
    monkeypatch.setattr(fcntl, "flock", None)
    assert len(input_pipeline.load("test", tmp_path / "data", dataset="tiny").labels) == 3


@pytest.mark.parametrize("change", [lambda content: content[:-1], lambda c: flipped(c, -12)])
@pytest.mark.parametrize("name", NAMES)
def test_bundled_file_truncated_or_changed(files, tmp_path, name, change):
    content = change((files / name).read_bytes())
    (files / name).write_bytes(content)
    expected = TinyIdx.url_infos[TinyIdx.URL + name]
    with raises_user_error(
        f"{files / name} is damaged: {len(content)} bytes",
        f"{hashlib.sha256(content).hexdigest()} instead of {expected.size} bytes",
        expected.checksum,
        "reinstall mnist_flax, or delete the file",
    ):
        input_pipeline.load("test", tmp_path / "data", dataset="tiny")
    assert written(tmp_path / "data") == []


def test_bundled_file_unreadable(files, tmp_path):
    path = files / "t10k-labels-idx1-ubyte.gz"
    path.unlink()
    path.mkdir()
    with raises_user_error(f"{path} cannot be read", "directory", "reinstall"):
        input_pipeline.load("test", tmp_path / "data", dataset="tiny")


def test_wrong_idx_behind_a_right_checksum(files, tmp_path):
    path = write_gz(files / "t10k-labels-idx1-ubyte.gz", idx_bytes((4,), bytes(4)))
    TinyIdx.url_infos[TinyIdx.URL + path.name] = url_info(path)
    with raises_user_error(f"{path} is not the IDX file it should be: its count is 4, not 3"):
        input_pipeline.load("test", tmp_path / "data", dataset="tiny")
    assert written(tmp_path / "data") == []


# --------------------------------------------------------------------------------- downloads


@pytest.mark.parametrize("missing", ["file", "folder"])
def test_bundled_file_missing_and_no_network(files, tmp_path, monkeypatch, missing):
    # A proxy that refuses is as good as no network.
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    path = files / "train-images-idx3-ubyte.gz"
    path.unlink() if missing == "file" else shutil.rmtree(files)
    with raises_user_error(
        f"Downloading {TinyIdx.URL}{path.name}, for {path} is missing, failed", "reinstall"
    ):
        input_pipeline.load("test", tmp_path / "data", dataset="tiny")
    assert written(tmp_path / "data") == []


@pytest.fixture
def server(files, tmp_path, monkeypatch):
    """Takes the tiny files away and serves them over HTTP; yields their new folder."""
    folder = tmp_path / "served"
    files.rename(folder)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    handler = functools.partial(Handler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{httpd.server_port}/"
        infos = {url + info.filename: info for info in TinyIdx.url_infos.values()}
        monkeypatch.setattr(TinyIdx, "URL", url)
        monkeypatch.setattr(TinyIdx, "url_infos", infos)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield folder
        httpd.shutdown()


def test_missing_files_are_downloaded(server, tmp_path):
    images, _ = input_pipeline.load("train", tmp_path / "data", dataset="tiny")
    assert images.tobytes() == bytes(range(5)) * 784
    assert sum(path.suffix == ".gz" for path in (tmp_path / "data/downloads").rglob("*")) == 4


def test_downloaded_file_has_the_wrong_checksum(server, tmp_path):
    write_gz(server / "t10k-labels-idx1-ubyte.gz", idx_bytes((3,), bytes(3)))
    with raises_user_error(
        f"Downloading {TinyIdx.URL} failed", "wrong checksum", "t10k-labels"
    ):
        input_pipeline.load("test", tmp_path / "data", dataset="tiny")
    assert not list((tmp_path / "data/tiny_idx").glob("*.0.0"))


def test_downloaded_file_is_not_there(server, tmp_path):
    (server / "t10k-labels-idx1-ubyte.gz").unlink()
    with raises_user_error(f"Downloading {TinyIdx.URL} failed", "t10k-labels", "404"):
        input_pipeline.load("test", tmp_path / "data", dataset="tiny")
    assert not list((tmp_path / "data/tiny_idx").glob("*.0.0"))


# ---------------------------------------------------------------------- unusable data folders


def test_data_dir_cannot_be_written(files, tmp_path):
    # Root may write anywhere, so a folder below a file it must be.
    (tmp_path / "file").write_text("")
    with raises_user_error(
        f"data_dir: cannot prepare tiny in {tmp_path}/file/data", "TFDS_DATA_DIR"
    ):
        input_pipeline.load("test", tmp_path / "file" / "data", dataset="tiny")


def test_data_dir_is_no_url(files):
    with raises_user_error("data_dir=gs://bucket/data is an address"):
        input_pipeline.load("test", "gs://bucket/data", dataset="tiny")


def test_disk_full_while_generating(files, tmp_path, monkeypatch):
    def generate(self, images, labels):
        yield 0, {"image": images[0][:, :, np.newaxis], "label": 0}
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(TinyIdx, "_generate_examples", generate)
    with raises_user_error("cannot prepare tiny", "No space left on device", "make room"):
        input_pipeline.load("test", tmp_path / "data", dataset="tiny")
    assert written(tmp_path / "data") == []


@contextlib.contextmanager
def file_size_limit(size: int):
    """Lets writes beyond `size` bytes fail: the nearest to a full disk without a disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_disk_full_while_writing_records(files, tmp_path):
    # An array_record file has at least 64 KiB.
    with (
        raises_user_error("cannot prepare tiny", "File too large", "make room"),
        file_size_limit(40_000),
    ):
        input_pipeline.load("test", tmp_path / "data", dataset="tiny")
    assert written(tmp_path / "data") == []
    assert len(input_pipeline.load("test", tmp_path / "data", dataset="tiny").labels) == 3


# ------------------------------------------------------------------------ damaged preparation


def truncate(size: int):
    return lambda shard: os.truncate(shard, size)


def write_records(shard: Path, records: list[bytes]) -> None:
    writer = array_record_module.ArrayRecordWriter(str(shard), "group_size:1")
    for record in records:
        writer.write(record)
    writer.close()


def write(name: str, content: str):
    return lambda shard: (shard.parent / name).write_text(content)


@pytest.mark.parametrize(
    "damage",
    [
        Path.unlink,
        truncate(0),
        truncate(65_536),  # array_record takes this for an empty file, and says nothing
        truncate(1_000_000),
        truncate(3_145_727),
        lambda shard: shard.write_bytes(flipped(shard.read_bytes(), 2_000_000)),
        lambda shard: write_records(shard, [b"no example"] * 10_000),
        lambda shard: write_records(shard, [b""] * 10_000),
        lambda shard: (shard.parent / "dataset_info.json").unlink(),
        write("dataset_info.json", ""),
        write("dataset_info.json", '{"name": '),
        write("dataset_info.json", "{}"),
        write(
            "dataset_info.json",
            '{"name": "mnist_idx", "version": "1.0.0", "fileFormat": "array_record", '
            '"splits": [{"name": "test", "shardLengths": ["99"]}]}',
        ),
    ],
)
def test_prepared_data_is_damaged(data_dir, tmp_path, damage):
    folder = tmp_path / "mnist_idx" / "1.0.0"
    shutil.copytree(data_dir / "mnist_idx" / "1.0.0", folder)
    (shard,) = folder.glob("*test.array_record*")
    damage(shard)
    with raises_user_error(f"the prepared data in {folder} is damaged", "delete that folder"):
        input_pipeline.load("test", tmp_path)


# -------------------------------------------------------------------------- several processes

# Touches DIR/ready as it starts to write, and goes on once DIR/go exists.
PAUSE = """
import pathlib, time
from mnist_flax.datasets.mnist_idx import MnistIdx
generate = MnistIdx._generate_examples
def pause(self, images, labels):
    pathlib.Path(sys.argv[1], 'ready').touch()
    while not pathlib.Path(sys.argv[1], 'go').exists():
        time.sleep(0.01)
    yield from generate(self, images, labels)
MnistIdx._generate_examples = pause
"""
# Touches DIR/waiting as it asks for the lock.
WAIT = """
import fcntl, pathlib
flock = fcntl.flock
def announce(*args):
    pathlib.Path(sys.argv[1], 'waiting').touch()
    flock(*args)
fcntl.flock = announce
"""
LOAD = """
import hashlib
from mnist_flax import input_pipeline
images, labels = input_pipeline.load('test', sys.argv[1] + '/data')
print(hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest())
"""


def start(script: str, folder: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [*forks.python(), "-c", "import sys\n" + script, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


IMPATIENT = """
import os
del os.environ["TQDM_DISABLE"]
from mnist_flax.system import progress
progress.PATIENCE = 0.0
"""


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def assert_only_prepared_data(folder: Path) -> None:
    names = {path.name for path in (folder / "data" / "mnist_idx").iterdir()}
    assert names == {".lock", "1.0.0"}


@pytest.fixture
def digest(data_dir) -> str:
    images, labels = input_pipeline.load("test", data_dir)
    return hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()


def test_two_processes_prepare_at_once(tmp_path, digest):
    first = start(PAUSE + LOAD, tmp_path)
    wait_for(tmp_path / "ready")
    second = start(IMPATIENT + WAIT + LOAD, tmp_path)
    assert second.stderr is not None
    assert second.stderr.readline() == "Waiting for another process to prepare the data ...\n"
    wait_for(tmp_path / "waiting")
    (tmp_path / "go").touch()
    for process in (first, second):
        assert process.communicate(timeout=300) == (digest + "\n", "")
    assert_only_prepared_data(tmp_path)


def test_killed_preparation_is_done_again(tmp_path, digest):
    first = start(PAUSE + LOAD, tmp_path)
    wait_for(tmp_path / "ready")
    first.kill()
    first.communicate()
    assert len(list((tmp_path / "data" / "mnist_idx").glob("incomplete.*"))) == 1
    assert start(LOAD, tmp_path).communicate(timeout=300) == (digest + "\n", "")
    assert_only_prepared_data(tmp_path)


def test_a_waiting_process_takes_over_from_a_killed_one(tmp_path, digest):
    first = start(PAUSE + LOAD, tmp_path)
    wait_for(tmp_path / "ready")
    second = start(WAIT + LOAD, tmp_path)
    wait_for(tmp_path / "waiting")
    first.kill()
    first.communicate()
    assert second.communicate(timeout=300) == (digest + "\n", "")
    assert_only_prepared_data(tmp_path)
