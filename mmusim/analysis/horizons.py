"""One comparison over the windows of the runs: where its sign depends on the horizon."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from mmusim.base.errors import ConfigError
from mmusim.comparison.compare import Comparison, compare, corrected
from mmusim.comparison.exposure import no_verdict
from mmusim.comparison.pairing import Runs
from mmusim.experiment.outcome import Outcome, SettingResult
from mmusim.experiment.over_hosts import compared_over_hosts
from mmusim.vocabulary import METRICS
from mmusim.vocabulary.metrics import Scope

SURE: Final = 0.90
"""Least share of the tested hosts on which a claimed sign holds."""


def over_windows(
    outcome: Outcome, metric: str, policy: str
) -> dict[str, dict[str, Comparison | None]]:
    """Compare a policy with the baseline in every window of every setting.

    All of these are one family (Holm). None: a run lacks the metric there, or the setting does not
    have the window. Where the runs of other hosts are known, each comparison says on how many of
    them it holds.

    Parameters
    ----------
    outcome : Outcome
        Of an experiment whose driver has windows.
    metric : str
        One that the guest notices; what is of a whole run has no windows.
    policy : str
        Compared with the baseline.

    Returns
    -------
    dict
        By the name of the setting and by window, both in the order of the file.

    Raises
    ------
    ConfigError
        If the driver has no windows, or the metric is none of the guest's.
    """
    experiment = outcome.experiment
    names = [window.name for window in experiment.driver.windows]
    if not names:
        raise ConfigError.of(
            experiment.id, "driver.windows", None, "is empty, so there is one horizon only",
            "name windows, or draw phases or ratios",
        )  # fmt: skip
    if METRICS[metric].scope is not Scope.PHASE:
        raise ConfigError.of(
            experiment.id, "metric", metric, "is of the whole run, which has one horizon",
            "choose one that the guest notices, e.g. p99_request",
        )  # fmt: skip
    places = [(r, name) for r in outcome.settings for name in names]
    made = [_compared(r, metric, policy, window) for r, window in places]
    known = [(one, window) for one, (_, window) in zip(made, places, strict=True) if one]
    after = iter(corrected([one for one, _ in known], [window for _, window in known]))
    judged = [_judged(outcome, r, window, next(after)) if one else None
            for (r, window), one in zip(places, made, strict=True)]  # fmt: skip
    found: dict[str, dict[str, Comparison | None]] = {r.setting.name: {} for r in outcome.settings}
    for (r, window), one in zip(places, judged, strict=True):
        found[r.setting.name][window] = one
    return found


def is_sure(made: Comparison) -> bool:
    """Tell whether a sign may be claimed: a known outcome, enough times, and most hosts agree."""
    known = made.answer.outcome in ("better", "worse") and not made.answer.small and not made.caveat
    if made.over_hosts is None:
        return known
    return known and made.over_hosts.is_known and made.over_hosts.holds.estimate >= SURE


def _within(result: SettingResult, metric: str, window: str) -> Runs | None:
    """Return the runs of a setting in a window, if all of them have the metric there."""
    runs = result.compared
    if any(metric not in run.windows.get(window, ()) for rows in runs.values() for run in rows):
        return None
    return {policy: [run.within(window) for run in rows] for policy, rows in runs.items()}


def _compared(result: SettingResult, metric: str, policy: str, window: str) -> Comparison | None:
    policies = result.setting.experiment.policies
    runs = _within(result, metric, window)
    if runs is None:
        return None
    return compare(
        runs[policies.baseline], runs[policy], metric, alpha=result.look.alpha,
        matters=result.setting.experiment.replications.matters,
    )  # fmt: skip


def _judged(outcome: Outcome, result: SettingResult, window: str, made: Comparison) -> Comparison:
    """Add reasons against an answer, and the results of other hosts."""
    why = no_verdict(result.runs, made.baseline, made.candidate, window=window)
    if why:
        made = replace(made, answer=replace(made.answer, outcome="unknown", why=why))
    hosts = outcome.host_runs.get(result.setting.name)
    return compared_over_hosts(made, hosts.within(window)) if hosts else made
