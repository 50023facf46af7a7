"""``mmusim validate``: how close predictions come to published times, or to this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmusim.cli.shared import ablation as ablations
from mmusim.cli.shared import full_size as full
from mmusim.cli.shared import live_page, live_validation, published_migrations, published_times
from mmusim.cli.shared.ignored import refuse_ignored
from mmusim.cli.shared.options import (
    AsJson,
    Grid,
    Record,
    Recorded,
    Scheduler,
    ToFolder,
    Workers,
)

REPEATS = 10


def validate(
    published: Annotated[
        Path | None,
        typer.Argument(help="A table of published times [the one shipped].", show_default=False),
    ] = None,
    to: ToFolder = None,
    full_size: Annotated[
        bool, typer.Option("--full-size", help="Time each published run at its full size.")
    ] = False,
    migrations: Annotated[
        bool, typer.Option("--migrations", help="Predict published migrations.")
    ] = False,
    live: Annotated[bool, typer.Option("--live", help="Compare with this machine's KVM.")] = False,
    recorded: Recorded = None,
    host: Annotated[
        str, typer.Option(help="With --live: a measured profile.", show_default=False)
    ] = "",
    record: Record = None,
    grid: Grid = None,
    laws: Annotated[
        str | None,
        typer.Option(help="Laws of load, separated by commas, or none [all].", show_default=False),
    ] = None,
    ablation: Annotated[
        bool, typer.Option("--ablation", help="Score each law of load alone, and without it.")
    ] = False,
    left_out: Annotated[
        str | None,
        typer.Option(
            "--leave-out",
            help="Sources, with commas: fit without, predict them.",
            show_default=False,
        ),
    ] = None,
    repeats: Annotated[
        int | None,
        typer.Option(min=2, max=1000, help="Runs of each setting [10].", show_default=False),
    ] = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    as_json: AsJson = False,
) -> None:
    """Predict published times from a few of them; with --live, this machine's latencies."""
    of_machines = {"--host": host, "--record": record, "--grid": grid, "--repeats": repeats}
    of_laws = {"--laws": laws, "--ablation": ablation, "--leave-out": left_out}
    if migrations:
        given: dict[str, object] = {"PUBLISHED": published, "--live": live, "--recorded": recorded}
        given |= {"--full-size": full_size, "--scheduler": scheduler} | of_laws
        fixed = {key: value for key, value in of_machines.items() if key != "--repeats"}
        refuse_ignored("validate", "with --migrations", given | fixed)
        published_migrations.validate(to, repeats, workers, as_json)
        return
    if full_size:
        other = {"--live": live, "--recorded": recorded} | of_laws
        where = {"--workers": workers, "--scheduler": scheduler}
        refuse_ignored("validate", "with --full-size", other | of_machines | where)
        raise typer.Exit(full.validate_full_size(published, to, as_json))
    if live or recorded is not None:
        refuse_ignored("validate", "for a machine", {"PUBLISHED": published} | of_laws)
        if recorded is not None:
            measuring = {"--live": live} | ({} if to else {"--repeats": repeats})
            refuse_ignored("validate", "with --recorded", measuring)
        else:
            refuse_ignored("validate", "without --recorded", {"--to": to})
        options = live_validation.Options(
            host, live, recorded, record, grid, repeats or REPEATS, workers, scheduler, as_json
        )
        if to is not None:
            unused = {"--record": record, "--grid": grid, "--json": as_json}
            refuse_ignored("validate", "with --recorded and --to", unused)
            live_page.write_page(options, to)
            return
        raise typer.Exit(live_validation.validate_live(options))
    refuse_ignored("validate", "without --live or --recorded", of_machines)
    if ablation:
        refuse_ignored("validate", "with --ablation", {"--laws": laws, "--leave-out": left_out})
        ablations.validate_ablation(published, to, workers, scheduler, as_json)
        return
    if left_out is not None:
        refuse_ignored("validate", "with --leave-out", {"--laws": laws, "--to": to})
        published_times.validate_left_out(published, left_out, workers, scheduler, as_json)
        return
    published_times.validate(published, to, workers, scheduler, as_json, laws)
