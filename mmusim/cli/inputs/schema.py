"""``mmusim schema``: the JSON schema of experiment files."""

from __future__ import annotations

import json

import typer

from mmusim.config.experiment import Experiment


def schema() -> None:
    """Print the JSON schema of experiment files, for editors."""
    typer.echo(json.dumps(Experiment.model_json_schema(by_alias=True), indent=1))
