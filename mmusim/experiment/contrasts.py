"""The paired comparisons of any metrics in an outcome, corrected as one family."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mmusim.base.errors import require_known
from mmusim.comparison.compare import Comparison, compare, corrected
from mmusim.experiment.over_hosts import compared_over_hosts
from mmusim.experiment.run import Outcome, SettingResult
from mmusim.vocabulary import METRICS


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """A comparison and where it was made."""

    setting: SettingResult
    comparison: Comparison


def contrasts(
    outcome: Outcome, metrics: Sequence[str], *, baseline: str = "", setting: str = ""
) -> list[Contrast]:
    """Compare every policy with the baseline in every setting, on each metric.

    Parameters
    ----------
    outcome : Outcome
        With the runs.
    metrics : sequence of str
        By name; where a run of a setting lacks one, it is left out there.
    baseline : str
        In place of the experiment's.
    setting : str
        Of the settings only this one.

    Returns
    -------
    list of Contrast
        Their p-values are adjusted over all of them together (Holm). Where other hosts were tried,
        each says on how many it holds.

    Raises
    ------
    ConfigError
        If there is no such metric, policy or setting.
    """
    policies = outcome.experiment.policies
    for metric in metrics:
        METRICS.require(metric, "statistics", "--metric")
    names = [result.setting.name for result in outcome.settings]
    for key, given, known, what in (
        ("--baseline", baseline or policies.baseline, policies.all, "policy of this experiment"),
        ("--setting", setting or names[0], names, "setting with runs"),
    ):
        require_known(given, known, "statistics", key, f"is not a {what}")
    base = baseline or policies.baseline
    made = [
        (
            result,
            compare(
                result.compared[base],
                result.compared[name],
                metric,
                alpha=result.look.alpha,
                matters=outcome.experiment.replications.matters,
            ),
        )
        for result in outcome.settings
        if not setting or result.setting.name == setting
        for metric in metrics
        if all(metric in run.values for runs in result.runs.values() for run in runs)
        for name in policies.all
        if name != base
    ]
    family = corrected([comparison for _, comparison in made])
    hosts = outcome.host_runs
    return [
        Contrast(
            setting=result,
            comparison=compared_over_hosts(comparison, hosts[name])
            if (name := result.setting.name) in hosts
            else comparison,
        )
        for (result, _), comparison in zip(made, family, strict=True)
    ]
