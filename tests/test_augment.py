"""Augmentations: equal to the byte to those of torchvision and Pillow."""

import gzip
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image, ImageEnhance
from scipy import stats

import mnist_flax
from configs.default import get_config
from mnist_flax import augment

FIXTURE = Path(__file__).parent / "fixtures/torchvision_augment.npz"
TEST_IMAGES = Path(mnist_flax.__file__).parent / "datasets/mnist/t10k-images-idx3-ubyte.gz"
STAGES = ("crop", "rotate", "jitter", "affine")


def wide_config() -> ConfigDict:
    """Draws far outside the assignment's ranges."""
    config = get_config().augment
    config.crop_probability = 0.7
    config.degrees = 180.0
    config.brightness = config.contrast = 1.5
    config.translate = 0.5
    config.scale_min, config.scale_max = 0.5, 2.0
    return config


CONFIGS = {"assignment": get_config().augment, "wide": wide_config()}


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """The 10,000 real test images and 1,000 of noise: uint8[11000,28,28]."""
    real = np.frombuffer(gzip.decompress(TEST_IMAGES.read_bytes()), np.uint8, offset=16)
    noise = np.random.default_rng(0).integers(0, 256, (1000, 28, 28), np.uint8)
    return np.concatenate([real.reshape(-1, 28, 28), noise])


def ours(stage: str, images: Any, params: augment.AugmentParams) -> np.ndarray:
    """One stage, as a jitted function of a batch."""
    p = params
    function, *draws = {
        "crop": (augment.crop_and_resize, p.crop),
        "rotate": (augment.rotate, p.degrees),
        "jitter": (augment.color_jitter, p.brightness, p.contrast, p.brightness_first),
        "affine": (augment.affine, p.translate, p.scale),
    }[stage]
    return np.asarray(jax.jit(function)(images, *draws))


def pillow_crop(image: Image.Image, crop_size: int) -> Image.Image:
    corner = int(round((28 - crop_size) / 2.0))  # noqa: RUF046 -- as torchvision writes it
    box = (corner, corner, corner + crop_size, corner + crop_size)
    return image.crop(box).resize((28, 28), Image.Resampling.BILINEAR)


def pillow_affine(image: Image.Image, shift: tuple[int, int], scale: float) -> Image.Image:
    inverse = 1.0 / scale
    x, y = (inverse * (-14.0 - s) + 14.0 for s in shift)
    matrix = (inverse, 0.0, x, 0.0, inverse, y)
    return image.transform((28, 28), Image.Transform.AFFINE, matrix, fillcolor=0)


def pillow_stages(pixels: np.ndarray, draw: augment.AugmentParams) -> list[np.ndarray]:
    """The image after each of STAGES, by Pillow's own calls."""
    image = Image.fromarray(pixels)
    if draw.crop:
        image = pillow_crop(image, 22)
    after = [image]
    after.append(after[-1].rotate(float(draw.degrees), fillcolor=0))
    enhancers = [
        (ImageEnhance.Brightness, float(draw.brightness)),
        (ImageEnhance.Contrast, float(draw.contrast)),
    ]
    image = after[-1]
    for enhancer, factor in enhancers if draw.brightness_first else enhancers[::-1]:
        image = enhancer(image).enhance(factor)
    after.append(image)
    shift = (int(draw.translate[0]), int(draw.translate[1]))
    after.append(pillow_affine(image, shift, float(draw.scale)))
    return [np.asarray(image) for image in after]


def as_params(arrays: Any, prefix: str) -> augment.AugmentParams:
    return augment.AugmentParams(
        *(jnp.asarray(arrays[f"{prefix}/{name}"]) for name in augment.AugmentParams._fields)
    )


