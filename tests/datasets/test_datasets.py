"""The bundled files, and the IDX parser. How they are prepared: test_preparation.py."""

import gzip
import hashlib
import tracemalloc

import numpy as np
import pytest
import tensorflow_datasets as tfds
from helpers.idx_files import flipped, idx_bytes, write_gz

from mnist_flax.datasets import idx
from mnist_flax.datasets.mnist_idx import MnistIdx
from mnist_flax.errors import UserError

CANONICAL = {
    "train-images-idx3-ubyte.gz": (
        9_912_422,
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    ),
    "train-labels-idx1-ubyte.gz": (
        28_881,
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    ),
    "t10k-images-idx3-ubyte.gz": (
        1_648_877,
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    ),
    "t10k-labels-idx1-ubyte.gz": (
        4_542,
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    ),
}


# ---------------------------------------------------------------------------- bundled files


@pytest.mark.parametrize("name", CANONICAL)
def test_bundled_files_are_the_canonical_ones(name):
    content = (MnistIdx.BUNDLED / name).read_bytes()
    assert (len(content), hashlib.sha256(content).hexdigest()) == CANONICAL[name]


def test_checksums_list_the_canonical_files():
    url_infos = MnistIdx.url_infos
    assert set(url_infos) == {MnistIdx.URL + name for name in CANONICAL}
    for info in url_infos.values():
        assert (int(info.size), info.checksum) == CANONICAL[info.filename]


def test_notice_stands_beside_the_data():
    notice = (MnistIdx.BUNDLED / "NOTICE.md").read_text()
    for words in ("Yann LeCun", "Corinna Cortes", "creativecommons.org/licenses/by-sa/3.0/"):
        assert words in notice


def test_name_is_not_that_of_a_stock_dataset():
    assert MnistIdx.name == "mnist_idx"
    assert tfds.builder_cls("mnist_idx") is MnistIdx
    assert tfds.builder_cls("mnist").__module__.startswith("tensorflow_datasets.")


# --------------------------------------------------------------------------------- IDX files


def test_idx_images_and_labels(tmp_path):
    values = bytes(range(24))
    images = idx.read(write_gz(tmp_path / "i.gz", idx_bytes((2, 3, 4), values)), (2, 3, 4))
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images, np.arange(24).reshape(2, 3, 4))
    labels = idx.read(write_gz(tmp_path / "l.gz", idx_bytes((5,), values[:5])), (5,))
    assert labels.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (idx_bytes((2, 3, 4), bytes(24), magic=0x801), "magic number is 2049, not 2051"),
        (idx_bytes((2, 3, 4), bytes(24), magic=0xD03), "magic number is 3331, not 2051"),
        (idx_bytes((3, 3, 4), bytes(36)), "count is 3, not 2"),
        (idx_bytes((2, 5, 4), bytes(40)), "number of rows is 5, not 3"),
        (idx_bytes((2, 3, 9), bytes(54)), "number of columns is 9, not 4"),
        (idx_bytes((2, 3, 4), bytes(23)), "size is wrong: 23 bytes of values, not 24"),
        (idx_bytes((2, 3, 4), bytes(25)), "size is wrong: more bytes of values, not 24"),
        (idx_bytes((2, 3, 4), b""), "size is wrong: 0 bytes of values, not 24"),
        (b"\0\0\x08\x03\0\0", "header has 6 bytes, not 16"),
        (b"", "header has 0 bytes, not 16"),
    ],
)
def test_idx_wrong_field(tmp_path, content, why):
    path = write_gz(tmp_path / "images.gz", content)
    with pytest.raises(
        UserError,
        match=f"^{path} is not .* should be: its {why}.*; delete it to have it fetched anew",
    ):
        idx.read(path, (2, 3, 4))


@pytest.mark.parametrize("count", [1_000_000_000, 2**32 - 1])
def test_idx_believes_no_count(tmp_path, count):
    path = write_gz(tmp_path / "images.gz", idx_bytes((count, 28, 28), bytes(28 * 28 * 2)))
    tracemalloc.start()
    with pytest.raises(UserError, match=f"its count is {count}, not 2"):
        idx.read(path, (2, 28, 28))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_idx_decompresses_no_more_than_it_needs(tmp_path):
    path = write_gz(tmp_path / "images.gz", idx_bytes((2, 28, 28), bytes(100_000_000)))
    tracemalloc.start()
    with pytest.raises(UserError, match="its size is wrong: more bytes"):
        idx.read(path, (2, 28, 28))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


GZIPPED = gzip.compress(idx_bytes((2, 3, 4), bytes(range(24))))


@pytest.mark.parametrize(
    "content",
    [b"not gzip", GZIPPED[:-9], GZIPPED[:5], flipped(GZIPPED, 12), flipped(GZIPPED, -7)],
    ids=["no gzip", "truncated", "truncated header", "bad deflate stream", "bad CRC"],
)
def test_idx_corrupt_gzip(tmp_path, content):
    path = tmp_path / "images.gz"
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"^{path} is not .* should be: it cannot be read: .*"):
        idx.read(path, (2, 3, 4))


def test_idx_missing_file(tmp_path):
    with pytest.raises(UserError, match=r"it cannot be read: .*No such file"):
        idx.read(tmp_path / "images.gz", (2, 3, 4))
