"""Counts what several devices tell each other in a training step, from the compiled program.

    python benchmarks/collectives.py [--config FILE] [--devices 8]

It compiles a run's step for that many CPU devices, reads which collective operations XLA made
of it, and adds up their bytes. Nothing is trained: cores that share a CPU say nothing about the
speed of a network between devices, but what is sent is the same. From the sums it predicts, and
only predicts, the time of a step on as many TPU v5e chips. docs/SCALING.md goes on from here.
"""

import argparse
import math
import re
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mnist_flax import config as config_lib
from mnist_flax import epochs, steps
from mnist_flax.ops import compiler_options
from mnist_flax.parallel import sharding

IMAGES = 60_000

# TPU v5e, from https://docs.cloud.google.com/tpu/docs/v5e: bytes a second of a chip's memory,
# operations a second in bfloat16, bytes a second of a link in one direction (of four links, in
# both, 400e9). Chips are a torus of 16 columns at most.
MEMORY, ARITHMETIC, LINK = 8.19e11, 1.97e14, 5e10
# Seconds of a message from a chip to the next: an assumption, no published figure.
HOP = 1e-6
OPERATIONS = (
    "all-reduce",
    "reduce-scatter",
    "all-gather",
    "all-to-all",
    "collective-permute",
    "collective-broadcast",
)
_CALL = re.compile(rf"= (.+?) ({'|'.join(OPERATIONS)})\(")
_ARRAY = re.compile(r"\b([a-z]+)(\d*)\[([\d,]*)\]")
_NAME = re.compile(r'op_name="([^"]*)"')


class Collective(NamedTuple):
    """One of them.

    Attributes:
      operation: its name, of OPERATIONS.
      arrays: how many arrays it takes at once.
      bytes: of all of them, as each device puts in.
      source: where in the network it comes from.
    """

    operation: str
    arrays: int
    bytes: int
    source: str


def compile_steps(config_path: Path) -> jax.stages.Compiled:
    """The program of an epoch's whole steps."""
    config = config_lib.load(config_path)
    mesh = sharding.make_mesh()
    whole = sharding.everywhere(mesh)
    images: Any = jax.ShapeDtypeStruct((IMAGES, 28, 28), jnp.uint8, sharding=whole)
    labels: Any = jax.ShapeDtypeStruct((IMAGES,), jnp.int32, sharding=whole)
    train = sharding.DeviceSplit(images, labels)

    recipe = steps.create_recipe(config, IMAGES)

    def begin(key: jax.Array) -> tuple[epochs.EpochState, jax.Array, jax.Array]:
        state = steps.init_state(key, recipe)
        return epochs.start_epoch(state, key, jnp.int32(1), IMAGES)

    arguments = jax.eval_shape(begin, jax.eval_shape(jax.random.key, 0))
    state, order, key = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=whole), arguments
    )
    index = jax.ShapeDtypeStruct((), jnp.int32)
    with jax.set_mesh(mesh):
        program = jax.jit(partial(epochs.full_steps, recipe=recipe), out_shardings=whole)
        lowered = program.lower(state, train, order, key, index, index)
        return lowered.compile(compiler_options.for_loops(recipe.dtype))


def collectives(program: str, devices: int) -> list[Collective]:
    """The collective operations of a program in XLA's text form, in its order."""
    found = []
    for line in program.splitlines():
        if not (call := _CALL.search(line)):
            continue
        result, operation = call.groups()
        arrays = _ARRAY.findall(result)
        size = sum(_bytes(*array) for array in arrays)
        # The result of this one is a device's share of what each puts in.
        size *= devices if operation == "reduce-scatter" else 1
        source = _NAME.search(line)
        found.append(
            Collective(operation, len(arrays), size, _place(source[1] if source else ""))
        )
    return found


