"""Arguments and options that several verbs have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ExperimentFile = Annotated[
    Path, typer.Argument(help="An experiment file.", metavar="EXPERIMENT.toml")
]
RunFolder = Annotated[Path, typer.Argument(help="A run directory.", metavar="FOLDER")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Out = Annotated[Path | None, typer.Option(help="Run directory [results/ID]", show_default=False)]
Engine = Annotated[
    str, typer.Option(help="auto, simpy or compiled: the same results.", metavar="NAME")
]

Policy = Annotated[str, typer.Option(help="The policy [the baseline].", show_default=False)]
Seed = Annotated[int | None, typer.Option(help="The seed [the first].", show_default=False)]
SettingName = Annotated[str, typer.Option("--setting", help="The setting [the only one].")]
From = Annotated[str, typer.Option("--from", help="From this time of the run, e.g. 1.5ms.")]
Costs = Annotated[
    int | None,
    typer.Option(
        "--costs", min=0, show_default=False,
        help="Hosts with drawn costs on which verdicts are tried, 0 for none [the file's].",
    ),
]  # fmt: skip
