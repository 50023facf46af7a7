"""``mmusim run``: makes the missing runs of an experiment and answers its question."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any

import typer

from mmusim.base.errors import InterruptedRunError
from mmusim.cli.shared.options import (
    AsJson,
    Costs,
    Engine,
    ExperimentFile,
    Out,
    Scheduler,
    Seeds,
    Workers,
)
from mmusim.cli.shared.output import say, table
from mmusim.cli.shared.progress import notice, show_progress
from mmusim.cli.shared.run_folders import default_folder, written_report
from mmusim.config.settings import LoadedFile, load_file
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
    costs: Costs = None,
    as_json: AsJson = False,
) -> None:
    """Make the missing runs of an experiment, print the answer and write a report."""
    file = load_file(experiment)
    out = out or default_folder(file)
    notice(engine)
    if workers is None or scheduler is None:  # both together are refused first
        _expect(file, seeds)
    try:
        with show_progress() as progress:
            outcome = run_experiment(
                file, out, seeds=seeds, workers=workers, progress=progress, engine=engine,
                scheduler=scheduler, retry_failed=retry_failed, costs=costs,
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
    from mmusim.migration_logs.reported_and_simulated import assumptions, reported_rows
    from mmusim.migration_logs.requested_dirty_rate import dirtied
    from mmusim.report import mean_ledger
    from mmusim.report.answers import answers
    from mmusim.report.claim_cells import about_holds, left_out_lines, verdict_data
    from mmusim.report.outcome_table import answer_data, answer_rows, notes

    ends, reported, warned = _ends(outcome), reported_rows(outcome), warnings(outcome)
    if as_json:
        rows = answer_data(outcome)
        by_name = {result.setting.name: result for result in outcome.settings}
        for row in rows:
            row["ledger_ns"] = mean_ledger(by_name[row["setting"]], row["policy"])
        table(
            "",
            rows,
            True,
            says=answers(outcome),
            notes=[*notes(outcome), *left_out_lines(outcome)],
            ends=ends,
            claims=[{"claim": v.says, **verdict_data(v)} for v in outcome.verdicts],
            about=outcome.about,
            failures=outcome.failures,
            report=written,
            reported=reported,
            dirtied=dirtied(outcome),
            warnings=warned,
        )
        return
    table(f"Answer by {outcome.experiment.answer_by}", answer_rows(outcome), False, at_most=100)
    for note in [*notes(outcome), *left_out_lines(outcome)]:
        say(note)
    table("How it ended", ends, False, at_most=100)
    table("Claims", _claim_rows(outcome), False, at_most=100)
    if outcome.verdicts and outcome.hosts:
        say(about_holds(outcome))
    table("Dirty rate of the guest", dirtied(outcome), False)
    table("Reported beside simulated", reported, False)
    for assumed in assumptions(outcome):
        say(assumed)
    for failure in outcome.failures:
        say(f"failed: {failure}")
    for warning in warned:
        say(f"warning: {warning}")
    for answer in answers(outcome):
        say(f"{answer}.")
    if outcome.experiment.notes:
        say(outcome.experiment.notes.strip())
    typer.echo(f"report: {written}")


def _claim_rows(outcome: Outcome) -> list[dict[str, str]]:
    from mmusim.report.claim_cells import (
        expected_text,
        holds_text,
        measured_cell,
        verdict_text,
    )  # fmt: skip

    before = ["", *(v.says for v in outcome.verdicts)]
    rows = [
        {
            "claim": "" if v.says == said else v.says,
            "setting": v.setting,
            "measured, 95 %": measured_cell(v),
            "expected": expected_text(v),
            "holds": holds_text([v]),
            "verdict": verdict_text(v.outcome, v.origin, v.refuted),
        }
        for v, said in zip(outcome.verdicts, before, strict=False)
    ]
    if not any(row["holds"] for row in rows):
        for row in rows:
            del row["holds"]
    return rows


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


def _expect(file: LoadedFile, seeds: int | None) -> None:
    """Warn before the runs of what this number of seeds cannot show."""
    from mmusim.comparison.reach import out_of_reach
    from mmusim.report.outcome_table import before_running

    fewest = seeds or min(s.experiment.replications.seeds for s in file.settings)
    policies = file.experiment.policies.all
    for line in (
        *before_running(len(file.settings), len(policies), fewest),
        *out_of_reach(file.experiment.claims, fewest),
    ):
        typer.echo(f"mmusim: {line}", err=True)
