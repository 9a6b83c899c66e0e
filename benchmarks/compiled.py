"""Compiles a run's programs for a TPU or GPU that is not here, and says what its compiler says.

    python benchmarks/compiled.py [--target tpu-v5e] [--config FILE] [--json]

Nothing runs. A TPU's compiler writes into a program how many cycles it expects most operations
to take. A GPU's does not: its kernels are counted, and the bytes of the arrays that each reads
and writes. The same is done for a step of plain Flax, without augmentation. Several chips are
targets such as tpu-v5e:2x4. The compilers need an environment of their own: without them the
command says what to install. docs/ACCELERATORS.md has results.
"""

import argparse
import collections
import importlib.metadata
import importlib.util
import json
import os
import re
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import topologies
from jax.sharding import AxisType, Mesh, NamedSharding
from ml_collections import ConfigDict

from mnist_flax import augment, epochs, plain, steps
from mnist_flax import config as config_lib
from mnist_flax.ops import backends
from mnist_flax.parallel import sharding

HEADER = "Estimates of the compilers, for devices that are not here. Nothing ran."
IMAGES, TEST_IMAGES = 60_000, 10_000
# A topology that the TPU's compiler knows, of which one chip is used.
ONE_CHIP = {"tpu-v4": "v4:2x2x1", "tpu-v5e": "v5e:2x2", "tpu-v6e": "v6e:2x2"}
GPUS = {"gpu-h100": Path(__file__).with_name("gpu_h100.txtpb")}
INSTALL_TPU = """\
The TPU's compiler is not installed. In an environment of its own:
  pip install 'jax[tpu]=={jax}'"""
INSTALL_GPU = """\
The GPU's compiler is not installed. In an environment of its own:
  pip install --no-deps jax-cuda13-plugin=={jax} jax-cuda13-pjrt=={jax}
  pip install nvidia-cuda-nvcc nvidia-nvvm"""
COLLECTIVES = r"(all-reduce|reduce-scatter|all-gather|all-to-all|collective-permute)(?:-start)?"
# In a step's order; what none of them matches is "other".
PLACES = (
    ("augmentation", r"augment"),
    *((f"conv{i}", rf"\bconv{i}\b") for i in range(1, 9)),
    *((f"bn{i}, ReLU, pool", rf"\bbn{i}\b") for i in range(1, 9)),
    ("dropout", r"dropout"),
    ("fc, loss", r"\bfc\b|loss"),
    ("optimizer", r"optimizer"),
)
_BYTES = {"pred": 1, "bf16": 2}


class Operation(NamedTuple):
    """What a device does at one go.

    Attributes:
      name: in the program.
      kind: 'fusion', 'custom-call', ...
      source: path of the function that it comes from.
      cycles: that the TPU's compiler expects; None where it expects nothing.
      bytes: of the arrays that it reads and writes; of a split it reads a batch, which is not
        counted.
      share: how often it does so in a step; less than 1 for what several steps have in common.
    """

    name: str
    kind: str
    source: str
    cycles: int | None
    bytes: int
    share: float = 1


def devices_of(target: str) -> list[Any]:
    """Devices of a target, to compile for.

    Raises:
      SystemExit: if their compiler is not installed, or there is no such target.
    """
    jax_version = importlib.metadata.version("jax")
    if target in GPUS:
        spec = importlib.util.find_spec("nvidia")
        roots = (
            [Path(x) / "cu13" for x in (spec.submodule_search_locations or ())] if spec else []
        )
        tools = [x for x in roots if (x / "bin" / "ptxas").exists()]
        if not tools or importlib.util.find_spec("jax_cuda13_plugin") is None:
            raise SystemExit(INSTALL_GPU.format(jax=jax_version))
        os.environ["PATH"] = f"{tools[0] / 'bin'}{os.pathsep}{os.environ['PATH']}"
        # To choose among kernels it would have to run them.
        flags = f"--xla_gpu_autotune_level=0 --xla_gpu_cuda_data_dir={tools[0]}"
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flags}"
        return topologies.get_topology_desc(
            platform="cuda",
            topology_name="1x1x1",
            topology="1x1x1",
            target_config=GPUS[target].read_text(),
        ).devices
    kind, _, shape = target.partition(":")
    if kind not in ONE_CHIP:
        raise SystemExit(
            f"unknown target {target}; known: {', '.join([*ONE_CHIP, *GPUS])}, tpu-v5e:2x4, ..."
        )
    if importlib.util.find_spec("libtpu") is None:
        raise SystemExit(INSTALL_TPU.format(jax=jax_version))
    # It looks for a TPU otherwise, and lets one process at a time in.
    os.environ.update(TPU_SKIP_MDS_QUERY="1", ALLOW_MULTIPLE_LIBTPU_LOAD="1")
    name = f"{kind.removeprefix('tpu-')}:{shape}" if shape else ONE_CHIP[kind]
    devices = topologies.get_topology_desc(platform="tpu", topology_name=name).devices
    return devices if shape else devices[:1]


