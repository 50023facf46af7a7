"""The verbs that hold the model against kernels and machines, and those that measure them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@app.command()
def validate(
    published: Annotated[
        Path | None, typer.Argument(help="A table of published times [the one shipped].")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for document, table and figure.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes.")] = None,
    host: Annotated[str, typer.Option(help="With --live: a measured profile.")] = "",
    live: Annotated[bool, typer.Option("--live", help="Compare with this machine's KVM.")] = False,
    recorded: Annotated[
        Path | None, typer.Option(help="Compare with what --record kept, without KVM.")
    ] = None,
    record: Annotated[Path | None, typer.Option(help="Keep the runs in this file.")] = None,
    grid: Annotated[
        Path | None, typer.Option(help="Settings to compare in [those shipped].")
    ] = None,
    repeats: Annotated[int, typer.Option(min=2, help="Runs of each setting.")] = 10,
    full_size: Annotated[
        bool, typer.Option("--full-size", help="Time each published run at its full size.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Predict published times from few of them; with --host, this machine's latencies."""
    if full_size:
        from mmusim.cli.full_size import validate_full_size

        raise typer.Exit(validate_full_size(published, out, as_json))
    if live or recorded is not None:
        from mmusim.cli.validate_live import Options, validate_live

        options = Options(host, live, recorded, record, grid, repeats, workers, as_json)
        raise typer.Exit(validate_live(options))
    from mmusim.cli.validate import validate as verb

    verb(published, out, workers, as_json)


@app.command()
def conform(
    cases: Annotated[
        Path | None,
        typer.Argument(help="Recorded cases; with --live, whose scripts to run [those shipped]."),
    ] = None,
    live: Annotated[bool, typer.Option("--live", help="Ask this machine's KVM.")] = False,
    record: Annotated[
        Path | None, typer.Option(help="With --live: file for what the kernel counted.")
    ] = None,
    random: Annotated[int, typer.Option(min=0, help="With --live: so many scripts by lot.")] = 0,
    seed: Annotated[int, typer.Option(help="Of the scripts by lot.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Replay scripts that a real kernel counted; exit status 1 if any integer differs."""
    from mmusim.cli.conform import conform as verb
    from mmusim.cli.conform import conform_live

    if live:
        raise typer.Exit(conform_live(cases, record, random, seed, as_json))
    raise typer.Exit(verb(cases, as_json))


@app.command()
def live(
    arms: Annotated[Path, typer.Argument(help="A file of arms.", metavar="ARMS.toml")],
    host: Annotated[str, typer.Option(help="A measured profile.")],
    recorded: Annotated[
        Path | None, typer.Option(help="Show what --record kept, without KVM.")
    ] = None,
    record: Annotated[Path | None, typer.Option(help="Keep the runs in this file.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for live.md and its figure.")] = None,
    repeats: Annotated[int, typer.Option(min=2, help="Runs of each arm.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Run the arms of an experiment on this machine's KVM beside their prediction."""
    from mmusim.cli.live import Options
    from mmusim.cli.live import live as verb

    verb(Options(arms, host, recorded, record, out, repeats, as_json))


@app.command()
def probe(
    out: Annotated[Path, typer.Option(help="The host profile to write.")] = Path("myhost.toml"),
    seconds: Annotated[float, typer.Option(min=5, help="About how long to measure.")] = 60.0,
    seed: Annotated[int, typer.Option(help="Of the order of the measures.")] = 1,
    samples: Annotated[bool, typer.Option(help="Keep the raw samples beside the profile.")] = True,
    as_json: AsJson = False,
) -> None:
    """Measure what this machine's KVM costs and write a host profile."""
    from mmusim.cli.probe import probe as verb

    verb(out, seconds, seed, samples, as_json)


@app.command()
def fit(
    data: Annotated[
        list[str],
        typer.Argument(
            help="COST=FILE[:NAME][:UNIT]: samples or histogram as CSV, perf trace, bpftrace; NAME "
            "is the column, the system call or the map.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="The host profile to write.")] = Path("myhost.toml"),
    base: Annotated[
        str, typer.Option(help="Profile whose values stand for all other costs.")
    ] = "skylake-2021",
    implausible: Annotated[
        bool, typer.Option("--implausible", help="Take times that no host is known to need.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Fit costs to measurements made elsewhere and write a host profile."""
    from mmusim.cli.probe import fit as verb

    verb(data, out, base, implausible, as_json)


@app.command()
def evidence(
    host: Annotated[str, typer.Option(help="A measured profile.")],
    runs: Annotated[Path, typer.Option(help="Runs that validate --record kept.")],
    out: Annotated[Path, typer.Option(help="Folder for validation.md and figures.")] = Path(
        "docs/evidence"
    ),
    cases: Annotated[list[Path] | None, typer.Option(help="Kernel counters; repeatable.")] = None,
    arms: Annotated[Path | None, typer.Option(help="A file of arms.")] = None,
    arms_runs: Annotated[Path | None, typer.Option(help="What live --record kept.")] = None,
    grid: Annotated[Path | None, typer.Option(help="Settings [those shipped].")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes.")] = None,
) -> None:
    """Write what speaks for the model, and every miss: counts, published times, a live machine."""
    from mmusim.cli.evidence import Options
    from mmusim.cli.evidence import evidence as verb

    verb(Options(out, host, cases or [], runs, arms, arms_runs, grid, workers))
