"""The verbs that write pages: a report of an experiment, and an index of a folder of them."""

from __future__ import annotations

from pathlib import Path

import typer

from mmusim.analysis import load
from mmusim.config.settings import load_settings
from mmusim.experiment.run import Outcome
from mmusim.store import StoreError


def default_folder(experiment: Path) -> Path:
    """Return where an experiment's runs go unless told otherwise: ``results/ID``."""
    return Path("results") / load_settings(experiment)[0].id


def report(experiment: Path, out: Path | None) -> int:
    """Evaluate what is stored and write the report; return the exit status."""
    out = out or default_folder(experiment)
    outcome = load(experiment, out)
    for failure in outcome.failures:
        typer.echo(f"failed: {failure}")
    typer.echo(f"report: {written_report(outcome, out)}")
    return 1 if outcome.failures else 0


def written_report(outcome: Outcome, out: Path) -> Path:
    """Write the report of an outcome into its run directory.

    Raises
    ------
    StoreError
        If the file cannot be written.
    """
    from mmusim.report import write_report

    try:
        return write_report(outcome, out)
    except OSError as error:
        raise StoreError(
            f"{out}: the report cannot be written: {error.strerror}; free space, then "
            "run `mmusim report`: the runs are stored"
        ) from None


def index(folder: Path) -> None:
    """Write the page over a folder of run directories."""
    from mmusim.report import write_index

    typer.echo(f"index: {write_index(folder)}")
