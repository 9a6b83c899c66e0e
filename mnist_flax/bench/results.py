"""Derives rates and ratios from the times that `command.measure` took, and makes the table."""

from typing import Any

from mnist_flax.bench.torch_process import STEP_MODES

# The times that are compared: their row, their name and their unit.
_TORCH = (("step", "step_ms", " ms"), ("epoch", "epoch_seconds", " s"))
_PLAIN = (("step", "step_ms", " ms"), ("step alone", "step_alone_ms", " ms"))


def derive(results: dict[str, Any]) -> dict[str, Any]:
    """Computes rates and ratios from minimum and median.

    Args:
      results: by name, as in the JSON of the command.

    Returns:
      The rates; 'ratio_<time>', ours by that of PyTorch's fastest mode, and that time as
      'torch_<time>'; 'ratio_plain_<time>', ours by the stock network's. Ratios are below 1
      where ours is faster. PyTorch's modes in bfloat16 count if ours computes in bfloat16.
    """
    more: dict[str, Any] = {}
    for time_end, rate_end in (("min", "max"), ("median", "median")):
        batch_ms = results[f"augmentation_batch_ms_{time_end}"]
        more[f"augmentation_images_per_second_{rate_end}"] = (
            1e3 * results["batch_size"] / batch_ms
        )
        for name in ("step", "matmul"):
            rate = 1e3 * results[f"{name}_gflop"] / results[f"{name}_ms_{time_end}"]
            more[f"{name}_gflop_per_second_{rate_end}"] = rate
        for _, name, _ in _TORCH if "torch_version" in results else ():
            counts = [
                results[f"torch_{mode}_{name}_{time_end}"]
                for mode in _modes(results, name)
                if results["dtype"] == "bfloat16" or "bfloat16" not in mode
            ]
            more[f"torch_{name}_{time_end}"] = min(counts)
            more[f"ratio_{name}_{time_end}"] = results[f"{name}_{time_end}"] / min(counts)
        for _, name, _ in _PLAIN if "plain_step_ms_min" in results else ():
            ratio = results[f"{name}_{time_end}"] / results[f"plain_{name}_{time_end}"]
            more[f"ratio_plain_{name}_{time_end}"] = ratio
    return more


def _modes(results: dict[str, Any], name: str) -> list[str]:
    """Lists PyTorch's modes for which there is a time such as 'step_ms'."""
    return [mode for mode in STEP_MODES if f"torch_{mode}_{name}_min" in results]


def _in_words(mode: str) -> str:
    """Writes a mode for people: 'channels_last, bfloat16, compiled'."""
    return mode.replace("_bfloat16", ", bfloat16").replace("_compiled", ", compiled")


def table(results: dict[str, Any]) -> str:
    """Lays out the results of `command.measure` for people."""

    def line(label: str, *cells: str, width: int = 26) -> str:
        return f"{label:<{width}}" + "".join(f"{cell:>16}" for cell in cells)

    def cell(name: str, unit: str) -> str:
        value = results[name]
        return (f"{value:,.0f}" if value >= 100 else f"{value:.3g}") + unit

    def pair(label: str, name: str, unit: str, best: str = "min", width: int = 26) -> str:
        cells = (cell(f"{name}_{end}", unit) for end in (best, "median"))
        return line(label, *cells, width=width)

    def comparison(other: str, rows: tuple[tuple[str, str, str], ...], ratio: str) -> list[str]:
        """Rows of our times beside those of `other`, such as 'torch'."""
        return [
            line(
                f"{label}, {end}",
                cell(f"{name}_{end}", unit),
                cell(f"{other}_{name}_{end}", unit),
                f"{1 / r[f'{ratio}_{name}_{end}']:.2f}",
            )
            for label, name, unit in rows
            for end in ("min", "median")
        ]

    def differences(what: str, fields: list[str]) -> list[str]:
        """Says why the times are not of the same work, if they are not."""
        if not fields:
            return []
        return [f"Not the same work: {what}; the config has another {', '.join(fields)}."]

    r = results
    lines = [
        f"mnist_flax {r['mnist_flax_version']}, jax {r['jax_version']}, {r['backend']} "
        f"({r['device']}), {r['threads']} threads on the host",
        f"{r['cpu']}{': ' + ', '.join(r['cpu_units']) if r['cpu_units'] else ''}",
        f"{r['params']:,} parameters, {r['dtype']}, batch {r['batch_size']}, "
        f"{r['train_images']:,} images an epoch",
        f"rounds: {r['rounds']}, load average {r['load_average']:.2f} at the start",
        "",
        line("import", cell("import_seconds", " s")),
        line("device", cell("device_seconds", " s")),
        line("data", cell("data_seconds", " s")),
        line("compile", cell("compile_seconds", " s")),
        line("compile, from the cache", cell("compile_cached_seconds", " s")),
        line("peak memory", cell("peak_host_mb", " MB")),
        *(
            [line("  of the device", cell("peak_device_mb", " MB"))]
            if r["peak_device_mb"]
            else []
        ),
        "",
        line("", "best", "median"),
        pair("step", "step_ms", " ms"),
        pair("step alone", "step_alone_ms", " ms"),
        pair("augmentation, images/s", "augmentation_images_per_second", "", "max"),
        pair("epoch", "epoch_seconds", " s"),
        pair("GFLOP/s of a step", "step_gflop_per_second", "", "max"),
        pair("  of a matrix product", "matmul_gflop_per_second", "", "max"),
    ]
    if "plain_step_ms_min" in r:
        lines += [
            "",
            *differences("the stock network is the assignment's", r["plain_differs_in"]),
            line("", "mnist_flax", "stock Linen", "times as fast"),
            *comparison("plain", _PLAIN, "ratio_plain"),
        ]
    if "torch_version" in r:
        lines += [
            "",
            f"PyTorch {r['torch_version']}, torchvision {r['torchvision_version']}, "
            f"{r['torch_device']}, {r['torch_threads']} threads",
            *differences("PyTorch runs the assignment's recipe", r["torch_differs_in"]),
            "",
            line("", "mnist_flax", "PyTorch", "times as fast"),
            *comparison("torch", _TORCH, "ratio"),
            "",
            *([] if r["torch_compiles"] else ["torch.compile does not work here"]),
            line("PyTorch by mode", "best", "median", width=42),
            *(
                pair(f"{label}, {_in_words(mode)}", f"torch_{mode}_{name}", unit, width=42)
                for label, name, unit in _TORCH
                for mode in _modes(r, name)
            ),
        ]
    return "\n".join(text.rstrip() for text in lines)
