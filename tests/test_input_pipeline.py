"""The arrays equal the IDX files, and slices are those of tfds."""

import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mnist_flax
from mnist_flax import input_pipeline
from mnist_flax.errors import UserError

BUNDLED = Path(mnist_flax.__file__).parent / "datasets" / "mnist"


@pytest.fixture(scope="module")
def idx() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Images and labels of both splits, straight from the files."""

    def values(name: str, offset: int) -> np.ndarray:
        return np.frombuffer(gzip.decompress((BUNDLED / name).read_bytes()), np.uint8)[offset:]

    return {
        split: (
            values(f"{prefix}-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28),
            values(f"{prefix}-labels-idx1-ubyte.gz", 8),
        )
        for split, prefix in (("train", "train"), ("test", "t10k"))
    }


@pytest.mark.parametrize(("split", "size"), [("train", 60_000), ("test", 10_000)])
def test_whole_splits_equal_the_idx_files(data_dir, idx, split, size):
    images, labels = input_pipeline.load(split, data_dir)
    assert images.shape == (size, 28, 28)
    assert images.dtype == np.uint8
    assert labels.shape == (size,)
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(images, idx[split][0])
    np.testing.assert_array_equal(labels, idx[split][1])


def test_known_first_labels(data_dir):
    assert input_pipeline.load("train[:8]", data_dir).labels.tolist() == [
        5,
        0,
        4,
        1,
        9,
        2,
        1,
        3,
    ]
    assert input_pipeline.load("test[:8]", data_dir).labels.tolist() == [7, 2, 1, 0, 4, 1, 4, 9]


@pytest.mark.parametrize(
    ("spec", "split", "expected"),
    [
        ("train[:55000]", "train", slice(55_000)),
        ("train[55000:]", "train", slice(55_000, None)),
        ("test[-100:]", "test", slice(-100, None)),
        ("test[10:20]", "test", slice(10, 20)),
        ("test[:10%]", "test", slice(1_000)),
        ("test[33%:66%]", "test", slice(3_300, 6_600)),
        ("test[:12.345%]", "test", slice(1_234)),  # rounded to the closest, ties to even
        ("test[-1%:]", "test", slice(-100, None)),
        ("test[9999:]", "test", slice(9_999, None)),
    ],
)
def test_slices(data_dir, idx, spec, split, expected):
    images, labels = input_pipeline.load(spec, data_dir)
    np.testing.assert_array_equal(images, idx[split][0][expected])
    np.testing.assert_array_equal(labels, idx[split][1][expected])


def test_sum_of_slices(data_dir, idx):
    images, labels = input_pipeline.load("test[:3]+train[-2:]", data_dir)
    np.testing.assert_array_equal(images[:3], idx["test"][0][:3])
    np.testing.assert_array_equal(images[3:], idx["train"][0][-2:])
    assert len(labels) == 5


@pytest.mark.parametrize(
    "split",
    [
        "",
        "trian",
        "train[",
        "train[3]",
        "train[a:b]",
        "train[:1.5]",
        "train[:60001]",
        "train[:101%]",
        "all[:10]",
        None,
    ],
)
def test_malformed_or_unknown_split(data_dir, split):
    with pytest.raises(UserError) as error:
        input_pipeline.load(split, data_dir)
    message = str(error.value)
    assert message.startswith(f"{split!r} does not exist (")
    assert "allowed: 'train' (60000 images) and 'test' (10000 images)" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "split",
    ["test[5:5]", "test[:0]", "test[10000:]", "test[10:5]", "test[60%:40%]", "test[7:3]+test"],
)
def test_empty_split(data_dir, split):
    with pytest.raises(UserError, match=r".* is empty; allowed: 'train'"):
        input_pipeline.load(split, data_dir)


@pytest.mark.parametrize("name", ["", "mnits", "mnist_idx"])
def test_unknown_dataset(data_dir, name):
    with pytest.raises(UserError, match=f"^dataset: '{name}' is unknown; allowed: mnist$"):
        input_pipeline.load("test", data_dir, dataset=name)


def test_needs_neither_tensorflow_nor_torch(data_dir):
    script = (
        "import sys\n"
        "from mnist_flax import input_pipeline\n"
        "assert 'tensorflow_datasets' not in sys.modules\n"  # imported when data is wanted
        f"input_pipeline.load('test', {str(data_dir)!r})\n"
        "print([name for name in ('tensorflow', 'torch') if name in sys.modules])\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        cwd=Path(mnist_flax.__file__).parents[1],
        check=False,
    )
    assert (result.stdout, result.stderr) == ("[]\n", "")


@pytest.mark.parametrize("given", [None, ""])
def test_default_data_dir_is_the_environment_variable(data_dir, given):
    # The fixture has set TFDS_DATA_DIR to data_dir.
    before = {path: path.stat().st_mtime_ns for path in data_dir.rglob("*")}
    assert len(input_pipeline.load("test[:1]", given).labels) == 1
    assert {path: path.stat().st_mtime_ns for path in data_dir.rglob("*")} == before


def test_default_data_dir_without_it_is_in_the_home_folder(data_dir, tmp_path, monkeypatch):
    (tmp_path / "tensorflow_datasets").symlink_to(data_dir)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TFDS_DATA_DIR", "")
    assert len(input_pipeline.load("test[:1]").labels) == 1
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "not looked at"))
    assert len(input_pipeline.load("test[:1]", "~/tensorflow_datasets").labels) == 1
    assert not (tmp_path / "not looked at").exists()


@pytest.mark.parametrize(
    ("first", "second", "count"),
    [
        ("train", "test", 0),
        ("train[:55000]", "train[55000:]", 0),
        ("train", "train[55000:]", 5000),
        ("train[:10]+test[:5]", "test[3:]", 2),
        ("train[90%:]", "train[-6001:-5999]", 1),
    ],
)
def test_images_that_two_splits_have_in_common(data_dir, first, second, count):
    assert input_pipeline.count_overlap(first, second, data_dir) == count
