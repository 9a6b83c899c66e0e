"""Runs that are killed again and again, and end as if nothing had happened.

It prints a log, also without pytest's -s: every kill, what was on disk then, and the hash of
each run that came to its end.
"""

import hashlib
import json
import random
import re
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import pytest
from helpers import forks

from mnist_flax import architecture, steps
from mnist_flax import config as config_lib
from mnist_flax.runs import checkpoints

EPOCHS = 8
OVERRIDES = {"train_split": "train[:256]", "test_split": "test[:100]", "num_epochs": EPOCHS}


def command(workdir: Path, *more: str) -> list[str]:
    overrides = [f"--config.{key}={value}" for key, value in OVERRIDES.items()]
    argv = ["-m", "mnist_flax.main", *overrides, "--workdir", str(workdir), *more]
    return [*forks.python(), *argv]


def figures(workdir: Path) -> list[dict[str, float]]:
    """The whole lines of metrics.jsonl, but for the times."""
    try:
        lines = (workdir / "metrics.jsonl").read_text().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    timed = ("seconds", "per_second")
    return [
        {key: value for key, value in json.loads(line).items() if not key.endswith(timed)}
        for line in lines
        if line.endswith("\n")
    ]


def fingerprint(workdir: Path) -> str:
    """One hash of the state at the end of a run and of its figures."""
    config = config_lib.load(config_lib.default_path())
    config.update_from_flattened_dict(OVERRIDES)
    create = partial(steps.create_train_state, config=config, num_images=256)
    like = jax.eval_shape(create, jax.random.key(0))
    saved = checkpoints.load(workdir, EPOCHS, config, like)
    digest = hashlib.sha256(json.dumps(figures(workdir)).encode())
    for path, leaf in jax.tree_util.tree_leaves_with_path(saved.state):
        digest.update(f"{jax.tree_util.keystr(path)} {leaf.dtype} {leaf.shape}".encode())
        digest.update(np.ascontiguousarray(leaf).tobytes())
    assert [line["epoch"] for line in figures(workdir)] == list(range(1, EPOCHS + 1))
    assert not list(workdir.rglob(".*"))
    return digest.hexdigest()


def unfinished(workdir: Path) -> tuple[int, int] | None:
    """What tells the folder of the unfinished checkpoint, if there is one, from the next."""
    try:
        stat = (workdir / "checkpoints" / ".unfinished").stat()
    except FileNotFoundError:
        return None
    return stat.st_ino, stat.st_ctime_ns


class Stop(NamedTuple):
    """How a run was stopped: when, with what exit status, and what it left."""

    moment: str
    status: int
    out: str
    err: str
    in_a_save: bool


def stop(workdir: Path, number: signal.Signals, rng: random.Random) -> Stop:
    """Starts a run or goes on with it, and sends it a signal at a random moment."""
    kind = rng.choice(["start", "epoch", "save", "save"])
    epoch = len(figures(workdir)) + rng.randint(1, 3)
    out, before = workdir.with_suffix(".out"), unfinished(workdir)
    with out.open("w") as file:
        process = subprocess.Popen(
            command(workdir, "--resume"),
            stdout=file,
            stderr=subprocess.PIPE,
            text=True,
        )

        def wait_until(condition: Callable[[], bool], seconds: float) -> None:
            while process.poll() is None and not condition():
                time.sleep(0.0005)
            time.sleep(rng.uniform(0, seconds))

        wait_until(lambda: "Workdir:" in out.read_text(), 0)
        if kind == "start":
            moment = "after the start"
            wait_until(lambda: True, 3)
        elif kind == "epoch":
            moment = f"in epoch {epoch}"
            wait_until(lambda: "Compiling" in out.read_text(), 0)
            wait_until(lambda: len(figures(workdir)) >= epoch - 1, 0.3)
        else:
            moment = f"at the save of epoch {epoch}"
            wait_until(lambda: len(figures(workdir)) >= epoch - 1, 0)
            wait_until(lambda: unfinished(workdir) not in (None, before), 0.1)
        process.send_signal(number)
        _, err = process.communicate(timeout=300)
    half = unfinished(workdir) not in (None, before)
    return Stop(moment, process.returncode, out.read_text(), err, half)


