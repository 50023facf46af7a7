"""Settings compared with settings under one policy: strategies of a migration, hosts, sizes.

If a run does not have the metric, its value is censored, not unknown: a migration that did not
converge has no downtime, and counts as worse than any that has one. Nor has it a migration time:
when it was given up says only that it would have taken longer. So medians and the probability of
the better value are always given. Means and ratios are given only if every run has the metric.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from mmusim.base.errors import ConfigError, require_known
from mmusim.comparison.compare import Comparison, compare
from mmusim.comparison.pairing import MIN_SEEDS, on_shared_seeds
from mmusim.experiment.run import Outcome, SettingResult
from mmusim.metrics.few_beyond import least_known
from mmusim.metrics.measure import Metrics
from mmusim.stats import Interval, superiority
from mmusim.vocabulary import METRICS

END: Final = "migration_time"
"""The metric that a migration has only when it has ended by itself."""
GIVEN_UP: Final = ("did-not-converge", "cancelled")


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingContrast:
    """One metric of one policy in two settings, on the seeds that they share."""

    policy: str
    metric: str
    baseline: str  # the names of the settings
    candidate: str
    seeds: int
    baseline_known: int  # runs that have the metric
    candidate_known: int
    baseline_median: float  # infinite: half of the runs or more do not have it
    candidate_median: float
    better: Interval  # probability that the candidate is the better one on a seed
    comparison: Comparison | None  # where every run has the metric
    caveat: str = ""  # why the metric says little: a quantile with few times beyond it

    @property
    def censored(self) -> bool:
        """Whether some run does not have the metric."""
        return min(self.baseline_known, self.candidate_known) < self.seeds


def setting_contrasts(
    outcome: Outcome, metric: str, *, baseline: str = "", policy: str = ""
) -> list[SettingContrast]:
    """Compare every setting with one of them, under each policy.

    Parameters
    ----------
    outcome : Outcome
        The evaluated runs.
    metric : str
        Name of the metric.
    baseline : str
        Name of the setting that the others are compared with; by default the first.
    policy : str
        Name of the only policy to compare; by default all.

    Raises
    ------
    ConfigError
        If there is no such metric, setting or policy, or only one setting.
    """
    names = [result.setting.name for result in outcome.settings]
    policies = outcome.experiment.policies.all
    for key, given, known, what in (
        ("--metric", metric, list(METRICS), "metric"),
        ("--baseline", baseline or names[0], names, "setting with runs"),
        ("--policy", policy or policies[0], policies, "policy of this experiment"),
    ):
        require_known(given, known, "settings", key, f"is not a {what}")
    if len(names) < 2:
        raise ConfigError.of(
            outcome.experiment.id, "settings", len(names), "leaves nothing to compare",
            "add a variant or a sweep",
        )  # fmt: skip
    first = outcome.settings[names.index(baseline or names[0])]
    return [
        _contrast(first, other, name, metric)
        for name in ([policy] if policy else policies)
        for other in outcome.settings
        if other is not first
    ]


def _contrast(
    first: SettingResult, other: SettingResult, policy: str, metric: str
) -> SettingContrast:
    a_name, b_name = first.setting.name, other.setting.name
    runs = on_shared_seeds(
        {a_name: _named(first, policy, a_name), b_name: _named(other, policy, b_name)}
    )
    a, b = runs[a_name], runs[b_name]
    if len(a) < MIN_SEEDS:
        raise ConfigError.of(
            "settings", "seeds", len(a), f"are shared by {a_name!r} and {b_name!r}",
            f"run at least {MIN_SEEDS} of both",
        )  # fmt: skip
    x, y = values(a, metric), values(b, metric)
    known = [sum(map(math.isfinite, side)) for side in (x, y)]
    more = METRICS[metric].higher_is_better
    return SettingContrast(
        policy=policy,
        metric=metric,
        baseline=a_name,
        candidate=b_name,
        seeds=len(a),
        baseline_known=known[0],
        candidate_known=known[1],
        baseline_median=float(np.median(x)),
        candidate_median=float(np.median(y)),
        better=superiority(_ranks(x, x, y), _ranks(y, x, y), more_is_better=more),
        comparison=compare(a, b, metric) if min(known) == len(a) else None,
        caveat=least_known([*a, *b], metric),
    )


def _named(result: SettingResult, policy: str, name: str) -> list[Metrics]:
    return [replace(run, policy=name) for run in result.runs[policy]]


def values(runs: Sequence[Metrics], metric: str) -> list[float]:
    """Return a metric of each run, in its unit; infinity, as the worst, if a run lacks it.

    A migration that was given up lacks the time of its end.

    Parameters
    ----------
    runs : sequence of Metrics
        Runs of one policy.
    metric : str
        Name of the metric. The worst value is minus infinity if larger values are better.
    """
    worst = -math.inf if METRICS[metric].higher_is_better else math.inf
    return [
        worst if metric == END and run.outcome in GIVEN_UP else run.values.get(metric, worst)
        for run in runs
    ]


def _ranks(side: Sequence[float], *both: Sequence[float]) -> list[float]:
    """Return the rank of each value among both sides, because infinite values have no
    difference.
    """
    order = sorted({value for values in both for value in values})
    return [float(order.index(value)) for value in side]
