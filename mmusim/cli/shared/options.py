"""Arguments and options that several verbs have, each with one meaning.

``--out`` is the folder in which runs are stored; ``--to`` is the file or folder that is written;
``--from`` and ``--until`` are times of a run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmusim.config.vm_and_host import MOST_HOSTS, MOST_SEED, MOST_SEEDS, enough_hosts

ExperimentFile = Annotated[
    Path, typer.Argument(help="An experiment file.", metavar="EXPERIMENT.toml")
]
RunFolder = Annotated[
    Path, typer.Argument(help="A run directory or a dataset.", metavar="FOLDER", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

Out = Annotated[
    Path | None,
    typer.Option("--out", help="Folder of the stored runs [results/ID].", show_default=False),
]
ToFigure = Annotated[Path, typer.Option("--to", help="The .svg, .png or .pdf file to write.")]
ToFolder = Annotated[
    Path | None, typer.Option("--to", help="Folder to write into.", show_default=False)
]
ToProfile = Annotated[Path, typer.Option("--to", help="The host profile to write.")]
ToTrace = Annotated[Path, typer.Option("--to", help="The trace file to write.")]

Seeds = Annotated[
    int | None,
    typer.Option(
        min=2, max=MOST_SEEDS, help="Number of replications [the file's].", show_default=False
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(min=1, max=1024, help="Local processes [one per processor].", show_default=False),
]
Scheduler = Annotated[
    str | None,
    typer.Option(help="Run on a Dask cluster: tcp://host:port.", show_default=False),
]
Engine = Annotated[
    str, typer.Option(help="auto, simpy or compiled; the results are equal.", metavar="NAME")
]

Policy = Annotated[str, typer.Option(help="The policy [the baseline].", show_default=False)]
Seed = Annotated[
    int | None,
    typer.Option(
        min=-MOST_SEED, max=MOST_SEED, help="The seed [the first].", show_default=False
    ),
]  # fmt: skip
SettingName = Annotated[
    str, typer.Option("--setting", help="The setting [the only one].", show_default=False)
]
From = Annotated[
    str,
    typer.Option(
        "--from", help="Start of the interval, a time of the run, e.g. 1.5ms.", show_default=False
    ),
]
Until = Annotated[
    str, typer.Option("--until", help="End of the interval, a time of the run.", show_default=False)
]
DEFAULT_QUANTUM = 1000
Quantum = Annotated[
    int | None,
    typer.Option(
        min=1, max=10**9, show_default=False,
        help="Keep at most one read and one write of a page in this many instructions "
        f"[{DEFAULT_QUANTUM}].",
    ),
]  # fmt: skip
Note = Annotated[str, typer.Option(help="Text to keep in the file, e.g. package and version.")]
Recorded = Annotated[
    Path | None,
    typer.Option(help="Use runs kept by --record, without KVM.", show_default=False),
]
Record = Annotated[
    Path | None, typer.Option(help="Keep the runs in this file.", show_default=False)
]
Grid = Annotated[
    Path | None,
    typer.Option(help="File of the settings to compare [the shipped one].", show_default=False),
]


def _hosts(count: int | None) -> int | None:
    """Check `--costs` as the file's number is checked."""
    try:
        return None if count is None else enough_hosts(count)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


Costs = Annotated[
    int | None,
    typer.Option(
        "--costs", min=0, max=MOST_HOSTS, callback=_hosts, show_default=False,
        help="Number of hosts with drawn costs on which verdicts are tested; 0: none [the file's].",
    ),
]  # fmt: skip