def plain_steps(
    state: steps.TrainState,
    split: sharding.DeviceSplit,
    order: jax.Array,
    key: jax.Array,
    start: jax.Array,
    stop: jax.Array,
    recipe: steps.Recipe,
) -> steps.TrainState:
    """Takes steps of plain Flax: batches in the given order, not augmented, Adam."""

    def body(step: jax.Array, state: steps.TrainState) -> steps.TrainState:
        first = step * recipe.batch_size
        indices = lax.dynamic_slice_in_dim(order, first, recipe.batch_size)
        images, labels = sharding.take(split, indices)
        images = (images[..., None] / 255 - augment.MEAN) / augment.STD
        return steps.train_step(
            state,
            images,
            labels,
            jax.random.fold_in(key, step),
            model=recipe.model,
            optimizer=recipe.optimizer,
        )[0]

    return lax.fori_loop(start, stop, body, state)


def ahead_of(devices: list[Any], config: ConfigDict) -> int:
    """How many batches a run on these devices draws at a time."""
    return backends.batches_ahead(devices[0].platform, config.batch_size)


def compile_all(
    devices: list[Any],
    config: ConfigDict,
    more: Callable[[ConfigDict, Any], dict[str, tuple[Any, tuple[Any, ...]]]] | None = None,
) -> dict[str, tuple[Any, float]]:
    """Compiles the programs of a run: by name, with the seconds.

    Args:
      devices: from `devices_of`.
      config: a config.
      more: makes further programs of the config and of the shapes of a training state: for
        each name a function and the shapes of its arguments. None: plain Flax's steps.
    """
    mesh = Mesh(np.array(devices), (sharding.AXIS,), axis_types=(AxisType.Auto,))
    whole = sharding.everywhere(mesh)

    def on(place: NamedSharding, tree: Any) -> Any:
        return jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), tree
        )

    def split(size: int) -> sharding.DeviceSplit:
        images: Any = jax.ShapeDtypeStruct((size, 28, 28), jnp.uint8, sharding=whole)
        labels: Any = jax.ShapeDtypeStruct((size,), jnp.int32, sharding=whole)
        return sharding.DeviceSplit(images, labels)

    train, test = split(IMAGES), split(TEST_IMAGES)
    key = jax.eval_shape(jax.random.key, 0)
    index = on(whole, jax.ShapeDtypeStruct((), jnp.int32))
    recipe = steps.create_recipe(config, IMAGES)
    create = partial(steps.init_state, recipe=recipe)
    begin = partial(epochs.start_epoch, num_images=IMAGES)
    state = on(whole, jax.eval_shape(create, key))
    key = on(whole, key)
    epoch, order, _ = on(whole, jax.eval_shape(begin, state, key, index))
    full = partial(epochs.full_steps, recipe=recipe, ahead=ahead_of(devices, config))
    last = partial(epochs.last_step, recipe=recipe)
    runs: dict[str, tuple[Any, tuple[Any, ...]]] = {
        "first weights": (create, (key,)),
        "order of an epoch": (begin, (state, key, index)),
        "steps": (full, (epoch, train, order, key, index, index)),
        "last step": (last, (epoch, train, order, key)),
        "test": (partial(epochs.eval_epoch, model=recipe.model), (state, test)),
    }
    if more:
        runs |= {
            name: (f, on(whole, shapes)) for name, (f, shapes) in more(config, state).items()
        }
    else:
        of_plain = recipe._replace(model=plain.Net(config.model.dropout_rate))
        begun = on(whole, jax.eval_shape(partial(steps.init_state, recipe=of_plain), key))
        arguments = (begun, train, order, key, index, index)
        runs["plain steps"] = (partial(plain_steps, recipe=of_plain), arguments)
    compiled = {}
    with jax.set_mesh(mesh):
        for name, (function, arguments) in runs.items():
            start = time.perf_counter()
            program = jax.jit(function, out_shardings=whole).lower(*arguments).compile()
            compiled[name] = (program, time.perf_counter() - start)
    return compiled


