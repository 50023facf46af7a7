"""``mmusim workload plot``: working sets in one figure."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmusim.base.errors import ConfigError
from mmusim.cli.shared.figures import save_figure
from mmusim.cli.shared.options import ToFigure
from mmusim.cli.shared.workload_views import use_of, working_sets


def plot(
    names: Annotated[list[str], typer.Argument(help="Patterns, workload files or trace files.")],
    to: ToFigure,
) -> None:
    """Draw the writable working set of workloads and recorded programs against window length."""
    from mmusim import plots

    uses = {Path(name).name.partition(".")[0]: use_of(name, "64MiB", 1) for name in names}
    units = {use.unit for use in uses.values()}
    if len(units) > 1:
        raise ConfigError.of(
            "workload plot", "NAMES", None, "are traces and patterns, whose windows have no unit "
            "in common", "draw traces and patterns apart",
        )  # fmt: skip
    curves = {name: working_sets(use)[0] for name, use in uses.items()}
    save_figure(to, lambda: plots.working_set(curves, units.pop()))
