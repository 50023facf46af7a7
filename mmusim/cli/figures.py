"""The verb ``plot``: figures by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from mmusim.base.errors import ConfigError, nearest
from mmusim.base.files import whole
from mmusim.cli.reports import default_folder
from mmusim.config.settings import load_settings
from mmusim.vocabulary import METRICS


def plot(
    figure: str, experiment: Path, to: Path, out: Path | None, metric: str, policy: str
) -> None:  # fmt: skip
    """Evaluate what is stored and draw one figure of it.

    Raises
    ------
    ConfigError
        If the figure, the metric, the policy or the file's name is wrong, or the experiment or its
        runs do not have what the figure shows.
    """
    from mmusim.analysis import load
    from mmusim.plots.catalogue import FIGURES

    if figure not in FIGURES:
        known = nearest(figure, [*FIGURES, "timeline", "utilisation"])
        raise ConfigError.of("plot", "FIGURE", figure, "is not a figure", known)
    settings = load_settings(experiment)[0]
    metric = metric or settings.answer_by
    METRICS.require(metric, "plot", "--metric")
    policy = policy or settings.policies.compare[0]
    if policy not in settings.policies.all:
        known = nearest(policy, settings.policies.all)
        raise ConfigError.of("plot", "--policy", policy, "is not in the experiment", known)
    if figure in ("phases", "swept") and not settings.sweep:
        raise ConfigError.of(
            str(experiment), "sweep", None, "is empty, so there is nothing to map", "add a sweep"
        )
    outcome = load(experiment, out or default_folder(experiment))

    def draw() -> Any:
        try:
            return FIGURES[figure].draw(outcome, metric, policy)
        except ValueError as error:
            rule, _, remedy = str(error).partition("; ")
            raise ConfigError.of("plot", "FIGURE", figure, rule, remedy) from None

    save_figure(to, draw)


def save_figure(to: Path, draw: Callable[[], Any]) -> None:
    """Draw a figure in the house style and write it, whole or not at all."""
    from mmusim import plots

    if to.suffix not in (".svg", ".png", ".pdf"):
        raise ConfigError.of(
            "--to", str(to), None, "must end in .svg, .png or .pdf", "choose one of the three"
        )
    with plots.style():
        figure = draw()
        with whole(to) as unfinished:
            figure.savefig(unfinished, format=to.suffix[1:], dpi=150)
    typer.echo(f"figure: {to}")
