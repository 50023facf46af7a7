"""``mmusim exposure``: the exposure of the windows of stored runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mmusim.cli.shared.options import AsJson, ExperimentFile, Out


def exposure(
    experiment: ExperimentFile,
    apart: Annotated[
        bool,
        typer.Option("--apart", help="Only what differs by more than 10 % from the baseline."),
    ] = False,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Print the exposure of each window of stored runs: operations, pages, requests, locks."""
    from mmusim.analysis.answers import load
    from mmusim.cli.shared.output import table
    from mmusim.experiment import exposure as exposures

    outcome = load(Path(experiment), out)
    met = exposures.apart(outcome) if apart else exposures.rows(outcome)
    if as_json:
        table("", met, True)
    elif apart and not met:
        typer.echo("No exposure differs by more than 10 % from that of the baseline.")
    elif apart:
        baseline = outcome.experiment.policies.baseline
        table(f"Exposures more than 10 % from those of {baseline}", readable(met), False)
    else:
        table("Exposure, means over seeds", [shown(row) for row in met], False)
        for line in exposures.warnings(outcome):
            typer.echo(f"warning: {line}")


def readable(rows: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Return differences as people read them."""
    return [
        {key: row[key] for key in ("setting", "window", "policy", "differs_in")}
        | dict(zip(("value", "baseline"), row["shown"], strict=True))
        for row in rows
    ]


def shown(row: dict[str, Any]) -> dict[str, str]:
    """Return a row of exposures as people read it."""
    from mmusim.base.units import show_ns, show_number

    def count(name: str) -> str:
        return show_number(row[name])

    return {
        "setting": row["setting"],
        "window": row["window"],
        "policy": row["policy"],
        "length": show_ns(row["length"]),
        "logging_on": show_ns(row["time_with_logging_on"]),
        "operations": f"{count('operations_begun')} begun, {count('operations_ended')} ended",
        "armed": count("pages_armed"),
        "dirty": count("pages_reported_truly_dirty"),
        "falsely": count("pages_reported_falsely_dirty"),
        "accesses": count("accesses"),
        "requests": count("requests"),
        "mmu_lock": f"{row['lock_share']:.0%}",
        "left_over": count("leftover_faults"),
    }
