"""``mmusim exposure``: the exposure of the windows of stored runs, and a page of evidence on it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from mmusim.base.errors import ConfigError
from mmusim.base.files import whole
from mmusim.cli.shared.ignored import refuse_ignored
from mmusim.cli.shared.options import AsJson, Out, Scheduler, Seeds, ToFolder, Workers

GROUPS: Final = ("setting", "window")
"""Columns that say what is above only once."""


def exposure(
    experiment: Annotated[
        Path,
        typer.Argument(
            help="An experiment file; with --to, or a folder of experiments.", metavar="PLACE"
        ),
    ],
    apart: Annotated[
        bool,
        typer.Option("--apart", help="Only what differs by more than 10 % from the baseline."),
    ] = False,
    out: Out = None,
    to: ToFolder = None,
    reduced: Annotated[
        bool, typer.Option("--reduced", help="With --to: run only what [reduced] keeps.")
    ] = False,
    seeds: Seeds = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    as_json: AsJson = False,
) -> None:
    """Print the exposure of each window of stored runs: operations, pages, requests, locks.

    With --to: make the runs that are missing, and write a page into a folder: exposure.md with
    --reduced, else exposure-full-size.md.
    """
    if to is not None:
        refuse_ignored("exposure", "with --to", {"--apart": apart, "--json": as_json})
        how: dict[str, Any] = {"seeds": seeds, "workers": workers, "scheduler": scheduler}
        write_page(experiment, out, to, reduced, **how)
        return
    refuse_ignored(
        "exposure", "without --to",
        {"--reduced": reduced, "--seeds": seeds, "--workers": workers, "--scheduler": scheduler},
    )  # fmt: skip
    from mmusim.analysis.answers import load
    from mmusim.cli.shared.output import say, table
    from mmusim.experiment import exposure as exposures

    outcome = load(Path(experiment), out)
    met = exposures.apart(outcome) if apart else exposures.rows(outcome)
    if as_json:
        table("", met, True)
    elif apart and not met:
        typer.echo("No exposure differs by more than 10 % from that of the baseline.")
    elif apart:
        baseline = outcome.experiment.policies.baseline
        table(
            f"Exposures more than 10 % from those of {baseline}", readable(met), False, once=GROUPS
        )
    else:
        table("Exposure, means over seeds", [shown(row) for row in met], False, once=GROUPS)
        for line in exposures.warnings(outcome):
            say(f"warning: {line}")


def write_page(
    place: Path, out: Path | None, to: Path, reduced: bool, *, seeds: int | None, **how: Any
) -> None:
    """Write the page of evidence, of the runs that are stored and of those that are missing.

    Ends the command: exit status 1, with a line for each, if runs failed.

    Raises
    ------
    ConfigError
        If an experiment cannot be run.
    """
    from mmusim.cli.shared.progress import show_progress
    from mmusim.experiment.claims import check, experiment_files
    from mmusim.experiment.exposure_page import NAMES, page
    from mmusim.store.provenance import commit

    outcomes = []
    with show_progress() as progress:
        for one in check(
            experiment_files([place]), out or Path("results"), seeds=seeds, reduced=reduced,
            progress=progress, costs=0, **how,
        ):  # fmt: skip
            if one.outcome is None:
                raise ConfigError.of(str(one.path), "runs", None, one.problem, "correct that first")
            outcomes.append((one.name, one.outcome))
    command = f"mmusim exposure {place}{' --reduced' * reduced}"
    command += (f" --seeds {seeds}" if seeds else "") + f" --to {to}"
    size = "Each experiment has the settings of its `[reduced]`" if reduced else "All settings"
    size += f" and {seeds} seeds." if seeds else " and its own number of seeds."
    to.mkdir(parents=True, exist_ok=True)
    name, made_at = NAMES[reduced], "" if reduced else commit()
    with whole(to / name) as unfinished:
        unfinished.write_text(page(outcomes, command, size, made_at), encoding="utf-8")
    typer.echo(f"written: {name} in {to}", err=True)
    failures = [failure for _, outcome in outcomes for failure in outcome.failures]
    for failure in failures:
        typer.echo(f"failed: {failure}")
    raise typer.Exit(1 if failures else 0)


def readable(rows: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Return differences as people read them."""
    return [
        {key: row[key] for key in ("setting", "window", "policy", "differs_in")}
        | dict(zip(("value", "baseline"), row["shown"], strict=True))
        for row in rows
    ]


def shown(row: dict[str, Any]) -> dict[str, str]:
    """Return a row of exposures as people read it."""
    from mmusim.base.units import show_mean, show_ns

    def count(name: str) -> str:
        return show_mean(row[name])

    return {
        "setting": row["setting"],
        "window": row["window"],
        "policy": row["policy"],
        "length": show_ns(row["length"]),
        "logging_on": show_ns(row["time_with_logging_on"]),
        "accesses": count("accesses"),
        "requests": count("requests"),
        "pages_armed": count("pages_armed"),
        "dirty_pages": count("pages_reported_truly_dirty"),
        "false_dirty_pages": count("pages_reported_falsely_dirty"),
        "leftover_faults": count("leftover_faults"),
        "mmu_lock_busy": f"{row['lock_share']:.0%}",
        "operations_begun": count("operations_begun"),
        "operations_ended": count("operations_ended"),
    }
