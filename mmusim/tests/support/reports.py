"""A small experiment with its report."""

from __future__ import annotations

from pathlib import Path

from mmusim.experiment.run import Outcome, run_experiment
from mmusim.report import write_report
from mmusim.tests.support.experiment_files import SMALL

SWEPT = (
    SMALL.replace("seeds = 5", "seeds = 10")
    + '\n[sweep]\n"vm.memory" = ["2MiB", "4MiB"]\n"host.costs.c_lock_section" = ["50ns", "90ns"]\n'
)


def run_in(folder: Path, text: str) -> Outcome:
    """Write `experiment.toml` into a folder and make its runs in `out`."""
    folder.mkdir(exist_ok=True)
    (folder / "experiment.toml").write_text(text)
    return run_experiment(folder / "experiment.toml", folder / "out", workers=1)


def report_of(folder: Path, text: str) -> tuple[Outcome, Path]:
    outcome = run_in(folder, text)
    return outcome, write_report(outcome, folder / "out")
