"""``mmusim report``: the report of stored runs."""

from __future__ import annotations

import typer

from mmusim.analysis import load
from mmusim.cli.shared.options import ExperimentFile, Out
from mmusim.cli.shared.run_folders import default_folder, written_report


def report(experiment: ExperimentFile, out: Out = None) -> None:
    """Write the report of stored runs. It makes no new runs."""
    out = out or default_folder(experiment)
    outcome = load(experiment, out)
    for failure in outcome.failures:
        typer.echo(f"failed: {failure}")
    typer.echo(f"report: {written_report(outcome, out)}")
    raise typer.Exit(1 if outcome.failures else 0)