@pytest.mark.parametrize("pipeline", ["assignment", "wide"])
def test_equals_torchvision(pipeline: str) -> None:
    with np.load(FIXTURE) as arrays:
        params = as_params(arrays, pipeline)
        before = arrays[f"{pipeline}/images"]
        whole = jax.jit(augment.apply)(before, params)
        for stage in STAGES:
            after = arrays[f"{pipeline}/after_{stage}"]
            np.testing.assert_array_equal(ours(stage, before, params), after, stage)
            before = after
        np.testing.assert_array_equal(whole, before)


@pytest.mark.parametrize("name", CONFIGS)
def test_equals_pillow_on_every_test_image(name: str, images: np.ndarray) -> None:
    params = augment.sample_params(jax.random.key(7), len(images), CONFIGS[name])
    rows = zip(*(np.asarray(column) for column in params), strict=True)
    reference = [
        pillow_stages(image, augment.AugmentParams(*row))
        for image, row in zip(images, rows, strict=True)
    ]
    before = images
    for i, stage in enumerate(STAGES):
        after = np.stack([stages[i] for stages in reference])
        np.testing.assert_array_equal(ours(stage, before, params), after, stage)
        assert (after != before).any(axis=(1, 2)).sum() > 1000  # the stage did something
        before = after
    np.testing.assert_array_equal(jax.jit(augment.apply)(images, params), before)


@pytest.mark.parametrize("crop_size", range(1, 29))
def test_every_crop_size(crop_size: int, images: np.ndarray) -> None:
    some = images[9990:10010]
    crop = jax.jit(augment.crop_and_resize, static_argnames="crop_size")
    got = crop(some, jnp.ones(20, bool), crop_size=crop_size)
    expected = [np.asarray(pillow_crop(Image.fromarray(i), crop_size)) for i in some]
    np.testing.assert_array_equal(got, expected)


def test_angles_that_pillow_treats_apart(images: np.ndarray) -> None:
    angles = [0, -0.0, 90, -90, 180, -180, 270, 360, 450, 30, 45, 60, 1e-30, -1e-30, 1e-6]
    angles += [89.99999, 90.00001, 0.0625, -0.0625, 0.06250001, 719.9]
    batch = images[-len(angles) :]
    got = np.asarray(jax.jit(augment.rotate)(batch, jnp.asarray(angles, jnp.float32)))
    for image, angle, ours in zip(batch, angles, got, strict=True):
        expected = Image.fromarray(image).rotate(float(np.float32(angle)))
        np.testing.assert_array_equal(ours, expected, f"{angle} degrees")


def test_blend_of_every_mean_with_every_byte() -> None:
    """One rounding and two differ at factors of few digits, such as 0.8."""
    random = np.random.default_rng(1).uniform(0, 2.5, 40)
    factors = np.float32([*np.arange(0, 2.05, 0.05), 0.99999994, 1.0000001, *random])
    every_byte = np.resize(np.arange(256, dtype=np.uint8), (28, 28))
    grays = jnp.arange(256, dtype=jnp.float32)
    blend = jax.jit(augment._blend)
    for factor in factors:
        got = blend(grays, np.stack([every_byte] * 256), jnp.full(256, factor))
        expected = [
            Image.blend(Image.new("L", (28, 28), gray), Image.fromarray(every_byte), factor)
            for gray in range(256)
        ]
        np.testing.assert_array_equal(got, np.stack(expected), f"factor {factor}")


