"""From metrics to answers: policies compared on equal seeds, and verdicts on claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmusim.config.cells import Cell
from mmusim.config.claims import Claim
from mmusim.errors import MmusimError
from mmusim.metrics import Metrics, theory
from mmusim.stats import Interval, correlation, mean_interval, paired_ratio

Runs = Mapping[str, Sequence[Metrics]]
"""Runs of one cell by policy, each sorted by seed."""


class UnlikeRunsError(MmusimError):
    """Runs cannot be compared because more than the policy differs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One metric of two policies on equal seeds."""

    metric: str
    baseline: str
    candidate: str
    baseline_mean: Interval
    candidate_mean: Interval
    baseline_median: float
    candidate_median: float
    ratio: Interval | None  # candidate / baseline; None where a figure is zero
    correlation: float | None  # over seeds; what pairing achieved


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the runs say about a claim in one cell."""

    says: str
    cell: str
    metric: str
    what: str  # the policies it is about
    measured: Interval
    expected: tuple[float, float]
    outcome: str  # supported, refuted, inconclusive


def column(runs: Sequence[Metrics], metric: str) -> list[float]:
    """Return a metric of each run.

    Raises
    ------
    UnlikeRunsError
        If some run does not have it.
    """
    for run in runs:
        if metric not in run.values:
            raise UnlikeRunsError(
                f"{metric} is not defined in the run of {run.policy!r} with seed {run.seed}; "
                "compare a metric that every run has"
            )
    return [run.values[metric] for run in runs]


def compare(baseline: Sequence[Metrics], candidate: Sequence[Metrics], metric: str) -> Comparison:
    """Compare two policies on one metric.

    Raises
    ------
    UnlikeRunsError
        If the seeds differ, or a run does not have the metric.
    ValueError
        If there are fewer than two seeds.
    """
    seeds = [run.seed for run in baseline], [run.seed for run in candidate]
    if seeds[0] != seeds[1]:
        odd = sorted(set(seeds[0]) ^ set(seeds[1]))
        raise UnlikeRunsError(
            f"{baseline[0].policy!r} and {candidate[0].policy!r} ran on different seeds: {odd} "
            "are missing on one side; run them on the same"
        )
    a, b = column(baseline, metric), column(candidate, metric)
    return Comparison(
        metric=metric,
        baseline=baseline[0].policy,
        candidate=candidate[0].policy,
        baseline_mean=mean_interval(a),
        candidate_mean=mean_interval(b),
        baseline_median=_median(a),
        candidate_median=_median(b),
        ratio=paired_ratio(a, b) if min(a) > 0 and min(b) > 0 else None,
        correlation=correlation(a, b),
    )


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return (ordered[middle] + ordered[~middle]) / 2


def judge(claim: Claim, cell: Cell, runs: Runs, family: int = 1) -> Verdict:
    """Judge a claim in one cell.

    Supported: the whole interval lies in the expected range (for a theory, the theory lies in the
    interval). Refuted: the two do not meet. Inconclusive: anything else.

    Parameters
    ----------
    claim, cell, runs
        What is claimed, where, and the runs there.
    family : int
        How many cells a theory is tested in; its confidence is 1 - 0.05 / family (Bonferroni),
        so that a true theory passes in all of them 95 times of 100.

    Raises
    ------
    UnlikeRunsError
        If a run does not have the metric, or a ratio is claimed of one that is zero.
    """
    if claim.ratio is not None:
        top, bottom = claim.sides
        assert claim.expect is not None
        for side in (bottom, top):
            _need_positive(claim, cell, runs[side])
        measured = paired_ratio(column(runs[bottom], claim.metric), column(runs[top], claim.metric))
        expected = (claim.expect[0], claim.expect[1])
    else:
        (policy,) = claim.sides
        values = column(runs[policy], claim.metric)
        if claim.theory:
            measured = mean_interval(values, 1 - 0.05 / family)
            expected = (theory(claim.metric, cell),) * 2
        else:
            measured = mean_interval(values)
        if claim.expect is not None:
            expected = (claim.expect[0], claim.expect[1])
        elif not claim.theory:
            assert claim.published is not None
            assert claim.within is not None
            slack = claim.published * claim.within
            expected = (claim.published - slack, claim.published + slack)
    return Verdict(
        says=claim.says,
        cell=cell.name,
        metric=claim.metric,
        what=" / ".join(claim.sides),
        measured=measured,
        expected=expected,
        outcome=_outcome(measured, expected, claim.theory),
    )


def _need_positive(claim: Claim, cell: Cell, runs: Sequence[Metrics]) -> None:
    for run, value in zip(runs, column(runs, claim.metric), strict=True):
        if value <= 0:
            where = f" in {cell.name!r}" if cell.name else ""
            raise UnlikeRunsError(
                f"claim {claim.says!r}: {claim.metric} of {run.policy!r} with seed {run.seed}"
                f"{where} is {value:g}, so there is no ratio; give policy and expect, or leave "
                "this setting out by where"
            )


def _outcome(measured: Interval, expected: tuple[float, float], is_theory: bool) -> str:
    low, high = expected
    if is_theory:
        return "supported" if low in measured else "refuted"
    if low <= measured.low and measured.high <= high:
        return "supported"
    if measured.high < low or high < measured.low:
        return "refuted"
    return "inconclusive"
