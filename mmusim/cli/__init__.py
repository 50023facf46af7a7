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
Engine = Annotated[
    str, typer.Option(help="auto, simpy or compiled: the same results.", metavar="NAME")
]

Policy = Annotated[str, typer.Option(help="The policy [the baseline].", show_default=False)]
Seed = Annotated[int | None, typer.Option(help="The seed [the first].", show_default=False)]
CellName = Annotated[str, typer.Option("--cell", help="The setting [the only one].")]
From = Annotated[str, typer.Option("--from", help="From this time of the run, e.g. 1.5ms.")]


@app.command()
def run(
    experiment: ExperimentFile,
    out: Out = None,
    seeds: Annotated[int | None, typer.Option(min=2, help="Replications.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes.")] = None,
    as_json: AsJson = False,
    engine: Engine = "auto",
    scheduler: Annotated[
        str | None, typer.Option(help="A Dask cluster, tcp://host:port.", show_default=False)
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Run again what failed.")
    ] = False,
) -> None:
    """Run an experiment, or what is missing of it; print the answer and write a report."""
    from mmusim.cli.run import run as verb

    raise typer.Exit(
        verb(experiment, out, seeds, workers, as_json, engine, scheduler, retry_failed)
    )


@app.command()
def check(
    places: Annotated[
        list[Path], typer.Argument(help="Folders of experiments, or files.", metavar="PLACE...")
    ],
    out: Annotated[
        Path, typer.Option(help="Folder of the run directories, each by its experiment's id.")
    ] = Path("results"),
    seeds: Annotated[int | None, typer.Option(min=2, help="Replications.")] = None,
    reduced: Annotated[bool, typer.Option("--reduced", help="What [reduced] keeps.")] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes.")] = None,
    engine: Engine = "auto",
    every_setting: Annotated[bool, typer.Option("--all", help="A row for each setting.")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit status 1 unless every claim is supported.")
    ] = False,
    reports: Annotated[bool, typer.Option("--reports", help="Write the reports too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Judge the claims of experiments; exit status 1 if one is refuted that is not known to be."""
    from mmusim.cli.check import verb

    raise typer.Exit(
        verb(places, out, seeds, reduced, workers, engine, every_setting, strict, reports, as_json)
    )


@app.command()
def select(
    experiment: ExperimentFile,
    metric: Annotated[str, typer.Option(help="What they compete in.")] = "phase_time",
    delta: Annotated[str, typer.Option(help="Smallest difference worth detecting.")] = "2%",
    confidence: Annotated[float, typer.Option(help="Probability of correct selection.")] = 0.95,
    among: Annotated[
        str, typer.Option(help="policies of each setting, settings of each policy, or all.")
    ] = "policies",
    cell: CellName = "",
    policy: Annotated[str, typer.Option(help="Only this policy.")] = "",
    first: Annotated[int, typer.Option(help="Seeds before any is dropped.")] = 10,
    limit: Annotated[int, typer.Option(help="Most seeds.")] = 200,
    out: Out = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes.")] = None,
    engine: Engine = "auto",
    as_json: AsJson = False,
) -> None:
    """Run seeds until the best policy or setting is known; exit status 1 if it is not."""
    from mmusim.best import Rules
    from mmusim.cli.select import share, verb

    rules = Rules(
        metric=metric,
        delta=share("--delta", delta),
        confidence=confidence,
        first=first,
        limit=limit,
    )
    raise typer.Exit(verb(experiment, out, rules, among, cell, policy, workers, engine, as_json))


@app.command()
def sensitivity(
    experiment: ExperimentFile,
    metric: Annotated[str, typer.Option(help="Which figure.")] = "phase_time",
    policy: Annotated[
        str, typer.Option(help='Whose, or a ratio "A / B" [the baseline].', show_default=False)
    ] = "",
    cell: CellName = "",
    samples: Annotated[int, typer.Option(help="Sobol points, a power of 2.")] = 64,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of each point.")] = 1,
    ranges: Annotated[
        list[str] | None, typer.Option("--range", help="Factor of a provenance: assumed=3.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Run directory [results/ID-sensitivity]", show_default=False)
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes.")] = None,
    engine: Engine = "auto",
    as_json: AsJson = False,
) -> None:
    """Rank the host's costs by their effect on a figure, and say which are worth measuring."""
    from mmusim.cli.sensitivity import study, verb

    asked = study(metric, policy, cell, samples, seeds, ranges or [])
    raise typer.Exit(verb(experiment, out, asked, workers, engine, as_json))


@app.command(name="warm-up")
def warm_up(
    experiment: ExperimentFile,
    window: Annotated[str, typer.Option(help="Windows of this length, e.g. 100us.")] = "",
    lap: Annotated[str, typer.Option(help="Or phases with this in their name.")] = "",
    policy: Policy = "",
    seed: Seed = None,
    cell: CellName = "",
    as_json: AsJson = False,
) -> None:
    """Find how much of one run's beginning is warm-up, and what the rest is like (MSER-5)."""
    from mmusim.cli.warm_up import verb

    verb(experiment, window, lap, policy, seed, cell, as_json)


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
    figure: Annotated[
        str,
        typer.Argument(help="ratios, across, latencies, decomposition, rounds, phases, timeline."),
    ],
    experiment: ExperimentFile,
    to: Annotated[Path, typer.Option("--to", help="A .svg, .png or .pdf file to write.")],
    out: Out = None,
    policy: Policy = "",
    seed: Seed = None,
    cell: CellName = "",
    start: From = "",
    end: Annotated[str, typer.Option("--until", help="To this time of the run.")] = "",
    metric: Annotated[str, typer.Option(help="Of phases and across: which.")] = "phase_time",
) -> None:
    """Draw one figure of what a run directory holds, or the timeline of one run."""
    if figure == "timeline":
        from mmusim.cli.timeline import Selection, plot_timeline

        chosen = Selection(policy=policy, seed=seed, cell=cell, start=start, end=end)
        plot_timeline(experiment, chosen, to)
        return
    from mmusim.cli.run import plot as verb

    verb(figure, experiment, to, out, metric, policy)


@app.command()
def trace(
    experiment: ExperimentFile,
    policy: Policy = "",
    seed: Seed = None,
    cell: CellName = "",
    out: Annotated[
        Path | None,
        typer.Option(help="A .json or .json.gz file [ID.trace.json.gz]", show_default=False),
    ] = None,
    start: From = "",
    end: Annotated[str, typer.Option("--to", help="To this time of the run.")] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="Most records kept.")] = None,
) -> None:
    """Simulate one run and write what happened when, for the Perfetto UI."""
    from mmusim.cli.timeline import Selection
    from mmusim.cli.timeline import trace as verb

    chosen = Selection(policy=policy, seed=seed, cell=cell, start=start, end=end)
    verb(experiment, chosen, out, limit)


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


@app.command(name="dirty-log-perf-test")
def dirty_log_perf_test(
    vcpus: Annotated[int, typer.Option("-v", min=1, help="vCPUs.")] = 1,
    memory: Annotated[str, typer.Option("-b", help="Memory of each vCPU: 512M, 1G.")] = "1G",
    backing: Annotated[str, typer.Option("-s", help="Backing source.")] = "anonymous",
    iterations: Annotated[int, typer.Option("-i", help="Rounds.")] = 2,
    write_percent: Annotated[int, typer.Option("-w", help="Percentage of writes.")] = 100,
    random_access: Annotated[bool, typer.Option("-a", help="Pages in random order.")] = False,
    overlap: Annotated[bool, typer.Option("-o", help="vCPUs share all memory.")] = False,
    nested: Annotated[bool, typer.Option("-n", help="Run as a nested guest.")] = False,
    run_vcpus: Annotated[bool, typer.Option("-e", help="vCPUs run while disabling.")] = False,
    no_manual_protect: Annotated[bool, typer.Option("-g", help="No manual protect.")] = False,
    random_seed: Annotated[int, typer.Option("-r", help="Random seed.")] = 1,
    memslots: Annotated[int, typer.Option("-x", help="Memory slots; only 1 is modelled.")] = 1,
    guest_mode: Annotated[int, typer.Option("-m", help="Guest mode; only 0 is modelled.")] = 0,
    pin: Annotated[str, typer.Option("-c", help="Accepted: vCPUs are always pinned.")] = "",
    offset: Annotated[str, typer.Option("-p", help="Accepted: makes no difference.")] = "",
    policy: Annotated[str, typer.Option(help="Policy or kernel, see `policies`.")] = "linux-6.13",
    host: Annotated[str, typer.Option(help="Host profile, see `hosts`.")] = "skylake-2021",
    sample: Annotated[str, typer.Option(help="Touch this share of memory only.")] = "100%",
) -> None:
    """Run KVM's selftest of that name in the simulator: its options, its output."""
    from mmusim.cli.perf_test import Options, perf_test

    del pin, offset
    perf_test(
        Options(
            vcpus=vcpus, memory=memory, backing=backing, iterations=iterations,
            write_percent=write_percent, random_access=random_access, overlap=overlap,
            nested=nested, run_vcpus=run_vcpus, no_manual_protect=no_manual_protect,
            memslots=memslots, guest_mode=guest_mode, random_seed=random_seed, policy=policy,
            host=host, sample=sample,
        )
    )  # fmt: skip


@app.command()
def validate(
    published: Annotated[
        Path | None, typer.Argument(help="A table of published times [the one shipped].")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for document, table and figure.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes.")] = None,
    as_json: AsJson = False,
) -> None:
    """Fit unit costs on few published times, predict the others and compare."""
    from mmusim.cli.validate import validate as verb

    verb(published, out, workers, as_json)


@app.command()
def bench(as_json: AsJson = False) -> None:
    """Measure the engine's speed beside bare SimPy, in one run."""
    from mmusim.cli.bench import bench as verb

    verb(as_json)
