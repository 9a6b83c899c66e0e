"""A run to predict with, a network's answers, and pictures to predict."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from helpers.drawings import drawn, printed
from helpers.trained_runs import WEIGHTS, write_run
from PIL import Image

from mnist_flax.trained import loading


@pytest.fixture(scope="session")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one epoch with trained weights. Not to be changed."""
    return write_run(tmp_path_factory.mktemp("predict") / "run")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Drawings of 0 to 9 and a hidden file. Nothing else is in tmp_path."""
    folder = tmp_path / "digits"
    folder.mkdir()
    for digit in range(10):
        suffix = (".png", ".JPG", ".jpeg", ".bmp")[digit % 4]
        drawn(digit, 200, 6).save(folder / f"{digit}{suffix}")
    (folder / ".hidden.png").write_text("not an image")
    return folder


@pytest.fixture(scope="session")
def network() -> Callable[[np.ndarray], np.ndarray]:
    """Computes the logits, float[N,10], of images uint8[N,28,28]."""
    run = loading.from_weights(WEIGHTS)

    def logits(images: np.ndarray) -> np.ndarray:
        # Always a multiple of as many, so that one program does for all.
        padded = np.zeros((-(-len(images) // 200) * 200, 28, 28), np.uint8)
        padded[: len(images)] = images
        return loading.logits(run, padded)[: len(images)]

    return logits


@pytest.fixture(scope="session")
def answer(network) -> Callable[[Sequence[np.ndarray | None]], list[int]]:
    """The digits that the trained network sees in images."""

    def digits(seen: Sequence[np.ndarray | None]) -> list[int]:
        missing = [i for i, image in enumerate(seen) if image is None]
        assert not missing
        return network(np.stack(seen)).argmax(1).tolist()  # type: ignore[arg-type]

    return digits


@pytest.fixture
def three() -> Image.Image:
    """A '3', 120 x 120, black on white."""
    return printed("3", "DejaVuSans", 60)
