"""The verbs that write pages: a report of an experiment, and an index of a folder of them."""

from __future__ import annotations

import typer

from mmusim.analysis import load
from mmusim.cli.shared.options import ExperimentFile, Out
from mmusim.cli.shared.run_folders import default_folder, written_report


def report(experiment: ExperimentFile, out: Out = None) -> None:
    """Write the report of stored runs; nothing is run."""
    out = out or default_folder(experiment)
    outcome = load(experiment, out)
    for failure in outcome.failures:
        typer.echo(f"failed: {failure}")
    typer.echo(f"report: {written_report(outcome, out)}")
    raise typer.Exit(1 if outcome.failures else 0)
