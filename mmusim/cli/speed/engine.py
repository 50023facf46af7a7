"""What the compiled engine is made of: the places of its woven procedures, and their source."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from mmusim.cli.shared.ignored import refuse_ignored
from mmusim.cli.shared.options import AsJson
from mmusim.cli.shared.output import table


def engine(
    source: Annotated[
        bool, typer.Option("--source", help="Print what the weaver makes of the processes.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show what the compiled engine is woven from: the processes, line by line, or its source."""
    from mmusim.engine.compiled.weaving import WOVEN

    if source:
        refuse_ignored("engine", "with --source", {"--json": as_json or None})
        typer.echo(WOVEN.source, nl=False)
        return
    rows = []
    for place, where in WOVEN.places.items():
        procedure, file, line = _WHERE.fullmatch(where).groups()  # type: ignore[union-attr]
        rows.append({"place": place, "procedure": procedure, "file": file, "line": int(line)})
    table("Places at which a compiled vCPU goes on", rows, as_json)


_WHERE = re.compile(r"(\w+) \((.*):(\d+)\)")
