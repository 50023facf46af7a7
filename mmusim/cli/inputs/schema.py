"""``mmusim schema``: the JSON schema of experiment files."""

from __future__ import annotations

import json

import typer

from mmusim.config.schema import experiment_schema


def schema() -> None:
    """Print the JSON schema of experiment files, for editors."""
    typer.echo(json.dumps(experiment_schema(), indent=1))