def _bytes(kind: str, bits: str, shape: str) -> int:
    """Of an array such as f32[8,16]: 'f', '32', '8,16'. A 'pred' takes one byte."""
    elements = 1
    for side in filter(None, shape.split(",")):
        elements *= int(side)
    return elements * (int(bits) // 8 if kind != "pred" else 1)


def _place(name: str) -> str:
    """'forward bn1' from an operation's path in the source."""
    if "augment" in name:
        return "batch"
    layers = set(re.findall(r"\b(conv\d|bn\d|fc)\b", name))
    if len(layers) > 1:
        return "all gradients, metrics"
    where = " ".join(layers) or "metrics"
    return f"{'backward' if 'transpose(' in name else 'forward'} {where}"


def wire_bytes(each: Collective, devices: int) -> float:
    """What a device sends, of an operation that is done in a ring.

    A reduce-scatter sends (n - 1) / n of what is put in, an all-reduce twice that: see
    Patarasuk and Yuan 2009, https://doi.org/10.1016/j.jpdc.2008.09.002.
    """
    rounds = 2 if each.operation == "all-reduce" else 1
    return rounds * each.bytes * (devices - 1) / devices


def predict(program: jax.stages.Compiled, found: list[Collective], devices: int) -> list[float]:
    """Seconds of a step's parts on TPU v5e: its own work, the messages' way, their bytes.

    A lower bound of each: the chip works at its full speed, as it does only for large matrices;
    a message goes half-way round each axis of the torus to be summed up, and back. Loops are
    counted once by XLA, so that the counts of a program that is one are those of a step.
    """
    cost = program.cost_analysis() or {}
    # XLA counts all of the split, of which a step reads a batch.
    moved = cost["bytes accessed"] - IMAGES * 28 * 28
    work = max(moved / MEMORY, cost["flops"] / ARITHMETIC)
    columns = 2 ** min(4, math.ceil(math.log2(devices) / 2))
    hops = 2 * sum(side // 2 for side in (columns, devices // columns))
    sent = sum(wire_bytes(each, devices) for each in found)
    return [work, len(found) * hops * HOP, sent / LINK]


def main() -> None:
    """Prints a line a collective operation, and the sums."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--config", type=Path, default=config_lib.default_path())
    parser.add_argument("--devices", type=int, default=8, choices=[2**i for i in range(9)])
    options = parser.parse_args()
    # Before anything asks for them.
    jax.config.update("jax_num_cpu_devices", options.devices)
    jax.config.update("jax_platforms", "cpu")
    config = config_lib.load(options.config)
    # The last, smaller batch of an epoch is not looked at.
    sharding.check_divisible(config.batch_size, config.batch_size)
    print(f"{options.config}, batch {config.batch_size}, {options.devices} devices")
    program = compile_steps(options.config)
    found = collectives(program.as_text() or "", options.devices)
    print(f"{'operation':16}{'of':24}{'arrays':>8}{'bytes':>10}{'sent, ring':>12}")
    for each in found:
        sent = wire_bytes(each, options.devices)
        print(
            f"{each.operation:16}{each.source:24}{each.arrays:8}{each.bytes:10,}{sent:12,.0f}"
        )
    sent = sum(wire_bytes(each, options.devices) for each in found)
    total = sum(each.bytes for each in found)
    print(f"{f'{len(found)} a step':48}{total:10,}{sent:12,.0f}")
    steps_per_epoch = -(-IMAGES // config.batch_size)
    print(f"steps an epoch: {steps_per_epoch}; sent an epoch: {sent * steps_per_epoch:,.0f}")
    parts = predict(program, found, options.devices)
    print(
        f"predicted on {options.devices} TPU v5e, at least: {1e6 * sum(parts):.0f} µs a step "
        "({:.0f} work, {:.0f} the messages' way, {:.0f} their bytes), ".format(
            *(1e6 * part for part in parts)
        )
        + f"{1e3 * sum(parts) * steps_per_epoch:.0f} ms an epoch"
    )


if __name__ == "__main__":
    main()
