"""`mmusim vocabulary`: every cause, counter, cost and metric, with unit, direction and meaning."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmusim.cli.shared.ignored import refuse_ignored
from mmusim.cli.shared.options import AsJson

RENAMED = {
    "--pages": "--to",
}


def vocabulary(
    which: Annotated[
        str, typer.Argument(help="causes, counters, costs or metrics.", show_default=False)
    ] = "",
    as_json: AsJson = False,
    to: Annotated[
        Path | None,
        typer.Option("--to", help="Folder to write the reference pages into.", show_default=False),
    ] = None,
) -> None:
    """List causes, counters, costs or metrics, each with its unit, direction and meaning.

    Raises
    ------
    ConfigError
        If there is no such vocabulary, or the folder cannot be written.
    """
    from mmusim.base.errors import require_known
    from mmusim.base.files import whole
    from mmusim.cli.shared.output import table
    from mmusim.vocabulary.pages import PAGES, VOCABULARIES, rows

    if which:
        require_known(which, VOCABULARIES, "vocabulary", "WHICH", "is not a vocabulary")
    if to is not None:
        refuse_ignored("vocabulary", "with --to", {"WHICH": which, "--json": as_json})
        for name, page in PAGES.items():
            with whole(to / name) as unfinished:
                unfinished.write_text(page(), encoding="utf-8")
            typer.echo(f"written: {to / name}")
        return
    if which:
        table(which.capitalize(), rows(which), as_json)
        return
    table(
        "Vocabularies",
        [
            {"vocabulary": name, "names": str(len(terms)), "list": f"mmusim vocabulary {name}"}
            for name, terms in VOCABULARIES.items()
        ],
        as_json,
    )
