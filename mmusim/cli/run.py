"""The verbs that run experiments and read run directories."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import typer

from mmusim.base.errors import ConfigError, InterruptedRunError
from mmusim.base.files import whole
from mmusim.base.units import show_number
from mmusim.cli.output import table
from mmusim.cli.reports import default_folder, written_report
from mmusim.config.settings import load_settings
from mmusim.engine.choice import AUTO, SIMPY, VARIABLE, resolve
from mmusim.execution.progress import Progress, Standing
from mmusim.experiment.run import Outcome, run_experiment

LONG_S: Final = 20.0
"""Where there is no terminal, silence lasts no longer."""


def run(
    experiment: Path,
    out: Path | None,
    seeds: int | None,
    workers: int | None,
    as_json: bool,
    engine: str = AUTO,
    scheduler: str | None = None,
    retry_failed: bool = False,
    costs: int | None = None,
) -> int:
    """Run, report and print; return the exit status."""
    out = out or default_folder(experiment)
    notice(engine)
    _expect(experiment, seeds)
    try:
        with show_progress() as progress:
            outcome = run_experiment(
                experiment, out, seeds=seeds, workers=workers, progress=progress, engine=engine,
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
    return 1 if refuted or outcome.failures else 0


def _expect(experiment: Path, seeds: int | None) -> None:
    """Say before running what so many seeds cannot show."""
    from mmusim.report.outcome_table import before_running

    asked, settings = load_settings(experiment)
    fewest = seeds or min(s.experiment.replications.seeds for s in settings)
    for line in before_running(len(settings), len(asked.policies.all), fewest):
        typer.echo(f"mmusim: {line}", err=True)


def notice(engine: str) -> None:
    """Say it when `auto` cannot take the compiled engine."""
    free = engine == AUTO and os.environ.get(VARIABLE, AUTO) == AUTO
    if free and resolve(engine) == SIMPY:
        typer.echo(
            "mmusim: Numba is not installed, so the SimPy engine runs: the same results, slower; "
            "install mmusim[compiled]",
            err=True,
        )


def export(folder: Path, to: Path) -> None:
    """Write the flat table of runs, whole or not at all."""
    from mmusim.store.run_table import frame

    if to.suffix not in (".csv", ".parquet"):
        raise ConfigError.of(
            "--to", str(to), None, "must end in .csv or .parquet", "choose one of the two"
        )
    data = frame(folder)
    try:
        with whole(to) as unfinished:
            if to.suffix == ".csv":
                data.to_csv(unfinished, index=False)
            else:
                data.to_parquet(unfinished, index=False)
    except ImportError:
        raise ConfigError.of(
            "--to", str(to), None, "needs pyarrow", "install mmusim[parquet], or write .csv"
        ) from None
    typer.echo(f"{len(data)} runs: {to}")


def _print(outcome: Outcome, as_json: bool, written: str) -> None:
    from mmusim.field.beside import assumptions, beside
    from mmusim.report import mean_ledger
    from mmusim.report.answers import answers
    from mmusim.report.outcome_table import answer_data, answer_rows, notes

    ends, reported = _ends(outcome), beside(outcome)
    hosts = any(v.over_hosts for v in outcome.verdicts)
    claims = [
        {
            "claim": v.says,
            "setting": v.setting,
            "measured": v.measured.estimate,
            "interval": v.measured.span(show_number),
            "expected": f"{show_number(v.expected[0])} .. {show_number(v.expected[1])}",
            "verdict": v.outcome,
        }
        | ({"holds": "" if v.over_hosts is None else v.over_hosts.holds.estimate} if hosts else {})
        for v in outcome.verdicts
    ]
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
            notes=list(notes(outcome)),
            ends=ends,
            claims=claims,
            about=outcome.about,
            failures=outcome.failures,
            report=written,
            reported=reported,
        )
        return
    table(f"Answer by {outcome.experiment.answer_by}", answer_rows(outcome), False, width=100)
    for note in notes(outcome):
        typer.echo(note)
    table("How it ended", ends, False)
    table("Claims", claims, False)
    table("Reported beside simulated", reported, False)
    for assumed in assumptions(outcome):
        typer.echo(assumed)
    for failure in outcome.failures:
        typer.echo(f"failed: {failure}")
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


@contextmanager
def show_progress() -> Iterator[Progress]:
    """Show a bar on a terminal, and a line now and then elsewhere."""
    if not sys.stderr.isatty():
        yield Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = BarColumn(), TextColumn("{task.description}")
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting", total=None)
        yield lambda state: bar.update(
            task,
            completed=state.done,
            total=state.total,
            description=str(state),
        )


class Lines:
    """Prints how things stand: ten times in all, and whenever nothing was printed for long."""

    def __init__(self) -> None:
        """Begin now."""
        self._printed_s = time.monotonic()

    def __call__(self, state: Standing) -> None:
        """Print a line if it is time."""
        tenth = state.under_way is None and (
            state.finished == state.total or state.finished % max(1, state.total // 10) == 0
        )
        if tenth or time.monotonic() - self._printed_s >= LONG_S:
            self._printed_s = time.monotonic()
            typer.echo(str(state), err=True)
