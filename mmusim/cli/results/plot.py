"""``mmusim plot``: figures by name."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mmusim.base.errors import ConfigError, require_known
from mmusim.cli.shared.figures import save_figure
from mmusim.cli.shared.ignored import refuse_ignored
from mmusim.cli.shared.options import (
    ExperimentFile,
    From,
    Out,
    Policy,
    Seed,
    SettingName,
    ToFigure,
    Until,
)
from mmusim.cli.shared.run_figures import plot_run
from mmusim.cli.shared.run_folders import default_folder
from mmusim.cli.shared.single_run import Selection
from mmusim.config.settings import load_settings
from mmusim.vocabulary import METRICS


def plot(
    figure: Annotated[
        str,
        typer.Argument(
            help="Of an experiment: ratios, across, swept, phases, horizons, latencies, ecdf, "
            "shift, decomposition, rounds, in-vain, service, postcopy-waits, theory. "
            "Of one run: timeline, utilisation."
        ),
    ],
    experiment: ExperimentFile,
    to: ToFigure,
    out: Out = None,
    policy: Policy = "",
    metric: Annotated[
        str,
        typer.Option(help="The metric [the one that answers the question].", show_default=False),
    ] = "",
    seed: Seed = None,
    setting: SettingName = "",
    start: From = "",
    end: Until = "",
    window: Annotated[
        str,
        typer.Option(
            help="With utilisation: length of its windows, e.g. 100us.", show_default=False
        ),
    ] = "",
) -> None:
    """Draw one figure of stored runs, or simulate one run and draw it.

    Raises
    ------
    ConfigError
        If the figure, the metric, the policy or the file's name is wrong, an option would make no
        difference, or the experiment or its runs do not have what the figure shows.
    """
    if figure in ("timeline", "utilisation"):
        of_experiments = {"--out": out, "--metric": metric}
        if figure == "timeline":
            of_experiments["--window"] = window
        refuse_ignored("plot", f"for {figure}", of_experiments)
        chosen = Selection(policy=policy, seed=seed, setting=setting, start=start, end=end)
        plot_run(figure, experiment, chosen, to, window)
        return
    of_runs = {"--seed": seed, "--setting": setting, "--from": start, "--until": end}
    refuse_ignored("plot", f"for {figure}", of_runs | {"--window": window})
    from mmusim.analysis import load
    from mmusim.plots.catalogue import FIGURES

    known = [*FIGURES, "timeline", "utilisation"]
    require_known(figure, known, "plot", "FIGURE", "is not a figure")
    settings = load_settings(experiment)[0]
    metric = metric or settings.answer_by
    METRICS.require(metric, "plot", "--metric")
    policy = policy or (settings.policies.compare or settings.policies.all)[0]
    rule = "is not in the experiment"
    require_known(policy, settings.policies.all, "plot", "--policy", rule)
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
