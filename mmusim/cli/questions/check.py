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
from mmusim.engine.choice import AUTO
from mmusim.experiment.claims import Checked, Judged, experiment_files
from mmusim.experiment.claims import check as check_claims
from mmusim.report.claim_cells import (
    expected_text,
    holds_text,
    interval_text,
    measured_text,
    verdict_data,
    verdict_text,
)


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
        table("Claims", _rows(claims, every_setting), False)
        for kind, lines in (("failed", failures), ("not judged", problems)):
            for line in lines:
                say(f"{kind}: {line}")
        say(_sentence([judged for _, judged in claims]))
    if problems:
        raise typer.Exit(2)
    wrong = any(j.surprises or (strict and j.outcome != "supported") for _, j in claims)
    raise typer.Exit(1 if wrong or failures else 0)


def _rows(claims: Sequence[tuple[Checked, Judged]], every_setting: bool) -> list[dict[str, Any]]:
    rows = []
    for one, judged in claims:
        shown = judged.verdicts if every_setting else [judged.decisive]
        for verdict in shown:
            like = sum(v.outcome == judged.outcome for v in judged.verdicts)
            settings = verdict.setting if every_setting and verdict else _settings(judged, like)
            rows.append(
                {
                    "experiment": one.path.parent.name,
                    "claim": judged.claim.says,
                    "origin": judged.claim.origin,
                    "settings": settings,
                    "measured": "" if verdict is None else measured_text(verdict),
                    "interval": "" if verdict is None else interval_text(verdict),
                    "expected": "" if verdict is None else expected_text(verdict),
                    "holds": holds_text(
                        judged.verdicts if verdict is None or not every_setting else [verdict]
                    ),
                    "verdict": verdict_text(
                        verdict.outcome if verdict and every_setting else judged.outcome,
                        judged.claim.origin,
                        judged.claim.refuted,
                    ),
                }
            )
    return rows


def _settings(judged: Judged, like: int) -> str:
    return f"{like} of {len(judged.verdicts)}" if judged.verdicts else "none was run"


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
        "experiment": one.path.parent.name,
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
