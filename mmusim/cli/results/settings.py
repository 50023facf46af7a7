"""``mmusim settings``: settings compared with settings under one policy, censored runs included."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmusim.cli.shared.options import AsJson, ExperimentFile, Out

if TYPE_CHECKING:
    from mmusim.experiment.across_settings import SettingContrast


def settings(
    experiment: ExperimentFile,
    metric: Annotated[
        str, typer.Option(help="Which [the one that answers].", show_default=False)
    ] = "",
    baseline: Annotated[
        str, typer.Option(help="The setting to compare with [the first].", show_default=False)
    ] = "",
    policy: Annotated[str, typer.Option(help="Only this one.", show_default=False)] = "",
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Compare the settings of stored runs with each other, under each policy."""
    from mmusim.analysis.answers import load
    from mmusim.cli.shared.output import table
    from mmusim.experiment.across_settings import setting_contrasts

    outcome = load(experiment, out)
    found = setting_contrasts(
        outcome, metric or outcome.experiment.answer_by, baseline=baseline, policy=policy
    )
    if as_json:
        table("", [asdict(one) | {"censored": one.censored} for one in found], True)
        return
    table(f"{found[0].metric} against {found[0].baseline}", [_row(one) for one in found], False)
    if any(one.censored for one in found):
        typer.echo("Runs that do not have the metric count as worse than all that do.")


def _row(one: SettingContrast) -> dict[str, Any]:
    from mmusim.base.units import show_number

    ratio = one.comparison.ratio if one.comparison is not None else None
    return {
        "policy": one.policy,
        "setting": one.candidate,
        "baseline_median": _amount(one.metric, one.baseline_median),
        "median": _amount(one.metric, one.candidate_median),
        "have_it": f"{one.baseline_known} and {one.candidate_known} of {one.seeds}",
        "better": f"{one.better.estimate:.2f} [{one.better.low:.2f}, {one.better.high:.2f}]",
        "ratio": ""
        if ratio is None
        else f"{show_number(ratio.estimate)} [{show_number(ratio.low)}, {show_number(ratio.high)}]",
    }


def _amount(metric: str, value: float) -> str:
    from math import isinf

    from mmusim.report.answers import amount

    return "none" if isinf(value) else amount(metric, value)