def test_contrast_rounds_the_mean_half_up() -> None:
    sums = [784 * k + extra for k in (0, 1, 127, 254) for extra in (391, 392, 393)]
    batch = np.stack(
        [(np.full(784, s // 784) + (np.arange(784) < s % 784)).reshape(28, 28) for s in sums]
    ).astype(np.uint8)
    got = augment.adjust_contrast(batch, jnp.zeros(len(sums)))
    expected = [ImageEnhance.Contrast(Image.fromarray(image)).enhance(0.0) for image in batch]
    np.testing.assert_array_equal(got, np.stack(expected))


def test_draws_follow_torchvisions_distributions() -> None:
    n = 200_000
    config = CONFIGS["assignment"]
    params = augment.sample_params(jax.random.key(3), n, config)
    p_values = {
        "crop": stats.binomtest(int(params.crop.sum()), n, 0.1).pvalue,
        "order": stats.binomtest(int(params.brightness_first.sum()), n, 0.5).pvalue,
    }
    for name, low, high in (
        ("degrees", -10, 10),
        ("brightness", 0.8, 1.2),
        ("contrast", 0.8, 1.2),
        ("scale", 0.9, 1.1),
    ):
        draws = np.asarray(getattr(params, name))
        assert draws.dtype == np.float32
        assert np.float32(low) <= draws.min() < draws.max() <= np.float32(high)
        p_values[name] = stats.kstest(draws, stats.uniform(low, high - low).cdf).pvalue
    # U(-2.8, 2.8) rounded: 0 and +-1, +-2 own a whole pixel of 5.6, +-3 only 0.3 each.
    probability = np.array([0.3, 1, 1, 1, 1, 1, 0.3]) / 5.6
    for axis, name in enumerate("xy"):
        counts = np.bincount(np.asarray(params.translate[:, axis]) + 3, minlength=7)
        p_values[f"translate {name}"] = stats.chisquare(counts, n * probability).pvalue
    assert min(p_values.values()) > 1e-3, p_values


def test_draws_are_independent() -> None:
    n = 100_000
    params = augment.sample_params(jax.random.key(4), n, CONFIGS["assignment"])
    columns = np.column_stack([np.asarray(column, np.float64) for column in params])
    assert columns.shape == (n, 8)
    with_next_image = np.column_stack([columns[:-1], columns[1:]])
    correlation = np.corrcoef(with_next_image, rowvar=False) - np.eye(16)
    assert np.abs(correlation).max() < 4.5 / np.sqrt(n)


def test_draws_are_the_keys() -> None:
    config = CONFIGS["assignment"]
    key = jax.random.key(5)
    sample = jax.jit(lambda key: augment.sample_params(key, 64, config))
    first, same, other = sample(key), sample(key), sample(jax.random.fold_in(key, 1))
    jax.tree.map(np.testing.assert_array_equal, first, same)
    # Without jit, a product and a sum may be rounded one after the other instead of at once.
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5),
        first,
        augment.sample_params(key, 64, config),
    )
    assert not any((a == b).all() for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("name", [None, *CONFIGS])
def test_random_augment_draws_and_applies(name: str | None, images: np.ndarray) -> None:
    key, some = jax.random.key(3), images[:64]
    ranges = CONFIGS[name or "assignment"].copy_and_resolve_references()
    if name == "wide":
        ranges.crop_size = 14
    params = augment.sample_params(key, 64, ranges)
    apply = jax.jit(augment.apply, static_argnames="crop_size")
    expected = apply(some, params, crop_size=ranges.crop_size)
    got = jax.jit(lambda x: augment.random_augment(key, x, ranges if name else None))(some)
    np.testing.assert_array_equal(got, expected)
    if name is None:
        jax.tree.map(np.testing.assert_array_equal, augment.sample_params(key, 64), params)


def test_random_augment_refuses_other_images() -> None:
    key = jax.random.key(0)
    with pytest.raises(TypeError, match="images have dtype float32; uint8 is needed"):
        augment.random_augment(key, np.zeros((2, 28, 28), np.float32))
    with pytest.raises(ValueError, match=r"\(28, 28\); \(N, 28, 28\) is needed"):
        augment.random_augment(key, np.zeros((28, 28), np.uint8))


def test_factors_are_never_negative() -> None:
    params = augment.sample_params(jax.random.key(6), 10_000, CONFIGS["wide"])
    for factor in (params.brightness, params.contrast):
        assert 0 <= factor.min() < 0.01
        assert 2.49 < factor.max() <= 2.5


def test_ranges_of_zero_change_nothing(images: np.ndarray) -> None:
    config = get_config().augment
    with config.unlocked():
        for name in ("crop_probability", "degrees", "brightness", "contrast", "translate"):
            config[name] = 0.0
        config.scale_min = config.scale_max = 1.0
    params = augment.sample_params(jax.random.key(8), len(images), config)
    np.testing.assert_array_equal(jax.jit(augment.apply)(images, params), images)


def test_jit_vmap_scan_and_strict_types_agree(images: np.ndarray) -> None:
    batches = images[-120:].reshape(3, 40, 28, 28)
    keys = jax.random.split(jax.random.key(9), 3)

    def step(key: jax.Array, batch: jax.Array) -> tuple[jax.Array, jax.Array]:
        params = augment.sample_params(key, 40, CONFIGS["assignment"])
        augmented = augment.apply(batch, params)
        return augmented, augment.normalize(augmented)

    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        one_by_one = [
            step(key, jnp.asarray(batch)) for key, batch in zip(keys, batches, strict=True)
        ]
        mapped = jax.jit(jax.vmap(step))(keys, batches)
        _, scanned = jax.jit(
            lambda: jax.lax.scan(
                lambda _, x: (None, step(*x)), None, (keys, jnp.asarray(batches))
            )
        )()
    for i, result in enumerate(one_by_one):
        assert result[0].dtype == jnp.uint8
        for other in (mapped, scanned):
            jax.tree.map(np.testing.assert_array_equal, result, tuple(o[i] for o in other))


def test_normalize_is_torchvisions() -> None:
    every_byte = np.resize(np.arange(256, dtype=np.uint8), (2, 28, 28))
    got = jax.jit(augment.normalize)(every_byte)
    assert got.shape == (2, 28, 28, 1)
    assert got.dtype == jnp.float32
    with np.load(FIXTURE) as arrays:
        np.testing.assert_array_equal(got[..., 0], arrays["normalized"][every_byte])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"images": np.zeros((4, 28, 28), np.float32)}, TypeError, "images have dtype float32"),
        ({"images": np.zeros((4, 28, 28, 1), np.uint8)}, ValueError, r"\(4, 28, 28, 1\)"),
        ({"images": np.zeros((28, 28), np.uint8)}, ValueError, r"\(N, 28, 28\) is needed"),
        ({"images": np.zeros((4, 32, 32), np.uint8)}, ValueError, r"\(N, 28, 28\) is needed"),
        ({"crop": np.zeros(4, np.float32)}, TypeError, "crop has dtype float32; bool"),
        ({"degrees": np.zeros(5, np.float32)}, ValueError, r"degrees has shape \(5,\); \(4,\)"),
        ({"brightness": np.zeros(4, np.int32)}, TypeError, "brightness has dtype int32"),
        ({"contrast": np.zeros((4, 1), np.float32)}, ValueError, r"contrast .* \(4,\)"),
        ({"brightness_first": np.zeros(4, np.int32)}, TypeError, "brightness_first"),
        ({"translate": np.zeros((4, 2), np.float32)}, TypeError, "translate .* int32"),
        ({"translate": np.zeros(4, np.int32)}, ValueError, r"translate .* \(4, 2\)"),
        ({"scale": np.zeros(4, bool)}, TypeError, "scale has dtype bool; float32"),
        ({"crop_size": 0}, ValueError, "crop_size is 0; it must be from 1 to 28"),
        ({"crop_size": 29}, ValueError, "crop_size is 29"),
    ],
)
def test_bad_arrays_are_named(change: dict, error: type[Exception], message: str) -> None:
    params = augment.sample_params(jax.random.key(0), 4, CONFIGS["assignment"])
    images = change.pop("images", np.zeros((4, 28, 28), np.uint8))
    crop_size = change.pop("crop_size", 22)
    apply = jax.jit(augment.apply, static_argnames="crop_size")
    with pytest.raises(error, match=message):
        apply(images, params._replace(**change), crop_size=crop_size)
