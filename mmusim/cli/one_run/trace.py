"""``mmusim trace``: the timeline of one run of an experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmusim.base.errors import ConfigError
from mmusim.base.files import check_place, whole
from mmusim.cli.shared.options import ExperimentFile, From, Policy, Seed, SettingName, Until
from mmusim.cli.shared.single_run import Selection, recorded, summary
from mmusim.config.settings import load_settings
from mmusim.store.provenance import model_version
from mmusim.timeline.record import MAX_SLICES

RENAMED = {
    "--limit": "--max-records",
}


def trace(
    experiment: ExperimentFile,
    policy: Policy = "",
    seed: Seed = None,
    setting: SettingName = "",
    start: From = "",
    end: Until = "",
    max_records: Annotated[
        int | None,
        typer.Option(
            min=1, max=10**8, help="Largest number of records to keep.", show_default=False
        ),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            "--to",
            help="The .json or .json.gz file to write [ID.trace.json.gz].",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Simulate one run and write its timeline for the Perfetto UI."""
    chosen = Selection(policy=policy, seed=seed, setting=setting, start=start, end=end)
    from mmusim.timeline.perfetto import write

    config, settings = load_settings(experiment)
    to = to or Path(f"{config.id}.trace.json.gz")
    if not to.name.endswith((".json", ".json.gz")):
        raise ConfigError.of(
            "--to", str(to), None, "must end in .json or .json.gz",
            "choose one of the two; `mmusim plot timeline` draws a figure, --until ends at a time",
        )  # fmt: skip
    check_place(to)
    timeline = recorded(experiment, chosen, max_records or MAX_SLICES)
    about = {
        "experiment": config.id,
        "setting": setting or settings[0].name,
        "model": model_version(),
    }
    with whole(to) as unfinished:
        write(timeline, unfinished, packed=to.suffix == ".gz", about=about)
    typer.echo(summary(timeline))
    typer.echo(f"trace: {to} (open it in the Perfetto UI)")
