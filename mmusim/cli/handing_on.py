"""Verbs that hand results on, compare them with others' and measure what storing them costs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()

Folder = Annotated[Path, typer.Argument(help="A run directory or dataset.", metavar="FOLDER")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@app.command()
def status(folder: Folder, as_json: AsJson = False) -> None:
    """Say how many runs are queued, running, done and failed, and how those failed."""
    from mmusim.cli.publish import status as verb

    verb(folder, as_json)


@app.command()
def export(
    folder: Folder,
    to: Annotated[Path, typer.Option("--to", help="A .csv or .parquet file to write.")],
) -> None:
    """Write the runs of a run directory as one flat table."""
    from mmusim.cli.run import export as verb

    verb(folder, to)


@app.command()
def publish(
    folder: Folder,
    to: Annotated[Path, typer.Option("--to", help="A new folder for the dataset.")],
    as_json: AsJson = False,
) -> None:
    """Write a run directory as a Parquet dataset with a manifest."""
    from mmusim.cli.publish import publish as verb

    verb(folder, to, as_json)


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(help="A run directory or dataset.", metavar="A")],
    b: Annotated[Path, typer.Argument(help="Another one.", metavar="B")],
    across: Annotated[
        str | None, typer.Option(help="The one key that may differ.", show_default=False)
    ] = None,
    metric: Annotated[str | None, typer.Option(help="Of --across: only this one.")] = None,
    as_json: AsJson = False,
) -> None:
    """Compare like runs bit for bit, or policies across one key; refuse unlike runs by key."""
    from mmusim.cli.publish import compare as verb

    raise typer.Exit(verb(a, b, across, metric, as_json))


@app.command(name="bench-store")
def bench_store(as_json: AsJson = False) -> None:
    """Measure what a sweep adds to its runs, and how fast results load."""
    from mmusim.cli.bench_store import bench as verb

    verb(as_json)
