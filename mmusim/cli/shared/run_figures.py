"""Figures of one run: its timeline, and its utilisation over time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from mmusim.base.errors import ConfigError
from mmusim.base.files import check_place
from mmusim.cli.shared.figures import save_figure
from mmusim.cli.shared.single_run import Selection, recorded, summary, time_of
from mmusim.timeline.record import MAX_SLICES

PICTURE_MAX_SLICES = 40_000
"""Most records of a figure. With more, single records cannot be seen and the SVG is huge."""


def plot_run(
    figure: str, experiment: Path, chosen: Selection, to: Path, window: str = ""
) -> None:  # fmt: skip
    """Simulate one run and draw its timeline, or its utilisation over time."""
    from mmusim import plots

    length = time_of("--window", window)
    check_place(to)
    timeline = recorded(
        experiment, chosen, PICTURE_MAX_SLICES if figure == "timeline" else MAX_SLICES
    )

    def draw() -> Any:
        if figure == "timeline":
            return plots.timeline(timeline)
        try:
            return plots.utilisation(timeline, length)
        except ValueError as error:
            rule, _, remedy = str(error).partition("; ")
            raise ConfigError.of("plot", "--window", window, rule, remedy) from None

    save_figure(to, draw)
    typer.echo(summary(timeline))
