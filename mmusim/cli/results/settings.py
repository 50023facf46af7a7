"""``mmusim settings``: settings compared with settings under one policy, censored runs included."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from mmusim.cli.shared.options import AsJson, ExperimentFile, Out


def settings(
    experiment: ExperimentFile,
    metric: Annotated[
        str,
        typer.Option(help="The metric [the one that answers the question].", show_default=False),
    ] = "",
    baseline: Annotated[
        str, typer.Option(help="The setting to compare with [the first].", show_default=False)
    ] = "",
    policy: Annotated[str, typer.Option(help="Only this policy [all].", show_default=False)] = "",
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Compare the settings of stored runs with each other, under each policy."""
    from mmusim.analysis.answers import load
    from mmusim.cli.shared.output import say, table
    from mmusim.experiment.across_settings import setting_contrasts
    from mmusim.report.across_settings import CENSORED, caveats, setting_rows

    outcome = load(experiment, out)
    found = setting_contrasts(
        outcome, metric or outcome.experiment.answer_by, baseline=baseline, policy=policy
    )
    if as_json:
        table("", [asdict(one) | {"censored": one.censored} for one in found], True)
        return
    table(
        f"{found[0].metric} against {found[0].baseline}",
        setting_rows(found),
        False,
        once=("policy",),
    )
    for line in caveats(found):
        say(line)
    if any(one.censored for one in found):
        say(f"{CENSORED}.")
