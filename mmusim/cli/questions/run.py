"""The verbs that run experiments and read run directories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from mmusim.base.errors import InterruptedRunError
from mmusim.base.units import show_ns, show_number
from mmusim.cli.shared.options import AsJson, Engine, ExperimentFile, Out, Scheduler, Seeds, Workers
from mmusim.cli.shared.output import table
from mmusim.cli.shared.progress import notice, show_progress
from mmusim.cli.shared.run_folders import default_folder, written_report
from mmusim.engine.choice import AUTO
from mmusim.experiment.run import Outcome, run_experiment


def run(
    experiment: ExperimentFile,
    out: Out = None,
    seeds: Seeds = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    engine: Engine = AUTO,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Repeat failed runs.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make the missing runs of an experiment, print the answer and write a report."""
    out = out or default_folder(experiment)
    notice(engine)
    try:
        with show_progress() as progress:
            outcome = run_experiment(
                experiment, out, seeds=seeds, workers=workers, progress=progress, engine=engine,
                scheduler=scheduler, retry_failed=retry_failed,
            )  # fmt: skip
    except KeyboardInterrupt:
        raise InterruptedRunError(
            f"interrupted; finished runs are stored in {out}: run the same command to go on"
        ) from None
    for mended in outcome.notices:
        typer.echo(f"mmusim: {mended}", err=True)
    written = written_report(outcome, out)
    _print(outcome, as_json, str(written))
    refuted = any(verdict.surprises for verdict in outcome.verdicts)
    raise typer.Exit(1 if refuted or outcome.failures else 0)


def _print(outcome: Outcome, as_json: bool, written: str) -> None:
    from mmusim.experiment.exposure import warnings
    from mmusim.field.beside import assumptions, beside
    from mmusim.report import answers, mean_ledger

    rows = [
        {
            "setting": result.setting.name,
            "policy": policy,
            "mean_ns": row.baseline_mean.estimate if first else row.candidate_mean.estimate,
            "median_ns": row.baseline_median if first else row.candidate_median,
            "ratio": 1.0 if first or row.ratio is None else row.ratio.estimate,
            "95%_interval": ""
            if first or row.ratio is None
            else f"{row.ratio.low:.4g} .. {row.ratio.high:.4g}",
            "correlation": "" if first or row.correlation is None else f"{row.correlation:.2f}",
            "where_the_time_went": _shares(mean_ledger(result, policy)),
        }
        for result in outcome.settings
        for row, first, policy in _sides(result.comparisons["phase_time"])
    ]
    ends, reported, warned = _ends(outcome), beside(outcome), warnings(outcome)
    claims = [
        {
            "claim": v.says,
            "setting": v.setting,
            "measured": v.measured.estimate,
            "interval": f"{show_number(v.measured.low)} .. {show_number(v.measured.high)}",
            "expected": f"{show_number(v.expected[0])} .. {show_number(v.expected[1])}",
            "verdict": f"{v.outcome}: {v.reason}" if v.reason else v.outcome,
        }
        for v in outcome.verdicts
    ]
    if as_json:
        table(
            "",
            rows,
            True,
            ends=ends,
            claims=claims,
            about=outcome.about,
            failures=outcome.failures,
            report=written,
            reported=reported,
            warnings=warned,
        )
        return
    table("Time of the measured phase", rows, False)
    table("How it ended", ends, False)
    table("Claims", claims, False)
    table("Reported beside simulated", reported, False)
    for assumed in assumptions(outcome):
        typer.echo(assumed)
    for failure in outcome.failures:
        typer.echo(f"failed: {failure}")
    for warning in warned:
        typer.echo(f"warning: {warning}")
    for answer in answers(outcome):
        typer.echo(f"{answer}.")
    if outcome.experiment.notes:
        typer.echo(outcome.experiment.notes.strip())
    typer.echo(f"report: {written}")


def _ends(outcome: Outcome) -> list[dict[str, Any]]:
    """Count the ways in which migrations and livelocks ended, by setting and policy."""
    return [
        {
            "setting": result.setting.name,
            "policy": policy,
            "outcome": end,
            "seeds": count,
            "an_example": next(run.story[-1] for run in runs if run.outcome == end),
        }
        for result in outcome.settings
        for policy, runs in result.runs.items()
        for end, count in Counter(run.outcome for run in runs if run.outcome).most_common()
    ]


def _sides(comparisons: list[Any]) -> Iterator[tuple[Any, bool, str]]:
    yield comparisons[0], True, comparisons[0].baseline
    for comparison in comparisons:
        yield comparison, False, comparison.candidate


def _shares(ledger: dict[str, float]) -> str:
    parts = sorted(ledger.items(), key=lambda item: -item[1])
    return ", ".join(f"{cause} {show_ns(ns)}" for cause, ns in parts if ns)
