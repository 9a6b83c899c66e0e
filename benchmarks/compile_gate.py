"""Compiles every program for TPUs and a GPU that are not here, and compares with records.

    python benchmarks/compile_gate.py [--record]

Of each config in CASES all programs of a run are compiled, its answers to test images, and its
exported program. It fails, with status 1, if one does not compile, or if a step's cycles,
kernels or megabytes, as the compilers estimate them, are more than a tenth above
benchmarks/compiled.json, which --record writes anew. Nothing runs. Without a compiler its
targets are left out, and it says so.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import compiled
from mnist_flax import augment, steps
from mnist_flax import config as config_lib
from mnist_flax.export import to_stablehlo
from mnist_flax.export.network import Network

RECORDS = Path(__file__).with_name("compiled.json")
TPU, GPU = "tpu-v5e", "gpu-h100"
CASES = [
    *((name, target) for target in (GPU, TPU) for name in ("default", "best", "fast", "tiny")),
    ("tpu", "tpu-v5e:2x4"),
]
FIGURES = ("cycles", "operations", "megabytes")
TOLERANCE = 0.1
TEST_IMAGES = 500


def other_programs(config: ConfigDict, state: Any) -> dict[str, tuple[Any, tuple[Any, ...]]]:
    """Makes the programs of a trained network; see `compiled.compile_all`."""
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    model = steps.create_model(config)

    def answers(variables: Any, images: jax.Array) -> Any:
        return model.apply(variables, augment.normalize(images), train=False)

    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), variables)
    _, exported = to_stablehlo.encode(Network(zeros, config.model.architecture, "{}"))
    images = jax.ShapeDtypeStruct((TEST_IMAGES, 28, 28), jnp.uint8)
    return {"answers": (answers, (variables, images)), "export": (exported, (images,))}


def measure(name: str, target: str) -> dict[str, float]:
    """Compiles a case; returns the figures of its step."""
    config = config_lib.load(Path(__file__).parents[1] / "configs" / f"{name}.py")
    devices = compiled.devices_of(target)
    program, _ = compiled.compile_all(devices, config, other_programs)["steps"]
    ahead = compiled.ahead_of(devices, config)
    operations = compiled.loop_operations(program.as_text(), ahead, config.batch_size)
    sums = compiled.summary(operations, False)
    return {figure: round(sums[figure], 1) for figure in FIGURES}


def worse(now: dict[str, float], record: dict[str, float] | None) -> list[str]:
    """Says which figures of a step are more than a tenth above the record, if there is one."""
    if record is None:
        return []
    return [
        f"has {now[figure]:,} {figure} a step; {record[figure]:,} are recorded"
        for figure in FIGURES
        if now[figure] > record[figure] * (1 + TOLERANCE)
    ]


def check(record: bool) -> int:
    """Compiles all cases, and records or compares; returns the exit status."""
    records = json.loads(RECORDS.read_text()) if RECORDS.exists() else {}
    status = 0
    missing = set()
    for name, target in CASES:
        case = f"{name} on {target}"
        if target in missing:
            continue
        try:
            now = measure(name, target)
        except SystemExit as error:
            missing.add(target)
            print(f"{error}\n{target} is left out.", flush=True)
            continue
        except (jax.errors.JaxRuntimeError, NotImplementedError) as error:
            # What the gate is for: XLA refuses a program, or JAX has no form of it for this
            # target. It fails in the end, when the other cases have been tried.
            print(f"{case} does not compile: {error}", flush=True)
            status = 1
            continue
        note = "" if record or case in records else " (no record: it compiles, that is all)"
        print(f"{case}: {now}{note}", flush=True)
        if record:
            records[case] = now
        else:
            for words in worse(now, records.get(case)):
                print(f"{case} {words}", flush=True)
                status = 1
    if record:
        RECORDS.write_text(json.dumps(records, indent=2) + "\n")
    return status


def main() -> None:
    """Checks, or records."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--record", action="store_true", help=f"write {RECORDS.name} anew")
    options = parser.parse_args()
    jax.config.update("jax_platforms", "cpu")
    print(compiled.HEADER)
    sys.exit(check(options.record))


if __name__ == "__main__":
    main()