def loop_operations(program: str, ahead: int = 1, batch_size: int = 0) -> list[Operation]:
    """What a device does in one round of a program's longest loop, from XLA's text of it.

    Args:
      program: XLA's text.
      ahead: rounds of that loop in one round of the loop around it, whose operations are
        counted by the share that falls to one round; 1: there is none around it.
      batch_size: images in a step. The batches drawn ahead, [ahead, batch_size, ...], are like
        a split: a step reads its own.
    """
    computations: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in program.splitlines():
        if head := re.match(r"(?:ENTRY )?%?([\w.\-]+) .*\{$", line):
            lines = computations[head[1]] = []
        else:
            lines.append(line)
    inside = {
        name: re.findall(r"body=%?([\w.\-]+)", "\n".join(lines))
        for name, lines in computations.items()
    }
    bodies = [body for each in inside.values() for body in each]
    body = max(bodies, key=lambda name: len(computations[name]))
    found = _operations(computations[body], 1, [IMAGES], [ahead, batch_size])
    if ahead > 1:
        around = next(name for name in bodies if body in inside[name])
        others = [x for x in computations[around] if not re.search(rf"body=%?{body}\b", x)]
        found += _operations(others, 1 / ahead, [IMAGES])
    return found


def _operations(lines: list[str], share: float, *wholes: list[int]) -> list[Operation]:
    """The operations of a loop's body; arrays whose shapes begin with `wholes` do not count."""
    found, sizes = [], {}
    for line in lines:
        parts = re.match(r"\s+(?:ROOT )?%?([\w.\-]+) = (.*?) ([a-z][\w\-]*)\((.*)", line)
        if not parts:
            continue
        name, result, kind, rest = parts.groups()
        sizes[name] = _size(result, wholes)
        cycles = re.search(r'"estimated_cycles":"(\d+)"', line)
        works = kind in ("fusion", "custom-call", "copy", "gather", "scatter", "sort", "while")
        if cycles or works or re.fullmatch(COLLECTIVES, kind):
            arguments = re.findall(r"%([\w.\-]+)", rest.partition(")")[0])
            source = re.search(r'op_name="([^"]*)"', line)
            moved = sizes[name] + sum(sizes.get(each, 0) for each in arguments)
            expected = int(cycles[1]) if cycles else None
            found.append(
                Operation(name, kind, source[1] if source else "", expected, moved, share)
            )
    return found


