"""The command line: one short function a verb, imports inside."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmusim.cli.workload import app as workload

app = typer.Typer(
    name="mmusim",
    help="Which dirty-logging policy gives a KVM guest the least jitter, by how much, and why.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.add_typer(workload, name="workload")

ExperimentFile = Annotated[
    Path, typer.Argument(help="An experiment file.", metavar="EXPERIMENT.toml")
]
RunFolder = Annotated[Path, typer.Argument(help="A run directory.", metavar="FOLDER")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Out = Annotated[Path | None, typer.Option(help="Run directory [results/ID]", show_default=False)]


@app.command()
def run(
    experiment: ExperimentFile,
    out: Out = None,
    seeds: Annotated[int | None, typer.Option(min=2, help="Replications.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run an experiment, or what is missing of it; print the answer and write a report."""
    from mmusim.cli.run import run as verb

    raise typer.Exit(verb(experiment, out, seeds, workers, as_json))


@app.command()
def report(experiment: ExperimentFile, out: Out = None) -> None:
    """Write the report of what a run directory holds; nothing is run."""
    from mmusim.cli.run import report as verb

    verb(experiment, out)


@app.command()
def export(
    folder: RunFolder,
    to: Annotated[Path, typer.Option("--to", help="A .csv or .parquet file to write.")],
) -> None:
    """Write the runs of a run directory as one flat table."""
    from mmusim.cli.run import export as verb

    verb(folder, to)


@app.command()
def plot(
    figure: Annotated[str, typer.Argument(help="ratios, latencies, decomposition or rounds.")],
    experiment: ExperimentFile,
    to: Annotated[Path, typer.Option("--to", help="A .svg, .png or .pdf file to write.")],
    out: Out = None,
) -> None:
    """Draw one figure of what a run directory holds."""
    from mmusim.cli.run import plot as verb

    verb(figure, experiment, to, out)


@app.command()
def show(experiment: ExperimentFile) -> None:
    """Print every cell of an experiment with all defaults and costs filled in, as TOML."""
    from mmusim.cli.listings import show as verb

    verb(experiment)


@app.command()
def schema() -> None:
    """Print the JSON schema of experiment files, for editors."""
    from mmusim.cli.listings import schema as verb

    verb()


@app.command()
def policies(
    name: Annotated[str, typer.Argument(help="Explain this one.")] = "", as_json: AsJson = False
) -> None:
    """List the policies, or explain one."""
    from mmusim.cli.listings import policies as verb

    verb(name, as_json)


@app.command()
def hosts(
    name: Annotated[str, typer.Argument(help="Show its costs.")] = "", as_json: AsJson = False
) -> None:
    """List the host profiles, or the costs of one with their provenance."""
    from mmusim.cli.listings import hosts as verb

    verb(name, as_json)


@app.command()
def conform(
    cases: Annotated[Path, typer.Argument(help="Recorded cases.", metavar="CASES.jsonl")],
    as_json: AsJson = False,
) -> None:
    """Replay scripts that a real kernel counted; exit status 1 if any integer differs."""
    from mmusim.cli.conform import conform as verb

    raise typer.Exit(verb(cases, as_json))


@app.command()
def bench(as_json: AsJson = False) -> None:
    """Measure the engine's speed beside bare SimPy, in one run."""
    from mmusim.cli.bench import bench as verb

    verb(as_json)
