"""``mmusim publish``: a run directory as a Parquet dataset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from mmusim.cli.shared.options import AsJson, RunFolder
from mmusim.store.publish import publish as publish_folder


def publish(
    folder: RunFolder,
    to: Annotated[Path, typer.Option("--to", help="A new folder for the dataset.")],
    as_json: AsJson = False,
) -> None:
    """Write a run directory as a Parquet dataset with a manifest."""
    manifest = publish_folder(folder, to)
    if as_json:
        typer.echo(json.dumps(manifest, indent=1))
        return
    size = sum(file["bytes"] for file in manifest["files"].values())
    typer.echo(f"{manifest['runs']} runs, {size / 1e6:.2g} MB: {to}")
    typer.echo(f"""read them: duckdb -c "SELECT * FROM '{to}/runs.parquet'\"""")
