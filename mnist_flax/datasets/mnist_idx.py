"""Builds MNIST for tfds from the four IDX files, without TensorFlow.

The `mnist` of tfds needs TensorFlow for its preparation (gzip, PNG). This builder is called
`mnist_idx`, so that both fit into one data folder. It stores each image as its 784 raw bytes.
"""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from mnist_flax.datasets import idx

_LOGGER = logging.getLogger(__name__)
_DESCRIPTION = (
    "The MNIST database of handwritten digits: 28x28 grey images of the digits 0 to 9."
)
_CITATION = """\
@article{lecun2010mnist,
  title={MNIST handwritten digit database},
  author={LeCun, Yann and Cortes, Corinna and Burges, CJ},
  journal={ATT Labs [Online]. Available: http://yann.lecun.com/exdb/mnist},
  volume={2},
  year={2010}
}
"""


class _Info(tfds.core.DatasetInfo):
    """Describes the dataset without asking a server of tfds, which does not know it."""

    def initialize_from_bucket(self) -> None:
        """Does nothing: tfds would leave an empty temporary folder behind."""


class MnistIdx(tfds.core.GeneratorBasedBuilder):
    """MNIST in its original order; checksums.tsv beside this file lists the files it reads.

    Attributes:
      BUNDLED: folder of the files that come with the package. tfds downloads missing ones.
      URL: where it downloads them from.
      SIZES: number of images of each split.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "First release."}

    BUNDLED = Path(__file__).parent / "mnist"
    URL = "https://storage.googleapis.com/cvdf-datasets/mnist/"
    SIZES: ClassVar[dict[str, int]] = {"train": 60_000, "test": 10_000}

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            # encoding='bytes': the default stores every pixel as an int64, slow to read back.
            "image": tfds.features.Tensor(shape=(28, 28, 1), dtype=np.uint8, encoding="bytes"),
            "label": tfds.features.ClassLabel(num_classes=10),
        }
        # dataset_info_from_configs would want a folder of metadata files beside each builder.
        return _Info(
            builder=self,
            description=_DESCRIPTION,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label"),
            disable_shuffling=True,  # the original order, so that 'train[:n]' is its first n
            homepage="http://yann.lecun.com/exdb/mnist/",
            citation=_CITATION,
            license="CC BY-SA 3.0 (Yann LeCun, Corinna Cortes): "
            "https://creativecommons.org/licenses/by-sa/3.0/",
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        splits = {}
        for split, prefix in (("train", "train"), ("test", "t10k")):
            # download, not download_and_extract: the latter needs TensorFlow's gzip.
            images, labels = dl_manager.download(
                [
                    f"{self.URL}{prefix}-images-idx3-ubyte.gz",
                    f"{self.URL}{prefix}-labels-idx1-ubyte.gz",
                ]
            )
            size = self.SIZES[split]
            # Read here, for tfds would wrap an error raised while it writes.
            splits[split] = self._generate_examples(
                idx.read(images, (size, 28, 28)), idx.read(labels, (size,))
            )
        return splits

    def _generate_examples(
        self, images: np.ndarray, labels: np.ndarray
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        for i, (image, label) in enumerate(zip(images, labels, strict=True)):
            yield i, {"image": image[:, :, np.newaxis], "label": int(label)}

    # tfds prints these two lines to stdout, the first with sizes that it does not know.
    def _log_download_bytes(self) -> None:
        _LOGGER.info("Preparing %s in %s", self.name, self.data_dir)

    def _log_download_done(self) -> None:
        _LOGGER.info("Prepared %s in %s", self.name, self.data_dir)
