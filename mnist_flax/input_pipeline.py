"""Reads a split of a dataset into memory, or onto the devices."""

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
    """A split does not exist or has no images; the message begins with its name."""


class Split(NamedTuple):
    """Holds images and their labels, in the order of the dataset.

    Attributes:
      images: uint8[N, 28, 28], 0 (background) to 255.
      labels: int32[N], 0 to 9.
    """

    images: np.ndarray
    labels: np.ndarray


class Source:
    """Reads any part of a split on disk.

    Attributes:
      size: number of images, at least 1.
    """

    def __init__(
        self, split: str, data_dir: str | os.PathLike[str] | None = None, dataset: str = "mnist"
    ) -> None:
        """Finds a split or a slice of one, and prepares the dataset if it is not prepared.

        See `load` for arguments and errors.
        """
        # It takes 0.3 s to import; commands that load no data do not wait for it.
        import tensorflow_datasets as tfds

        from mnist_flax.datasets import preparation

        self._builder = preparation.prepare(dataset, data_dir)
        _check_split(self._builder, split)
        # Raw bytes: tfds' decoder takes 30 us an image, four times as long as all the rest.
        raw = tfds.decode.DeserializeMethod.RAW_BYTES
        with self._damage_named():
            self._records = self._builder.as_data_source(split, deserialize_method=raw)
            self.size = len(self._records)

    def read(self, begin: int, end: int) -> Split:
        """Reads images begin to end - 1 into memory; 0 <= begin < end <= size.

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
    """Reads a split or a slice of one into memory.

    Args:
      split: in tfds' syntax: 'train', 'test', 'train[:55000]', 'train[90%:]', 'train+test'.
      data_dir: the folder of all prepared datasets. None or '': the one that the environment
        variable TFDS_DATA_DIR names, or ~/tensorflow_datasets.
      dataset: a key of datasets.preparation.DATASETS.

    Raises:
      SplitError: the split is malformed, unknown or empty.
      UserError: the dataset is unknown; data_dir cannot be used; the source files or the
        prepared data are damaged.
    """
    source = Source(split, data_dir, dataset)
    return source.read(0, source.size)


def count_overlap(
    first: str,
    second: str,
    data_dir: str | os.PathLike[str] | None = None,
    dataset: str = "mnist",
) -> int:
    """Counts the images that two splits have in common.

    Args:
      first: a valid split; see `load`.
      second: another one.
      data_dir: see `load`.
      dataset: see `load`.
    """
    import tensorflow_datasets as tfds

    from mnist_flax.datasets import preparation

    splits = preparation.prepare(dataset, data_dir).info.splits

    def images_of(split: str) -> set[tuple[str, int]]:
        parts = tfds.core.ReadInstruction.from_spec(split).to_absolute(splits)
        return {
            (part.splitname, number)
            for part in parts
            for number in range(*slice(part.from_, part.to).indices(sizes[part.splitname]))
        }

    sizes = {name: split.num_examples for name, split in splits.items()}
    return len(images_of(first) & images_of(second))


def load_on_devices(
    split: str,
    data_dir: str | os.PathLike[str] | None,
    dataset: str,
    mesh: "Mesh",
) -> "DeviceSplit":
    """Reads a split and puts all of it on every device.

    Args:
      split: see `load`.
      data_dir: see `load`.
      dataset: see `load`.
      mesh: the devices, from sharding.make_mesh.

    Raises:
      SplitError, UserError: see `load`.
    """
    from mnist_flax.parallel import sharding

    images, labels = load(split, data_dir, dataset)
    return sharding.DeviceSplit(*sharding.replicate((images, labels), mesh))


def _check_split(builder: "MnistIdx", split: str) -> None:
    allowed = " and ".join(f"'{name}' ({n} images)" for name, n in builder.SIZES.items())
    allowed += ", and their slices such as 'train[:55000]' or 'test[50%:]'"
    try:
        lengths = builder.info.splits[split].shard_lengths
    except Exception as error:  # tfds' parser of splits raises several types
        reason = str(error).rpartition("\n")[2]
        raise SplitError(f"{split!r} does not exist ({reason}); allowed: {allowed}") from error
    # tfds gives a slice that ends before it begins a negative length.
    if sum(lengths) < 1 or min(lengths) < 0:
        raise SplitError(f"{split!r} is empty; allowed: {allowed}")


def _decode(records: list[bytes]) -> Split:
    """Extracts images and labels from serialized tf.train.Examples.

    Raises:
      ValueError, IndexError: a record is not what the builder wrote.
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