def _size(arrays: str, wholes: Sequence[list[int]]) -> int:
    """Bytes of arrays such as (f32[8,16]{1,0}, pred[3]), without those read in part."""
    total = 0
    for kind, shape in re.findall(r"\b([a-z]+\d*)\[([\d,]*)\]", arrays):
        sides = [int(side) for side in shape.split(",") if side]
        if any(sides[: len(whole)] == whole for whole in wholes):
            continue
        if kind in _BYTES or kind[1:].isdigit():
            total += int(np.prod(sides)) * (_BYTES.get(kind) or int(kind[1:]) // 8)
    return total


def place(source: str) -> str:
    """Row of the table for an operation's source: 'conv2, backward'."""
    name = next((name for name, pattern in PLACES if re.search(pattern, source)), "other")
    return f"{name}, backward" if "transpose(" in source else name


def summary(operations: list[Operation], per_place: bool) -> dict[str, Any]:
    """Sums of a step's operations."""
    unknown = [each for each in operations if each.cycles is None and each.kind == "fusion"]
    messages = collections.Counter(
        match[1] for each in operations if (match := re.fullmatch(COLLECTIVES, each.kind))
    )
    result: dict[str, Any] = {
        "cycles": sum((each.cycles or 0) * each.share for each in operations),
        "operations": sum(each.share for each in operations),
        "without_estimate": sorted(each.name for each in unknown),
        "megabytes": sum(each.bytes * each.share for each in operations) / 1e6,
        "collectives": dict(messages),
    }
    if per_place:
        groups: dict[str, list[Operation]] = collections.defaultdict(list)
        for each in operations:
            groups[place(each.source)].append(each)
        result["places"] = {name: summary(group, False) for name, group in groups.items()}
    return result


def measure(target: str, config: ConfigDict) -> dict[str, Any]:
    """Everything about a target."""
    devices = devices_of(target)
    compiled = compile_all(devices, config)
    table = {}
    for name, (program, seconds) in compiled.items():
        memory = program.memory_analysis()
        table[name] = {
            "compile_seconds": seconds,
            "temporary_megabytes": memory.temp_size_in_bytes / 1e6,
            "argument_megabytes": memory.argument_size_in_bytes / 1e6,
            "code_megabytes": memory.generated_code_size_in_bytes / 1e6,
        }
    step, plain = (
        summary(loop_operations(compiled[name][0].as_text(), ahead, config.batch_size), True)
        for name, ahead in (("steps", ahead_of(devices, config)), ("plain steps", 1))
    )
    return {"programs": table, "step": step, "plain": plain}


def report(target: str, result: dict[str, Any]) -> list[str]:
    """Lines about a target."""
    lines = [f"{target}: programs"]
    columns = ("compile_seconds", "temporary_megabytes", "argument_megabytes", "code_megabytes")
    lines.append(
        f"{'':24}{'compiled, s':>14}{'temporary, MB':>16}{'arguments, MB':>16}{'code, MB':>12}"
    )
    for name, row in result["programs"].items():
        cells = [f"{row[c]:{w}.1f}" for c, w in zip(columns, (14, 16, 16, 12), strict=True)]
        lines.append(f"{name:24}{''.join(cells)}")
    # A GPU's compiler expects no cycles.
    key, unit = ("megabytes", "MB") if target in GPUS else ("cycles", "cycles")
    lines.append(
        f"{target}: a step{unit + ', operations':>50}{'plain Flax, no augmentation':>34}"
    )
    step, plain = result["step"], result["plain"]
    places = {**step["places"], **plain["places"]}
    for name in sorted(places, key=lambda n: -step["places"].get(n, {key: 0})[key]):
        lines.append(
            f"{name:28}" + _cells(step["places"].get(name), plain["places"].get(name), key)
        )
    lines.append(f"{'all':28}" + _cells(step, plain, key))
    for label, each in (("a step", step), ("plain Flax", plain)):
        if key == "cycles":
            names = " ".join(each["without_estimate"])
            count = len(each["without_estimate"])
            lines.append(f"{label}: {count} operations without an estimate: {names}")
        if each["collectives"]:
            lines.append(f"{label}: messages between chips: {each['collectives']}")
    lines.append(f"{key} of plain Flax's: {step[key] / plain[key]:.2f}")
    return lines


def _cells(ours: dict[str, Any] | None, plain: dict[str, Any] | None, key: str) -> str:
    cells = [
        f"{each[key]:14,.{0 if key == 'cycles' else 1}f}{each['operations']:8.1f}"
        if each
        else f"{'':22}"
        for each in (ours, plain)
    ]
    return "      ".join(cells)


def main() -> None:
    """Prints the tables, or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    targets = ", ".join([*ONE_CHIP, *GPUS, "tpu-v5e:2x4"])
    parser.add_argument("--target", action="append", help=f"{targets}; several are possible")
    parser.add_argument("--config", type=Path, default=config_lib.default_path())
    parser.add_argument("--json", action="store_true", help="one JSON object on one line")
    options = parser.parse_args()
    jax.config.update("jax_platforms", "cpu")
    config = config_lib.load(options.config)
    results = {x: measure(x, config) for x in options.target or ["tpu-v5e"]}
    if options.json:
        print(json.dumps({"note": HEADER, "config": str(options.config), "targets": results}))
        return
    print(HEADER)
    for target, result in results.items():
        print("\n".join(report(target, result)))


if __name__ == "__main__":
    main()
