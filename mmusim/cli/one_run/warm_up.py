"""``mmusim warm-up``: the warm-up of one run."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from mmusim.analysis.time_series import laps, utilisation
from mmusim.base.errors import ConfigError
from mmusim.base.units import parse_ns, show_ns, show_number
from mmusim.cli.shared.options import AsJson, ExperimentFile, Policy, Seed, SettingName
from mmusim.cli.shared.output import table
from mmusim.cli.shared.progress import show_one_run
from mmusim.cli.shared.single_run import Selection, planned, recorded
from mmusim.engine import simulate
from mmusim.stats.warm_up import mser5
from mmusim.timeline.record import MAX_SLICES


def warm_up(
    experiment: ExperimentFile,
    window: Annotated[
        str, typer.Option(help="Length of the windows, e.g. 100us.", show_default=False)
    ] = "",
    lap: Annotated[
        str, typer.Option(help="Or the phases whose name contains this text.", show_default=False)
    ] = "",
    policy: Policy = "",
    seed: Seed = None,
    setting: SettingName = "",
    as_json: AsJson = False,
) -> None:
    """Find how much of one run's beginning is warm-up, and describe the rest (MSER-5)."""
    if bool(window) == bool(lap):
        raise ConfigError.of(
            "warm-up", "--window", window or None, "or --lap must be given, and not both",
            "write e.g. --window 100us",
        )  # fmt: skip
    chosen = Selection(policy=policy, seed=seed, setting=setting)
    try:
        if window:
            series = utilisation(recorded(experiment, chosen, MAX_SLICES), round(parse_ns(window)))
        else:
            of, plan = planned(experiment, chosen)
            with show_one_run(of, plan) as tell:
                series = laps(simulate(plan, tell=tell), lap)
        found = mser5(series)
    except ValueError as error:
        if isinstance(error, ConfigError):
            raise
        rule, _, remedy = str(error).partition("; ")
        option, value = ("--window", window) if window else ("--lap", lap)
        raise ConfigError.of("warm-up", option, value, rule, remedy) from None
    what = f"windows of {window}" if window else f"laps of {lap!r}"
    row = asdict(found) | {"of": len(series), "raw_mean": float(series.mean())}
    if as_json:
        table("", [row], True, series=series.tolist())
        return
    show = show_number if window else show_ns
    typer.echo(f"Warm-up: the first {found.skip} of {len(series)} {what}.")
    typer.echo(
        f"After it: {show(found.mean)} (standard error {show(found.standard_error)}); with it "
        f"{show(float(series.mean()))}."
    )
