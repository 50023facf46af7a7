"""``mmusim show``: an experiment with everything filled in."""

from __future__ import annotations

import tomli_w
import typer

from mmusim.cli.shared.options import ExperimentFile
from mmusim.config.resolved import resolved
from mmusim.config.run_size import described
from mmusim.config.settings import load_settings


def show(experiment: ExperimentFile) -> None:
    """Print every setting of an experiment with all defaults and costs filled in, as TOML.

    Comments say how many runs it has and how much each simulates at most.
    """
    for setting in load_settings(experiment)[1]:
        lines = [setting.name or "the only setting", *described(setting)]
        typer.echo("".join(f"# {line}\n" for line in lines) + tomli_w.dumps(resolved(setting)))
