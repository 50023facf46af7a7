"""``mmusim examples``: the experiments, workloads and notebooks that come with mmusim."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmusim.cli.shared.ignored import refuse_ignored
from mmusim.cli.shared.options import AsJson


def examples(
    name: Annotated[
        str, typer.Argument(help="An example: copy it [list all].", show_default=False)
    ] = "",
    to: Annotated[
        Path | None, typer.Option("--to", help="Folder to copy it into [.].", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the experiments, workloads and notebooks that come with mmusim, or copy one."""
    from mmusim.cli.shared.output import table
    from mmusim.examples import copy_example
    from mmusim.examples import examples as shipped

    if not name:
        refuse_ignored("examples", "without NAME", {"--to": to})
        rows = [{"example": one.name, "what_it_is": one.about} for one in shipped()]
        table("Examples", rows, as_json)
        return
    to = to or Path()
    copied = copy_example(name, to)
    files = [str(to / file) for file in copied.files]
    start = str(to / copied.start)
    if as_json:
        row = {"example": copied.name, "what_it_is": copied.about}
        table("", [row], True, files=files, start=start)
        return
    for file in files:
        typer.echo(f"copied: {file}")
    typer.echo(f"next: {_next_step(copied.name, start)}")


def _next_step(name: str, start: str) -> str:
    """Return the first command to use with a copy."""
    kind = name.partition("/")[0]
    if kind == "experiments":
        return f"mmusim run {start}"
    if kind == "workloads":
        return f"mmusim workload show {start}"
    return f"open {start} in Jupyter (install mmusim[notebook])"
