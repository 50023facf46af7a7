"""The verb that prints what the measured windows of stored runs met."""

from __future__ import annotations

from pathlib import Path

import typer

from mmusim.cli.options import AsJson, ExperimentFile, Out

app = typer.Typer(add_completion=False)


@app.command()
def exposure(experiment: ExperimentFile, out: Out = None, as_json: AsJson = False) -> None:
    """Print what each window of stored runs met: operations, pages, accesses, requests, locks."""
    from mmusim.analysis.answers import load
    from mmusim.cli.output import table
    from mmusim.experiment.exposure import rows, warnings

    outcome = load(Path(experiment), out)
    table("Exposure, means over seeds", rows(outcome), as_json)
    if not as_json:
        for line in warnings(outcome):
            typer.echo(f"warning: {line}")
