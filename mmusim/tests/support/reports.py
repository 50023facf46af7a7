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


def report_of(folder: Path, text: str) -> tuple[Outcome, Path]:
    folder.mkdir(exist_ok=True)
    (folder / "experiment.toml").write_text(text)
    outcome = run_experiment(folder / "experiment.toml", folder / "out", workers=1)
    return outcome, write_report(outcome, folder / "out")
