"""A split of a dataset becomes arrays in memory."""

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mnist_flax.errors import UserError

if TYPE_CHECKING:
    from jax.sharding import Mesh

    from mnist_flax.datasets.mnist_idx import MnistIdx
    from mnist_flax.parallel.sharding import DeviceSplit


class SplitError(UserError):
    """A split that does not exist, or has no images; the message begins with it."""


class Split(NamedTuple):
    """Images and their labels, in the order of the dataset.

    Attributes:
      images: uint8[N, 28, 28], 0 (background) to 255.
      labels: int32[N], 0 to 9.
    """

    images: np.ndarray
    labels: np.ndarray


class Source:
    """A split on disk, of which any part can be read.

    Attributes:
      size: number of images, at least 1.
    """

    def __init__(
        self, split: str, data_dir: str | os.PathLike[str] | None = None, dataset: str = "mnist"
    ) -> None:
        """Finds a split, or a slice of one; prepares the dataset if need be.

        Args:
          split: in tfds' syntax: 'train', 'test', 'train[:55000]', 'train[90%:]', 'train+test'.
          data_dir: the folder of all prepared datasets. None or '': the environment variable
            TFDS_DATA_DIR, or ~/tensorflow_datasets.
          dataset: a key of datasets.preparation.DATASETS.

        Raises:
          SplitError: malformed, unknown or empty split.
          UserError: unknown dataset; a data_dir that cannot be used; source files or prepared
            data that are damaged.
        """
        # It takes 0.3 s to import, which commands that load no data do without.
        import tensorflow_datasets as tfds

        from mnist_flax.datasets import preparation

        self._builder = preparation.prepare(dataset, data_dir)
        _check_split(self._builder, split)
        # Raw: decoding by tfds' features takes 30 us an image, four times as long as all else.
        raw = tfds.decode.DeserializeMethod.RAW_BYTES
        with self._damage_named():
            self._records = self._builder.as_data_source(split, deserialize_method=raw)
            self.size = len(self._records)

    def read(self, begin: int, end: int) -> Split:
        """Reads images begin to end - 1, 0 <= begin < end <= size, into memory.

        Raises:
          UserError: the prepared data is damaged.
        """
        with self._damage_named():
            return _decode(self._records.__getitems__(range(begin, end)))

    @contextlib.contextmanager
    def _damage_named(self) -> Iterator[None]:
        from mnist_flax.datasets import preparation

        try:
            yield
        except (OSError, RuntimeError, ValueError, IndexError) as error:
            raise preparation.damaged(self._builder.data_dir, error) from error


def load(
    split: str, data_dir: str | os.PathLike[str] | None = None, dataset: str = "mnist"
) -> Split:
    """Reads a split, or a slice of one, into memory: see `Source` for arguments and errors."""
    source = Source(split, data_dir, dataset)
    return source.read(0, source.size)


def load_on_devices(
    split: str,
    data_dir: str | os.PathLike[str] | None,
    dataset: str,
    mesh: "Mesh",
) -> "DeviceSplit":
    """Reads a split and puts it on every device.

    Args:
      split: see `Source`, also for errors.
      data_dir: see `Source`.
      dataset: see `Source`.
      mesh: the devices, from sharding.make_mesh.
    """
    from mnist_flax.parallel import sharding

    images, labels = load(split, data_dir, dataset)
    return sharding.DeviceSplit(*sharding.replicate((images, labels), mesh))


def _check_split(builder: "MnistIdx", split: str) -> None:
    allowed = " and ".join(f"'{name}' ({n} images)" for name, n in builder.SIZES.items())
    allowed += ", and their slices such as 'train[:55000]' or 'test[50%:]'"
    try:
        lengths = builder.info.splits[split].shard_lengths
    except Exception as error:  # whatever tfds' parsing of a split happens to raise
        reason = str(error).rpartition("\n")[2]
        raise SplitError(f"{split!r} does not exist ({reason}); allowed: {allowed}") from error
    # A slice that ends before it begins comes out of tfds with a negative length.
    if sum(lengths) < 1 or min(lengths) < 0:
        raise SplitError(f"{split!r} is empty; allowed: {allowed}")


def _decode(records: list[bytes]) -> Split:
    """Takes image and label out of serialized tf.train.Examples.

    Raises:
      ValueError or IndexError: a record is not what the builder wrote.
    """
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from tensorflow_datasets.proto import tf_example_pb2

    pixels = bytearray()
    labels = []
    try:
        for record in records:
            feature = tf_example_pb2.Example.FromString(record).features.feature
            pixels += feature["image"].bytes_list.value[0]
            labels.append(feature["label"].int64_list.value[0])
    except DecodeError as error:
        raise ValueError(error) from error
    images = np.frombuffer(pixels, np.uint8).reshape(len(records), 28, 28)
    return Split(images, np.array(labels, np.int32))
