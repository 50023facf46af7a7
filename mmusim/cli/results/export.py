"""``mmusim export``: the runs of a run directory as one flat table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmusim.base.errors import ConfigError
from mmusim.base.files import whole
from mmusim.cli.shared.options import RunFolder


def export(
    folder: RunFolder,
    to: Annotated[Path, typer.Option("--to", help="The .csv or .parquet file to write.")],
) -> None:
    """Write the runs as one flat table; exit status 1 if runs failed or are still to be made."""
    from mmusim.store.run_table import frame

    if to.suffix not in (".csv", ".parquet"):
        raise ConfigError.of(
            "--to", str(to), None, "must end in .csv or .parquet", "choose one of the two"
        )
    data = frame(folder)
    try:
        with whole(to) as unfinished:
            if to.suffix == ".csv":
                data.map(_no_formula).to_csv(unfinished, index=False)
            else:
                data.to_parquet(unfinished, index=False)
    except ImportError:
        raise ConfigError.of(
            "--to", str(to), None, "needs pyarrow", "install mmusim[parquet], or write .csv"
        ) from None
    typer.echo(f"{len(data)} runs: {to}")
    if data.attrs["unfinished"] or data.attrs["failed"]:
        raise typer.Exit(1)


def _no_formula(value: object) -> object:
    """Return text that a spreadsheet shows unchanged: text that it would compute gets an
    apostrophe.
    """
    is_formula = isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{value}" if is_formula else value
