"""``mmusim evidence``: a page with the evidence for the model and every miss, on three levels."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final

import jinja2
import typer

from mmusim.base.files import check_place, whole
from mmusim.base.units import show_ns
from mmusim.cli.shared.arms import rows as arm_rows
from mmusim.cli.shared.arms import sentences as arm_sentences
from mmusim.cli.shared.figures import write_figure
from mmusim.cli.shared.ignored import refuse_ignored
from mmusim.cli.shared.live_validation import measured_profile, miss_rows, row, sentences
from mmusim.cli.shared.options import Grid, Scheduler, Workers
from mmusim.cli.shared.published_times import cost_rows, markdown, shown, summary, write
from mmusim.config.host import HostProfile, load_profile
from mmusim.conformance.kernel_cases import read_cases
from mmusim.conformance.replay import by_kernel, conform
from mmusim.validation.fit import fit
from mmusim.validation.live_arms import arms_of, predict_arms, read_arms
from mmusim.validation.live_grid import read_grid
from mmusim.validation.live_runs import load_runs, simulate_all
from mmusim.validation.live_score import score_all
from mmusim.validation.misses import cause
from mmusim.validation.predict import PROFILE, predict, the_machine
from mmusim.validation.published import read
from mmusim.validation.score import score

NAME: Final = "validation"
SHOWN: Final = 6
"""Settings whose distributions are drawn."""

RENAMED = {
    "--runs": "--recorded",
    "--arms-runs": "--arms-recorded",
}


def evidence(
    host: Annotated[str, typer.Option(help="A measured profile.")],
    recorded: Annotated[Path, typer.Option(help="Runs kept by validate --record.")],
    to: Annotated[
        Path,
        typer.Option(
            "--to", help="Folder to write into: validation.md, published-times.md and figures."
        ),
    ] = Path("docs/evidence"),
    cases: Annotated[
        list[Path] | None, typer.Option(help="Kernel counters; repeatable.", show_default=False)
    ] = None,
    arms: Annotated[Path | None, typer.Option(help="A file of arms.", show_default=False)] = None,
    arms_recorded: Annotated[
        Path | None, typer.Option(help="Runs kept by live --record.", show_default=False)
    ] = None,
    grid: Grid = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
) -> None:
    """Write the evidence for the model, with every miss: counts, published times, a live
    machine.
    """
    from mmusim import plots
    from mmusim.plots import live as live_plots

    if arms is None:
        refuse_ignored("evidence", "without --arms", {"--arms-recorded": arms_recorded})
    if arms_recorded is None:
        refuse_ignored("evidence", "without --arms-recorded", {"--arms": arms})
    profile = measured_profile("evidence", host)
    to.mkdir(parents=True, exist_ok=True)
    check_place(to / f"{NAME}.md")
    facts: dict[str, Any] = {"counts": counted(cases or [])}
    facts |= published(to, workers, scheduler)
    settings = read_grid(grid)
    stored, about = load_runs(recorded)
    measured = [run for run in stored if run.kind == "measured"]
    seeds = sorted({run.seed for run in measured})
    typer.echo(f"simulating {len(settings)} settings for {len(seeds)} seeds", err=True)
    runs = [
        *measured,
        *simulate_all(
            settings, about["base"], about["mmu"], host, seeds, workers=workers, scheduler=scheduler
        ),
    ]
    scores = score_all(settings, runs)
    names = list(dict.fromkeys(s.setting for s in scores))
    drawn = names[:: max(1, len(names) // SHOWN)][:SHOWN]
    figures = {
        "validation-ratios.svg": live_plots.ratios(scores),
        "validation-latencies.svg": live_plots.distributions(runs, drawn),
    }
    with plots.style():
        for name, figure in figures.items():
            write_figure(figure, to / name)
    facts |= {
        "machine": about, "profile": profile, "live": sentences(scores, about),
        "passes": markdown([row(s) for s in scores]), "misses": markdown(miss_rows(scores)),
        "different": [f"{s.setting}, {s.which}: {d}" for s in scores for d in s.differences],
        "costs": markdown(known(profile)), "repeats": len(seeds),
    }  # fmt: skip
    facts |= seed_thread(host, arms, arms_recorded, workers, scheduler)
    with whole(to / f"{NAME}.md") as unfinished:
        unfinished.write_text(document(facts), encoding="utf-8")
    typer.echo(f"written: {NAME}.md and its figures in {to}", err=True)


def counted(paths: Sequence[Path]) -> str:
    """Replay files of cases; return a table of the integers that equal each kernel's."""
    results = []
    for path in paths:
        cases = read_cases(path)
        typer.echo(f"replaying {len(cases)} cases of {path}", err=True)
        results += conform(cases)
    return markdown(by_kernel(results))


def published(to: Path, workers: int | None, scheduler: str | None) -> dict[str, Any]:
    """Fit and predict the published times, and write their own page into a folder.

    Returns what the document says of them. So both pages come from one fit.
    """
    values = read()
    typer.echo("predicting published times", err=True)
    machine = the_machine()
    fitted = fit(values, load_profile(PROFILE), workers, scheduler, machine)
    runs = {value.run for value in values if value.run is not None}
    predicted = predict(runs, fitted.costs, machine=machine, workers=workers, scheduler=scheduler)
    result = score(values, predicted)
    write(to, values, fitted, result, machine)
    missed = [shown(*r) | {"likely_cause": cause(r.published)} for r in result.rows if r.miss]
    return {
        "published": summary(result), "published_costs": markdown(cost_rows(fitted)),
        "published_misses": markdown(missed),
    }  # fmt: skip


def known(profile: HostProfile) -> list[dict[str, Any]]:
    """Return a row for each measured cost."""
    out = []
    for name, cost in profile.costs.items():
        if cost.provenance == "assumed":
            continue
        d, sure = cost.distribution(), cost.certainty
        out.append(
            {
                "cost": f"`{name}`", "median": show_ns(float(d.quantile(0.5))),
                "p99": show_ns(float(d.quantile(0.99))),
                "interval": f"{show_ns(sure.low)} to {show_ns(sure.high)}" if sure else "",
                "replicates": sure.replicates if sure else "", "how": cost.provenance,
                "note": cost.note,
            }
        )  # fmt: skip
    return out


def seed_thread(
    host: str, path: Path | None, runs: Path | None, workers: int | None, scheduler: str | None
) -> dict[str, Any]:
    """Predict the recorded arms of an experiment, if there are any."""
    if path is None or runs is None:
        return {"arms": "", "arms_say": []}
    file = read_arms(path)
    recorded, about = load_runs(runs)
    seeds = sorted({run.seed for run in recorded})
    predicted = predict_arms(
        file, about["policy"], about["mmu"], host, seeds, workers=workers, scheduler=scheduler
    )
    measured = [run for run in recorded if run.kind == "measured"]
    found = arms_of(file, [*measured, *predicted])
    return {"arms": markdown(arm_rows(found)), "arms_say": arm_sentences(found, about)}


def document(facts: dict[str, Any]) -> str:
    """Return what ``docs/evidence/validation.md`` says."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    text = (files("mmusim.validation") / "evidence.md.jinja").read_text(encoding="utf-8")
    return environment.from_string(text).render(**facts)
