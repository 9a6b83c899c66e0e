"""The command on a real terminal: what a person sees while a network is trained."""

import re
from pathlib import Path

import pytest
from helpers.terminals import run_on_terminal

pytestmark = pytest.mark.slow

SMALL = [
    *("--config.train_split=train[:512]", "--config.test_split=test[:100]"),
    "--config.model.architecture=4",
]
SHOWN_AT_ONCE = """
import sys
from mnist_flax import main
from mnist_flax.system import progress
progress.PATIENCE, progress._PERIOD = 0.0, 0.02
sys.exit(main.main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("columns", "first", "second"),
    [
        (
            80,
            r"Train: Loss=\d\.\d{4} Accuracy=\d+\.\d\d:  50%\|█+[▉-▏]? *\| 2/4 \[.*it/s\]",
            r"Train: Loss=.* Accuracy=.*:  50%\|█+[▉-▏]? *\| 2/4 \[.*, \d\d:\d\d left\]",
        ),
        (
            40,
            r" 50%, Loss=\d\.\d{4} Acc=\d+\.\d\d",
            r" 50%, \d\d:\d\d left, Loss=\d\.\d{4} Acc=\d+\.\d\d",
        ),
    ],
)
@pytest.mark.usefixtures("data_dir")
def test_a_run(columns: int, first: str, second: str, tmp_path: Path) -> None:
    argv = [*SMALL, "--config.num_epochs=2", "--workdir=run"]
    seen = run_on_terminal(["-c", SHOWN_AT_ONCE, *argv], columns, cwd=tmp_path, NO_COLOR="1")
    assert seen.status == 0, seen.raw
    assert (tmp_path / "run" / "summary.json").exists()
    again = seen.drawn.index("Epoch 2")
    # The time that the rest takes is known after the first epoch.
    assert any(re.fullmatch(first, line) for line in seen.drawn[:again]), seen.drawn
    assert any(re.fullmatch(second, line) for line in seen.drawn[again:]), seen.drawn
    assert any(line.startswith("Compiling (less the next time)") for line in seen.drawn)
    # Of the bars the last state stays, of everything else that was shown nothing.
    begin = next(i for i, line in enumerate(seen.screen) if line.startswith("Epoch 1"))
    stays = [line for line in seen.screen[begin:] if line]
    starts = ["Epoch 1", "Train: |100%", "Test set: ", "About ", "Epoch 2", "Train: |100%"]
    starts += ["Test set: ", "Results: ", "Target of "]
    assert len(stays) == len(starts)
    for line, start in zip(stays, starts, strict=True):
        assert line.startswith(tuple(start.split("|")))
