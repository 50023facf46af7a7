"""``mmusim index``: a page over the reports of a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def index(
    folder: Annotated[Path, typer.Argument(help="A folder of run directories.")] = Path("results"),
) -> None:
    """Write index.html into a folder of run directories: questions, answers, verdicts, links."""
    from mmusim.report import write_index

    typer.echo(f"index: {write_index(folder)}")
