"""What means and quantiles hide: the largest time of all seeds, and runs that did not end well."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from mmusim.comparison.verdicts import Verdict
from mmusim.experiment.outcome import Outcome
from mmusim.metrics.measure import Metrics
from mmusim.vocabulary import METRICS
from mmusim.vocabulary.amount import amount

FAMILIES: Final = ("latency", "request", "read", "write", "stall")
"""Distributions of which a run has quantiles and a maximum."""
GOOD_ENDS: Final = ("completed", "postcopy", "progress")


def worst_of(metric: str, runs: Sequence[Metrics]) -> str:
    """Write the largest request, access or stall of all seeds, for a metric that hides it.

    Of other metrics the worst seed; empty if no run has the metric.
    """
    name = _largest(metric)
    values = [run.values[name] for run in runs if name in run.values]
    worst = min if METRICS[name].higher_is_better else max
    return amount(name, worst(values)) if values else ""


def bad_ends(runs: Sequence[Metrics]) -> list[str]:
    """Write how many runs ended badly, for each way: ``2 of 5 did-not-converge``."""
    ends = Counter(run.outcome for run in runs if run.outcome and run.outcome not in GOOD_ENDS)
    return [f"{count} of {len(runs)} {end}" for end, count in ends.items()]


def extreme(metric: str, runs: Sequence[Metrics]) -> str:
    """Write the worst value of a metric, and the runs that did not end well."""
    return ", ".join(part for part in (worst_of(metric, runs), *bad_ends(runs)) if part)


def hidden_by(verdict: Verdict, outcome: Outcome) -> str:
    """Write what the value of a claim hides: for each policy, in the order of the claim.

    Empty where it hides nothing: the metric is no quantile or mean of times, and all ended well.
    """
    result = next((r for r in outcome.settings if r.setting.name == verdict.setting), None)
    if result is None:
        return ""
    sides = verdict.what.replace(" - ", " / ").split(" / ")
    runs = [result.runs[side] for side in sides if side in result.runs]
    if verdict.window:
        runs = [[run.within(verdict.window) for run in rows] for rows in runs]
    parts = []
    if _largest(verdict.metric) != verdict.metric:
        parts.append(" / ".join(worst_of(verdict.metric, rows) or "none" for rows in runs))
    ends = dict.fromkeys(end for rows in runs for end in bad_ends(rows))
    return ", ".join([*(f"worst {part}" for part in parts), *ends])


def _largest(metric: str) -> str:
    """Return the metric with the maximum of a distribution; for other metrics itself."""
    family = metric.rpartition("_")[2]
    return f"max_{family}" if family in FAMILIES else metric
