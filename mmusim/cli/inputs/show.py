"""``mmusim show``: an experiment with everything filled in."""

from __future__ import annotations

import tomli_w
import typer

from mmusim.cli.shared.options import ExperimentFile
from mmusim.config.resolved import resolved
from mmusim.config.settings import load_settings


def show(experiment: ExperimentFile) -> None:
    """Print every setting of an experiment with all defaults and costs filled in, as TOML."""
    for setting in load_settings(experiment)[1]:
        typer.echo(f"# {setting.name or 'the only setting'}\n{tomli_w.dumps(resolved(setting))}")
