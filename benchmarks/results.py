"""Makes the rows of RESULTS.md from the sweeps that are kept in docs/sweeps.

    python benchmarks/results.py

A folder there has the sweep.json and the sweep.jsonl of the config of that name, with the final
accuracy and the curves of every seed. Its name may end in '-' and where it ran.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import frontier
from mnist_flax.sweep import results

HEAD = [
    *("config", "device", "parameters", "epochs", "n", "final, %: mean ± sd", "min", "max"),
    *("95 % interval of the mean", "with TTA, %", "99.4 % before the last epoch"),
    "first epoch at 99.4 %",
]


def row(folder: Path) -> str:
    """Makes the row of a sweep."""
    params, lines = frontier.load(folder)
    s = results.summarize(lines)
    low, high = (f"{100 * end:.3f}" for end in s.interval)
    tta = [f"{100 * value:.3f}" for value in s.tta or ()]
    first = s.first_epochs
    cells = [
        f"`{folder.name.partition('-')[0]}.py`",
        lines[0]["device"].replace("cpu", "CPU"),
        f"{params:,}",
        str(lines[0]["epochs"]),
        str(s.n),
        f"**{100 * s.mean:.3f} ± {100 * s.sd:.3f}**",
        f"{100 * s.low:.2f}",
        f"{100 * s.high:.2f}",
        f"{low} to {high}",
        " ± ".join(tta) or "-",
        f"{round(s.met * len(lines))} of {len(lines)}",
        f"{first[0]} to {first[-1]}" if first else "never",
    ]
    return _joined(cells)


def _joined(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Prints the table."""
    print(_joined(HEAD), "|---" * len(HEAD) + "|", sep="\n")
    for folder in frontier.kept():
        print(row(folder))


if __name__ == "__main__":
    main()
