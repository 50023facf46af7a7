"""The verdicts of runs on claims: supported, refuted or inconclusive."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mmusim.comparison.pairing import Runs, UnlikeRunsError, column, paired
from mmusim.config.claims import Claim
from mmusim.config.settings import Setting
from mmusim.metrics.measure import Metrics, theory
from mmusim.stats import Interval, mean_interval, paired_difference, paired_ratio
from mmusim.stats.significance import ALPHA
from mmusim.vocabulary import METRICS

"""Error rate of an interval, or of a family of intervals."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The verdict on a claim in one setting."""

    says: str
    setting: str
    metric: str
    what: str  # the policies it is about
    measured: Interval
    expected: tuple[float, float]  # the range that it must lie in; infinite where there is no bound
    outcome: str  # supported, refuted, inconclusive
    origin: str  # origin of the claim, see mmusim.config.claims.Origin
    source: str
    refuted: str  # why the runs are known to refute it; empty: they are not
    reason: str = ""  # why nothing can be said; then what is measured is no number

    @property
    def surprises(self) -> bool:
        """Whether the claim is refuted although the file does not say so."""
        return self.outcome == "refuted" and not self.refuted


def judge(
    claim: Claim, setting: Setting, runs: Runs, family: int = 1, *, alpha: float = ALPHA
) -> Verdict:
    """Judge a claim in one setting.

    Supported: the whole interval lies in the expected range. Refuted: the two do not meet.
    Inconclusive: neither of the two. A theory is refuted if its value does not lie in the interval.
    It is supported if it does and the interval is no wider than the value.

    The ratio of two policies decides an order, or their difference where a value is zero. The best
    of k policies is compared with each other policy by an interval of confidence 1 - 0.05 / (k - 1)
    (Bonferroni). The reported measurement is the ratio or difference with the rival that is nearest
    to refuting it. A tie is inconclusive.

    Parameters
    ----------
    claim, setting, runs
        The claim, the setting, and its runs.
    family : int
        Number of settings in which a theory is tested. Its confidence is 1 - 0.05 / family
        (Bonferroni), so that a true theory passes in all of them 95 times of 100.
    alpha : float
        Error of the intervals, in place of 0.05: that of an interim analysis
        (:mod:`mmusim.experiment.stopping`).

    Raises
    ------
    UnlikeRunsError
        If a run does not have the metric, or a ratio of a zero metric is claimed.
    """
    what = " / ".join(claim.sides)
    if claim.ratio is not None:
        assert claim.expect is not None
        for side in reversed(claim.sides):
            _need_positive(claim, setting, runs[side])
        top, bottom = claim.sides
        measured = paired_ratio(*_columns(claim, runs, bottom, top), confidence=1 - alpha)
        expected = claim.expect[0], claim.expect[1]
    elif claim.difference is not None:
        assert claim.expect is not None
        top, bottom = claim.sides
        measured = paired_difference(*_columns(claim, runs, bottom, top), confidence=1 - alpha)
        what, expected = f"{top} - {bottom}", (claim.expect[0], claim.expect[1])
    elif claim.order is not None:
        one, other = claim.sides
        measured, what, expected = _against(
            claim, runs, one, other, alpha, higher=">" in claim.order
        )  # fmt: skip
    elif claim.best is not None:
        measured, what, expected = _best(claim, runs, alpha)
    else:
        measured, expected = _mean(claim, setting, runs, family, alpha)
    is_order = claim.order is not None or claim.best is not None
    return Verdict(
        says=claim.says,
        setting=setting.name,
        metric=claim.metric,
        what=what,
        measured=measured,
        expected=expected,
        outcome=_outcome(measured, expected, is_theory=claim.theory, open_=is_order),
        origin=claim.origin,
        source=claim.source,
        refuted=claim.refuted,
    )


def _columns(claim: Claim, runs: Runs, first: str, second: str) -> tuple[list[float], list[float]]:
    paired(runs[first], runs[second])
    return column(runs[first], claim.metric), column(runs[second], claim.metric)


def _mean(
    claim: Claim, setting: Setting, runs: Runs, family: int, alpha: float
) -> tuple[Interval, tuple[float, float]]:
    (policy,) = claim.sides
    values = column(runs[policy], claim.metric)
    if claim.theory:
        return mean_interval(values, 1 - alpha / family), (theory(claim.metric, setting),) * 2
    if claim.expect is not None:
        return mean_interval(values, 1 - alpha), (claim.expect[0], claim.expect[1])
    assert claim.published is not None
    assert claim.within is not None
    slack = claim.published * claim.within
    return mean_interval(values, 1 - alpha), (claim.published - slack, claim.published + slack)


def _against(
    claim: Claim,
    runs: Runs,
    one: str,
    other: str,
    alpha: float,
    *,
    higher: bool,
    within: float = 0.0,
) -> tuple[Interval, str, tuple[float, float]]:
    """Measure one policy against another, and return the expected range."""
    a, b = _columns(claim, runs, other, one)
    if min(a) > 0 and min(b) > 0:
        ratio = paired_ratio(a, b, confidence=1 - alpha)
        bounds = (1 - within, math.inf) if higher else (-math.inf, 1 + within)
        return ratio, f"{one} / {other}", bounds
    slack = within * abs(sum(a) / len(a))
    bounds = (-slack, math.inf) if higher else (-math.inf, slack)
    return paired_difference(a, b, confidence=1 - alpha), f"{one} - {other}", bounds


def _best(claim: Claim, runs: Runs, alpha: float) -> tuple[Interval, str, tuple[float, float]]:
    higher, within = METRICS[claim.metric].higher_is_better, claim.within or 0.0
    rivals = [name for name in runs if name != claim.best]
    assert claim.best is not None
    made = [
        _against(
            claim, runs, claim.best, rival,
            higher=higher, within=within, alpha=alpha / len(rivals),
        )
        for rival in rivals
    ]  # fmt: skip

    def merit(one: tuple[Interval, str, tuple[float, float]]) -> tuple[int, float]:
        interval, _, expected = one
        rank = ("refuted", "inconclusive", "supported").index(
            _outcome(interval, expected, open_=True)
        )
        estimate, (low, high) = interval.estimate, expected
        return rank, estimate - low if higher else high - estimate

    return min(made, key=merit)


def _need_positive(claim: Claim, setting: Setting, runs: Sequence[Metrics]) -> None:
    for run, value in zip(runs, column(runs, claim.metric), strict=True):
        if value <= 0:
            where = f" in {setting.name!r}" if setting.name else ""
            raise UnlikeRunsError(
                f"claim {claim.says!r}: {claim.metric} of {run.policy!r} with seed {run.seed}"
                f"{where} is {value:g}, so there is no ratio; give policy and expect, or leave "
                "this setting out by where"
            )


def _outcome(
    measured: Interval,
    expected: tuple[float, float],
    *,
    is_theory: bool = False,
    open_: bool = False,
) -> str:
    """Judge an interval. The ends of an open range do not belong to it."""
    low, high = expected
    if is_theory:
        says_something = measured.high - measured.low <= abs(low)
        return (
            "refuted" if low not in measured else "supported" if says_something else "inconclusive"
        )
    if open_:
        if low < measured.low and measured.high < high:
            return "supported"
        return "refuted" if measured.high < low or high < measured.low else "inconclusive"
    if low <= measured.low and measured.high <= high:
        return "supported"
    if measured.high < low or high < measured.low:
        return "refuted"
    return "inconclusive"
