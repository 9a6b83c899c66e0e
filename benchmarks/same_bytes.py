"""Says whether the augmentations have the same bytes on this machine's device as on its CPU.

    python benchmarks/same_bytes.py [--keys 10] [--json]

Every test image is drawn for and augmented once for each key, on both. On a CPU the bytes are
torchvision's on PIL images (tests/test_augment.py). JAX needs both platforms: leave
JAX_PLATFORMS unset.
"""

import argparse
import json
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from mnist_flax import augment, input_pipeline
from mnist_flax import config as config_lib


class Results(NamedTuple):
    """What a device computes for a key.

    Attributes:
      draws: an array for each parameter of the augmentations.
      images: uint8[N,28,28], augmented by the CPU's draws.
      pixels: float32[N,28,28,1], those images normalized.
    """

    draws: augment.AugmentParams
    images: np.ndarray
    pixels: np.ndarray


def compute(
    device: jax.Device,
    images: np.ndarray,
    seed: int,
    ranges: ConfigDict,
    draws: augment.AugmentParams | None = None,
) -> Results:
    """Augments on a device.

    Args:
      device: where.
      images: uint8[N,28,28].
      seed: of the draws.
      ranges: a config's group `augment`.
      draws: what to augment by; None: the device's own draws.
    """
    key, images = jax.device_put((jax.random.key(seed), images), device)
    own = jax.jit(lambda key: augment.sample_params(key, len(images), ranges))(key)
    draws = own if draws is None else jax.device_put(draws, device)

    @jax.jit
    def augmented(images: jax.Array, draws: augment.AugmentParams) -> tuple[Any, Any]:
        images = augment.apply(images, draws, crop_size=ranges.crop_size)
        return images, augment.normalize(images)

    return Results(*jax.device_get((own, *augmented(images, draws))))


def compare(keys: int) -> dict[str, Any]:
    """Compares the default device with the CPU: shares of equal draws, images and pixels."""
    ranges = config_lib.load(config_lib.default_path()).augment
    images = input_pipeline.load("test").images
    here, cpu = jax.devices()[0], jax.devices("cpu")[0]
    equal: dict[str, list[np.ndarray]] = {"draws": [], "images": [], "pixels": []}
    for seed in range(keys):
        right = compute(cpu, images, seed, ranges)
        ours = compute(here, images, seed, ranges, right.draws)
        of_draws = [
            (a.reshape(len(images), -1) == b.reshape(len(images), -1)).all(1)
            for a, b in zip(ours.draws, right.draws, strict=True)
        ]
        equal["draws"].append(np.all(of_draws, axis=0))
        equal["images"].append((ours.images == right.images).all((1, 2)))
        equal["pixels"].append((ours.pixels == right.pixels).all((1, 2, 3)))
    return {
        "backend": here.platform,
        "device": here.device_kind,
        "chains": keys * len(images),
        **{f"equal_{name}": float(np.mean(each)) for name, each in equal.items()},
    }


def main() -> None:
    """Prints the shares."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--keys", type=int, default=10, help="10 by default")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    options = parser.parse_args()
    result = compare(options.keys)
    if options.json:
        print(json.dumps(result))
        return
    print(f"{result['device']}, {result['chains']:,} chains; equal to the CPU's:")
    for name in ("draws", "images", "pixels"):
        print(f"  {name:8}{result[f'equal_{name}']:.4%}")


if __name__ == "__main__":
    main()
