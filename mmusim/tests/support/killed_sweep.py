"""A sweep that is killed with SIGKILL again and again. Run as a program: FOLDER KILLS SEED.

Prints what the kills left and what was run how often, as JSON. Everything is imported once; each
attempt is a fork, so that twenty kills take seconds.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmusim.cli.results.export import export
from mmusim.execution import workers
from mmusim.experiment.run import run_experiment
from mmusim.store import LEDGER
from mmusim.tests.support.experiment_files import experiment_text

EXPERIMENT = experiment_text(
    "killed",
    "Is anything lost?",
    vm='memory = "2MiB"\nkernel = "linux-3.7"',
    phases='{ do = "enable-logging" }, { do = "write", pages = "2%" }',
    more='[replications]\nseeds = 40\n[sweep]\n"host.costs.c_exit" = ["1us", "2us"]\n',
)


def attempt(file: Path, out: Path, log: Path) -> None:
    """Run what is missing; note each run when it begins."""
    real = workers.run_job

    def noted(setting: Any, job: Any, *rest: Any) -> Any:
        with log.open("a") as lines:
            lines.write(f"{setting.key()} {job.policy} {job.seed}\n")
        return real(setting, job, *rest)

    workers.run_job = noted  # type: ignore[assignment]
    run_experiment(file, out, workers=1, engine="simpy")


def forked(file: Path, out: Path, log: Path, kill: Callable[[], None] | None = None) -> bool:
    """Make an attempt in a process of its own, to be killed when `kill` returns; did it finish?"""
    log.touch()
    child = os.fork()
    if child == 0:
        try:
            attempt(file, out, log)
            os._exit(0)
        finally:
            os._exit(1)
    if kill is not None:
        kill()
        os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1] == 0


def begun(log: Path) -> list[str]:
    return log.read_text().splitlines()


def finished(out: Path) -> set[str]:
    if not (out / LEDGER).exists():
        return set()
    db = sqlite3.connect(out / LEDGER)
    rows = db.execute("SELECT setting, policy, seed FROM runs WHERE state = 'done'").fetchall()
    db.close()
    return {f"{setting} {policy} {seed}" for setting, policy, seed in rows}


def when(chance: random.Random, number: int, log: Path) -> Callable[[], None]:
    """Choose a moment: the first ones any time while the ledger is made, then amid the runs."""

    def wait() -> None:
        deadline = time.monotonic() + 10
        runs = 0 if number < 4 else chance.randrange(1, 8)
        while len(begun(log)) < runs and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.2 if number < 4 else 0.02))

    return wait


def main(folder: Path, kills: int, seed: int) -> None:
    file, out = folder / "experiment.toml", folder / "killed"
    file.write_text(EXPERIMENT)
    run_experiment(file, folder / "warm", seeds=2, workers=1, engine="simpy")
    if not forked(file, folder / "whole", folder / "whole.log"):
        raise SystemExit("the sweep that nobody kills failed")
    chance, left, repeated = random.Random(seed), [], 0
    for number in range(kills + 1):
        there, log = finished(out), folder / f"{number}.log"
        kill = when(chance, number, log) if number < kills else None
        if forked(file, out, log, kill) is not (kill is None):
            raise SystemExit(f"attempt {number} failed, or ended before it was killed")
        repeated += len(there & set(begun(log)))
        left.append(len(finished(out)))
    for name in ("whole", "killed"):
        export(folder / name, folder / f"{name}.csv")
    print(json.dumps({"left": left, "repeated": repeated}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
