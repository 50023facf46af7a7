"""Verbs that ask more of an experiment than its comparisons, each with its uncertainty."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmusim.cli.options import AsJson, Costs, Engine, ExperimentFile, Out, Policy, Seed, SettingName

app = typer.Typer()


@app.command()
def check(
    places: Annotated[
        list[Path], typer.Argument(help="Folders of experiments, or files.", metavar="PLACE...")
    ],
    out: Annotated[
        Path, typer.Option(help="Folder of the run directories, each by its experiment's id.")
    ] = Path("results"),
    seeds: Annotated[int | None, typer.Option(min=2, help="Replications.")] = None,
    reduced: Annotated[
        bool, typer.Option("--reduced", help="A smoke test: what [reduced] keeps.")
    ] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes.")] = None,
    engine: Engine = "auto",
    every_setting: Annotated[bool, typer.Option("--all", help="A row for each setting.")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit status 1 unless every claim is supported.")
    ] = False,
    reports: Annotated[bool, typer.Option("--reports", help="Write the reports too.")] = False,
    costs: Costs = None,
    as_json: AsJson = False,
) -> None:
    """Judge the claims of experiments; exit status 1 if one is refuted that is not known to be."""
    from mmusim.cli.check import verb

    raise typer.Exit(
        verb(
            places,
            out,
            seeds,
            reduced,
            workers,
            engine,
            every_setting,
            strict,
            reports,
            as_json,
            costs,
        )
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
    setting: SettingName = "",
    policy: Annotated[str, typer.Option(help="Only this policy.")] = "",
    first: Annotated[int, typer.Option(help="Seeds before any is dropped.")] = 10,
    limit: Annotated[int, typer.Option(help="Most seeds.")] = 200,
    out: Out = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes.")] = None,
    engine: Engine = "auto",
    as_json: AsJson = False,
) -> None:
    """Run seeds until the best policy or setting is known; exit status 1 if it is not."""
    from mmusim.cli.select import share, verb
    from mmusim.experiment.selection import Rules

    rules = Rules(
        metric=metric,
        delta=share("--delta", delta),
        confidence=confidence,
        first=first,
        limit=limit,
    )
    raise typer.Exit(verb(experiment, out, rules, among, setting, policy, workers, engine, as_json))


@app.command()
def sensitivity(
    experiment: ExperimentFile,
    metric: Annotated[str, typer.Option(help="Which figure.")] = "phase_time",
    policy: Annotated[
        str, typer.Option(help='Whose, or a ratio "A / B" [the baseline].', show_default=False)
    ] = "",
    setting: SettingName = "",
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

    asked = study(metric, policy, setting, samples, seeds, ranges or [])
    raise typer.Exit(verb(experiment, out, asked, workers, engine, as_json))


@app.command()
def statistics(
    experiment: ExperimentFile,
    metric: Annotated[
        list[str] | None, typer.Option(help="Which figures, or all [the usual five].")
    ] = None,
    baseline: Annotated[str, typer.Option(help="Against this policy [the file's].")] = "",
    setting: SettingName = "",
    shift: Annotated[
        str, typer.Option(help="Quantile differences of latency or request instead.")
    ] = "",
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Compare the policies of stored runs: difference, ratio, p, effect, and the answer."""
    from mmusim.cli.contrasts import verb

    verb(experiment, metric or [], baseline, setting, shift, out, as_json)


@app.command()
def coverage(
    trials: Annotated[int, typer.Option(min=100, help="Samples of each population.")] = 1000,
    as_json: AsJson = False,
) -> None:
    """Measure how often the intervals that this program shows cover the truth."""
    from mmusim.cli.coverage import verb

    verb(trials, as_json)


@app.command(name="warm-up")
def warm_up(
    experiment: ExperimentFile,
    window: Annotated[str, typer.Option(help="Windows of this length, e.g. 100us.")] = "",
    lap: Annotated[str, typer.Option(help="Or phases with this in their name.")] = "",
    policy: Policy = "",
    seed: Seed = None,
    setting: SettingName = "",
    as_json: AsJson = False,
) -> None:
    """Find how much of one run's beginning is warm-up, and what the rest is like (MSER-5)."""
    from mmusim.cli.warm_up import verb

    verb(experiment, window, lap, policy, seed, setting, as_json)
