"""Makes mnist_flax/predict/doubt.npz: what digits look like, and what else there is.

    python benchmarks/doubt_table.py --fonts FOLDER --output mnist_flax/predict/doubt.npz

docs/OWN_DIGITS.md tells how to get the fonts of benchmarks/fonts/learn.txt, which teach what
letters and printed digits look like. Warnings are measured fairly in other fonts alone, such as
those of report.txt.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import optax
from flax import linen as nn

from mnist_flax import input_pipeline
from mnist_flax.cli import jax_setup
from mnist_flax.predict import doubt

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from helpers.own_digits import glyphs

from benchmarks import doubt_samples
from benchmarks.doubt_samples import OTHER, Samples

# Networks, and hidden units of each.
_NETWORKS, _HIDDEN = 3, 64
_FONTS = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSerif"),
    *("DejaVuSerif-Italic", "STIXGeneral", "STIXGeneralItalic", "STIXGeneralBol"),
    *("cmr10", "cmss10", "cmti10", "cmtt10", "cmb10"),
)


class _Layers(nn.Module):
    """Ten digits and everything else, of standardised measures."""

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x = nn.relu(nn.Dense(_HIDDEN)(x))
        return nn.Dense(OTHER + 1)(nn.Dropout(0.2, deterministic=not train)(x))


def learn(samples: Samples, steps: int) -> dict[str, np.ndarray]:
    """Trains networks of two layers to tell the digits and everything else apart.

    Their mean is one network, of all their hidden units: it is steadier than each.

    Args:
      samples: what to learn.
      steps: of 512 samples.

    Returns:
      The arrays of `doubt.Table`.
    """
    measures = doubt.directions(samples.images)
    mean, sd = measures.mean(0), measures.std(0) + 1e-3
    x, labels = jnp.asarray((measures - mean) / sd), jnp.asarray(samples.labels)
    # A number from 0 to 1 falls between the ends of one sample, as often as its weight says.
    ends = jnp.cumsum(jnp.asarray(samples.weights))[:-1]
    model = _Layers()
    optimizer = optax.adamw(optax.cosine_decay_schedule(2e-3, steps), weight_decay=1e-3)

    def loss(params: optax.Params, key: jax.Array) -> jax.Array:
        choice, noise, dropout = jax.random.split(key, 3)
        chosen = jnp.searchsorted(ends, jax.random.uniform(choice, (512,)))
        inputs = x[chosen] + 0.1 * jax.random.normal(noise, (512, x.shape[1]))
        rngs = {"dropout": dropout}
        logits = model.apply({"params": params}, inputs, train=True, rngs=rngs)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels[chosen]).mean()

    def step(
        state: tuple[optax.Params, optax.OptState], key: jax.Array
    ) -> tuple[tuple[optax.Params, optax.OptState], None]:
        params, optimizer_state = state
        gradients = jax.grad(loss)(params, key)
        updates, optimizer_state = optimizer.update(gradients, optimizer_state, params)
        return (optax.apply_updates(params, updates), optimizer_state), None

    @jax.jit
    def train(key: jax.Array) -> optax.Params:
        first, others = jax.random.split(key)
        params = model.init(first, x[:1], train=False)["params"]
        state = params, optimizer.init(params)
        return jax.lax.scan(step, state, jax.random.split(others, steps))[0][0]

    keys = jax.random.split(jax.random.key(0), _NETWORKS)
    hidden, output = [], []
    for params in map(train, keys):
        layers = [jax.tree.map(np.asarray, params[f"Dense_{i}"]) for i in range(2)]
        # The first layer standardises, too.
        kernel = layers[0]["kernel"] / sd[:, None]
        hidden.append((kernel, layers[0]["bias"] - mean @ kernel))
        output.append((layers[1]["kernel"] / _NETWORKS, layers[1]["bias"] / _NETWORKS))
    return {
        "hidden_kernel": np.concatenate([kernel for kernel, _ in hidden], 1),
        "hidden_bias": np.concatenate([bias for _, bias in hidden]),
        "output_kernel": np.concatenate([kernel for kernel, _ in output]),
        "output_bias": np.sum([bias for _, bias in output], 0),
    }


def make(
    split: input_pipeline.Split, fonts: Sequence[Path] = (), share: float = 1
) -> dict[str, np.ndarray]:
    """Makes the table's arrays.

    Args:
      split: MNIST's training images.
      fonts: what to learn from beside Matplotlib's fonts.
      share: of the usual number of samples and steps.
    """
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    write = glyphs.from_fonts([*(folder / f"{name}.ttf" for name in _FONTS), *fonts])
    return learn(doubt_samples.draw(split, write, share), round(12_000 * share))


def main() -> None:
    """Makes the table and writes it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--fonts", type=Path, required=True, help="a folder of fonts")
    parser.add_argument("--output", type=Path, required=True, help="a .npz file")
    arguments = parser.parse_args()
    jax_setup.prepare()
    made = make(input_pipeline.load("train"), glyphs.fonts(arguments.fonts))
    table = doubt.Table(**{name: array.astype(np.float16) for name, array in made.items()})
    np.savez_compressed(arguments.output, **table._asdict())
    print(f"{arguments.output} has {arguments.output.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
