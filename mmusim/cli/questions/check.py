"""``mmusim check``: the claims of experiments, judged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from mmusim.base.errors import InterruptedRunError
from mmusim.cli.shared.ignored import refuse_ignored
from mmusim.cli.shared.options import AsJson, Costs, Engine, Scheduler, Seeds, Workers
from mmusim.cli.shared.output import say, table
from mmusim.cli.shared.progress import notice, show_progress
from mmusim.cli.shared.run_folders import written_report
from mmusim.comparison.verdicts import Verdict
from mmusim.engine.choice import AUTO
from mmusim.experiment.claims import Checked, Judged, experiment_files
from mmusim.experiment.claims import check as check_claims
from mmusim.report.claim_cells import (
    about_holds,
    expected_text,
    holds_text,
    left_out_lines,
    marks_of,
    measured_cell,
    verdict_data,
    verdict_text,
)
from mmusim.report.extremes import hidden_by


def check(
    places: Annotated[
        list[Path], typer.Argument(help="Folders of experiments, or files.", metavar="PLACE...")
    ],
    out: Annotated[
        Path,
        typer.Option("--out", help="Folder of the stored runs, a folder for each experiment."),
    ] = Path("results"),
    seeds: Seeds = None,
    reduced: Annotated[
        bool, typer.Option("--reduced", help="Smoke test: run only what [reduced] keeps.")
    ] = False,
    workers: Workers = None,
    scheduler: Scheduler = None,
    engine: Engine = AUTO,
    every_setting: Annotated[bool, typer.Option("--all", help="A row for each setting.")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit status 1 unless every claim is supported.")
    ] = False,
    reports: Annotated[bool, typer.Option("--reports", help="Write the reports too.")] = False,
    costs: Costs = None,
    as_json: AsJson = False,
) -> None:
    """Judge the claims of experiments; exit status 1 if a claim is refuted unexpectedly."""
    if as_json:
        refuse_ignored("check", "with --json", {"--all": every_setting})
    files = experiment_files(places)
    notice(engine)
    checked: list[Checked] = []
    try:
        with show_progress() as progress:
            for one in check_claims(
                files, out, seeds=seeds, reduced=reduced, workers=workers, engine=engine,
                scheduler=scheduler, progress=progress, costs=costs,
            ):  # fmt: skip
                checked.append(one)
                if reports and one.outcome is not None:
                    written_report(one.outcome, out / one.outcome.experiment.id)
    except KeyboardInterrupt:
        raise InterruptedRunError(
            f"interrupted; finished runs are stored in {out}: run the same command to go on"
        ) from None
    claims = [(one, judged) for one in checked for judged in one.judged]
    failures = [failure for one in checked if one.outcome for failure in one.outcome.failures]
    problems = [f"{one.path}: {one.problem}" for one in checked if one.problem]
    if reduced:
        typer.echo(
            "mmusim: this is a smoke test: few seeds of few settings, on the profile's own costs. "
            "A claim that it supports has no evidence yet; run one that it refutes at full size.",
            err=True,
        )
    if as_json:
        rows = [_as_data(one, judged) for one, judged in claims]
        table("", rows, True, failures=failures, problems=problems)
    else:
        for one in checked:
            table(f"Claims of {one.name}", _rows(one, every_setting), False)
            for line in _notes(one, every_setting):
                typer.echo(line)
        for kind, lines in (("failed", failures), ("not judged", problems)):
            for line in lines:
                say(f"{kind}: {line}")
        say(_sentence([judged for _, judged in claims]))
    if problems:
        raise typer.Exit(2)
    wrong = any(j.surprises or (strict and j.outcome != "supported") for _, j in claims)
    raise typer.Exit(1 if wrong or failures else 0)


def _rows(one: Checked, every_setting: bool) -> list[dict[str, Any]]:
    rows = []
    for judged in one.judged:
        shown = judged.verdicts if every_setting else [judged.decisive]
        for verdict in shown:
            by_itself = verdict if every_setting else None
            text = verdict_text(
                judged.outcome if by_itself is None else by_itself.outcome,
                judged.claim.origin,
                judged.claim.refuted,
            )
            rows.append(
                {
                    "claim": judged.claim.says,
                    **({"setting": verdict.setting if verdict else ""} if every_setting else {}),
                    "origin": judged.claim.origin,
                    "measured, 95 %": _measured(verdict, one),
                    "expected": "" if verdict is None else expected_text(verdict),
                    "holds": holds_text([by_itself] if by_itself else judged.verdicts),
                    "verdict": text if by_itself else f"{text}\n{_settings(judged)}".rstrip(),
                }
            )
    return rows


def _measured(verdict: Verdict | None, one: Checked) -> str:
    if verdict is None or one.outcome is None:
        return ""
    hidden = hidden_by(verdict, one.outcome)
    return measured_cell(verdict) + (f"\n{hidden}" if hidden else "")


def _notes(one: Checked, every_setting: bool) -> list[str]:
    """Return what the figures of a table rest on."""
    if one.outcome is None:
        return []
    shown = one.outcome.verdicts if every_setting else [j.decisive for j in one.judged]
    marks = marks_of([verdict for verdict in shown if verdict is not None])
    return [*marks, *left_out_lines(one.outcome), about_holds(one.outcome)]


def _settings(judged: Judged) -> str:
    """Write in how many settings the verdict is the same, where there is more than one."""
    if not judged.verdicts:
        return "no setting was run"
    like = sum(v.outcome == judged.outcome for v in judged.verdicts)
    return f"in {like} of {len(judged.verdicts)}" if len(judged.verdicts) > 1 else ""


def _sentence(claims: Sequence[Judged]) -> str:
    outcomes = [judged.outcome for judged in claims]
    counts = ", ".join(
        f"{outcomes.count(outcome)} {outcome}"
        for outcome in ("supported", "inconclusive", "refuted", "not judged")
        if outcome in outcomes
    )
    fitted = sum(j.outcome == "supported" and j.claim.origin == "calibrated" for j in claims)
    known = sum(judged.outcome == "refuted" and not judged.surprises for judged in claims)
    return (
        f"{len(claims)} claim{'s' * (len(claims) != 1)}: {counts or 'none'}"
        + (f" ({known} known to be)" if known else "")
        + (
            f"; {fitted} of those supported are met because costs were fitted to them"
            if fitted
            else ""
        )
    )


def _as_data(one: Checked, judged: Judged) -> dict[str, Any]:
    claim = judged.claim
    return {
        "experiment": one.name,
        "file": str(one.path),
        "claim": claim.says,
        "origin": claim.origin,
        "source": claim.source,
        "metric": claim.metric,
        "known_refuted": claim.refuted,
        "verdict": judged.outcome,
        "surprises": judged.surprises,
        "settings": [verdict_data(v) for v in judged.verdicts],
    }