class Chain:
    """Runs in one process after the other, stopped by some signals; each ends as the whole one.

    Attributes:
      stops: how often each signal was answered.
      in_saves: how many of the SIGKILLs left an unfinished checkpoint behind.
      runs: the runs that came to their end.
    """

    def __init__(self, name: str, folder: Path, whole: Path) -> None:
        self._name, self._folder = name, folder
        self._figures, self._fingerprint = figures(whole), fingerprint(whole)
        self.stops = {signal.SIGKILL: 0, signal.SIGTERM: 0}
        self.in_saves = self.runs = 0

    def run(self, numbers: list[signal.Signals], seed: int) -> None:
        rng = random.Random(seed)
        self._start_anew()
        while numbers:
            before = len(figures(self._workdir))
            stopped = stop(self._workdir, numbers[0], rng)
            self._check_resumed(stopped.out)
            finished = (self._workdir / "summary.json").exists()
            # It was faster than the signal, which may have met Python while it shut down.
            if stopped.status == 0 or (finished and stopped.status == -signal.SIGTERM):
                self._check_end("before it was stopped")
                continue
            self.stops[numbers[0]] += 1
            self._check_stop(numbers.pop(0), stopped, before)
        last = subprocess.check_output(command(self._workdir, "--resume"), text=True)
        self._check_resumed(last)
        self._check_end("at the end")

    def _start_anew(self) -> None:
        self._workdir, self._saved = self._folder / f"{self._name}{self.runs}", 0

    def _log(self, text: str) -> None:
        print(f"run {self._workdir.name}: {text}", flush=True)

    def _check_resumed(self, out: str) -> None:
        resumed = re.search(r"^Resumed after epoch (\d+)", out, re.MULTILINE)
        if "Compiling" in out:
            assert (int(resumed[1]) if resumed else 0) == self._saved

    def _check_stop(self, number: signal.Signals, stopped: Stop, before: int) -> None:
        """Checks that nothing was lost but the epoch that was under way."""
        recorded = figures(self._workdir)
        self._saved = max(checkpoints.epochs(self._workdir), default=0)
        self._log(
            f"{number.name} {self.stops[number]}, {stopped.moment}: {len(recorded)} epochs on "
            f"record, {self._saved} saved{', another one half' if stopped.in_a_save else ''}"
        )
        assert recorded == self._figures[: len(recorded)]
        assert len(recorded) >= before
        assert self._saved in (len(recorded), len(recorded) + 1)
        if number == signal.SIGKILL:
            assert (stopped.status, stopped.err) == (-signal.SIGKILL, "")
            self.in_saves += stopped.in_a_save
        else:
            assert not stopped.in_a_save
            assert (stopped.status, stopped.err) == (
                143,
                f"terminated: epochs done: {len(recorded)}, in {self._workdir}; --resume "
                "continues after them\n",
            )

    def _check_end(self, when: str) -> None:
        self._log(f"finished {when}, {fingerprint(self._workdir)}")
        assert fingerprint(self._workdir) == self._fingerprint
        self.runs += 1
        self._start_anew()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layers", "kills", "terminations", "in_saves"),
    [
        # A network that is compiled soon. Of three kills it may be that none meets a save.
        ("4", 3, 1, 0),
        pytest.param(architecture.DEFAULT, 50, 10, 10, marks=pytest.mark.long),
    ],
)
def test_nothing_is_lost(
    data_dir: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    layers: str,
    kills: int,
    terminations: int,
    in_saves: int,
) -> None:
    monkeypatch.setitem(OVERRIDES, "model.architecture", layers)
    with capsys.disabled():
        found = kill_again_and_again(tmp_path, kills, terminations)
    assert found[:2] == (kills, terminations)
    assert found[2] >= in_saves


def kill_again_and_again(folder: Path, kills: int, terminations: int) -> tuple[int, int, int]:
    """Stops runs this often, and checks each of them.

    Returns:
      How often they were killed and terminated, and how many of the kills met a save.
    """
    seed = 0
    rng = random.Random(seed)
    numbers = [signal.SIGKILL] * kills + [signal.SIGTERM] * terminations
    rng.shuffle(numbers)
    subprocess.run(command(folder / "whole"), check=True, stdout=subprocess.DEVNULL)
    print(f"\nnever interrupted, {EPOCHS} epochs: {fingerprint(folder / 'whole')}")
    chains = [Chain(name, folder, folder / "whole") for name in "ab"]
    with ThreadPoolExecutor() as pool:
        # A start keeps one core busy.
        jobs = [
            pool.submit(chain.run, numbers[i :: len(chains)], seed + i)
            for i, chain in enumerate(chains)
        ]
        for job in jobs:
            job.result()
    kills, terminations = (
        sum(chain.stops[number] for chain in chains)
        for number in (signal.SIGKILL, signal.SIGTERM)
    )
    in_saves, runs = (sum(getattr(c, name) for c in chains) for name in ("in_saves", "runs"))
    print(
        f"{kills} kills, {in_saves} of them in a save, {terminations} SIGTERMs; {runs} runs "
        "came to their end, each as if it had never been interrupted"
    )
    return kills, terminations, in_saves
