"""The command line: one short function a verb, imports inside."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmusim.cli.evidence_verbs import app as evidence_verbs
from mmusim.cli.examples import app as examples
from mmusim.cli.handing_on import app as handing_on
from mmusim.cli.import_log import app as import_log
from mmusim.cli.options import (
    AsJson,
    Costs,
    Engine,
    ExperimentFile,
    From,
    Out,
    Policy,
    Seed,
    SettingName,
)
from mmusim.cli.statistics import app as statistics
from mmusim.cli.vocabulary import app as vocabulary
from mmusim.cli.workload import app as workload

app = typer.Typer(
    name="mmusim",
    help="Which dirty-logging policy gives a KVM guest the least jitter, by how much, and why.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.add_typer(examples)
app.add_typer(import_log)
app.add_typer(evidence_verbs)
app.add_typer(workload, name="workload")
app.add_typer(handing_on)
app.add_typer(statistics)
app.add_typer(vocabulary)


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
    costs: Costs = None,
) -> None:
    """Run an experiment, or what is missing of it; print the answer and write a report."""
    from mmusim.cli.run import run as verb

    raise typer.Exit(
        verb(experiment, out, seeds, workers, as_json, engine, scheduler, retry_failed, costs)
    )


@app.command()
def report(experiment: ExperimentFile, out: Out = None) -> None:
    """Write the report of what a run directory holds; nothing is run."""
    from mmusim.cli.reports import report as verb

    verb(experiment, out)


@app.command()
def index(
    folder: Annotated[Path, typer.Argument(help="A folder of run directories.")] = Path("results"),
) -> None:
    """Write index.html into a folder of run directories: questions, answers, verdicts, links."""
    from mmusim.cli.reports import index as verb

    verb(folder)


@app.command()
def plot(
    figure: Annotated[
        str,
        typer.Argument(
            help="Of an experiment: ratios, across, swept, phases, latencies, ecdf, shift, "
            "decomposition, rounds, theory. Of one run: timeline, utilisation."
        ),
    ],
    experiment: ExperimentFile,
    to: Annotated[Path, typer.Option("--to", help="A .svg, .png or .pdf file to write.")],
    out: Out = None,
    policy: Policy = "",
    seed: Seed = None,
    setting: SettingName = "",
    start: From = "",
    end: Annotated[str, typer.Option("--until", help="To this time of the run.")] = "",
    metric: Annotated[
        str, typer.Option(help="Which [the one that answers].", show_default=False)
    ] = "",
    window: Annotated[str, typer.Option(help="Of utilisation: its length, e.g. 100us.")] = "",
) -> None:
    """Draw one figure of what a run directory holds, or of one run, which is simulated."""
    if figure in ("timeline", "utilisation"):
        from mmusim.cli.timeline import Selection, plot_run

        chosen = Selection(policy=policy, seed=seed, setting=setting, start=start, end=end)
        plot_run(figure, experiment, chosen, to, window)
        return
    from mmusim.cli.figures import plot as verb

    verb(figure, experiment, to, out, metric, policy)


@app.command()
def trace(
    experiment: ExperimentFile,
    policy: Policy = "",
    seed: Seed = None,
    setting: SettingName = "",
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

    chosen = Selection(policy=policy, seed=seed, setting=setting, start=start, end=end)
    verb(experiment, chosen, out, limit)


@app.command()
def show(experiment: ExperimentFile) -> None:
    """Print every setting of an experiment with all defaults and costs filled in, as TOML."""
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


@app.command(name="dirty-log-perf-test", context_settings={"help_option_names": ["-h", "--help"]})
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
    pin: Annotated[
        str, typer.Option("-c", help="Processors, e.g. 0,1: no difference, all have their own.")
    ] = "",
    offset: Annotated[
        str, typer.Option("-p", help="Address of the memory: makes no difference.")
    ] = "",
    policy: Annotated[str, typer.Option(help="Policy or kernel, see `policies`.")] = "linux-6.13",
    host: Annotated[str, typer.Option(help="Host profile, see `hosts`.")] = "skylake-2021",
    sample: Annotated[str, typer.Option(help="Touch this share of memory only.")] = "100%",
    as_json: AsJson = False,
) -> None:
    """Run KVM's selftest of that name in the simulator: its options, its output."""
    from mmusim.cli.perf_test import Options, perf_test

    perf_test(
        Options(
            vcpus=vcpus, memory=memory, backing=backing, iterations=iterations,
            write_percent=write_percent, random_access=random_access, overlap=overlap,
            nested=nested, run_vcpus=run_vcpus, no_manual_protect=no_manual_protect,
            memslots=memslots, guest_mode=guest_mode, pin=pin, offset=offset,
            random_seed=random_seed, policy=policy, host=host, sample=sample,
        ),
        as_json,
    )  # fmt: skip


@app.command()
def bench(
    scale: Annotated[bool, typer.Option("--scale", help="How the cost of a run grows.")] = False,
    to: Annotated[Path | None, typer.Option("--to", help="With --scale: a figure.")] = None,
    engine: Annotated[str, typer.Option(help="With --scale: auto, simpy or compiled.")] = "auto",
    faults: Annotated[int, typer.Option(min=1 << 13, help="With --scale: at most.")] = 1 << 22,
    as_json: AsJson = False,
) -> None:
    """Measure the engines' speed beside plain loops in Python and C, in one run."""
    if scale:
        from mmusim.cli.bench_scale import scale as verb_scale

        verb_scale(to, engine, faults, as_json)
        return
    from mmusim.cli.bench import bench as verb

    verb(as_json)
