"""What the compiled engine is made of: the places of its woven procedures, and their source."""

from __future__ import annotations

import re
from typing import Annotated, Any

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
    """List the places of the SimPy processes in the compiled engine, or print its woven source."""
    from mmusim.engine.compiled.weaving import ACTORS

    if source:
        refuse_ignored("engine", "with --source", {"--json": as_json or None})
        typer.echo("\n\n".join(woven.source for woven in ACTORS.values()), nl=False)
        return
    rows: list[dict[str, Any]] = []
    for actor, woven in ACTORS.items():
        for place, where in woven.places.items():
            procedure, file, line = _WHERE.fullmatch(where).groups()  # type: ignore[union-attr]
            about = {"place": place, "procedure": procedure, "file": file, "line": int(line)}
            rows.append({"actor": actor, **about})
    table("Places at which compiled actors go on", rows, as_json)


_WHERE = re.compile(r"(\w+) \((.*):(\d+)\)")
