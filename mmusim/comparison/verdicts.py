"""The verdicts of runs on claims: supported, refuted or inconclusive."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmusim.comparison.pairing import Runs, UnlikeRunsError, paired, values_of
from mmusim.config.claims import Claim
from mmusim.config.settings import Setting
from mmusim.metrics.closed_forms import theory
from mmusim.metrics.measure import Metrics
from mmusim.stats import Interval, mean_interval, paired_difference, paired_ratio
from mmusim.stats.hosts import OverHosts
from mmusim.stats.significance import ALPHA
from mmusim.vocabulary import METRICS
from mmusim.vocabulary.metric import LOWEST


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
    over_hosts: OverHosts | None = None  # where the costs of the host were drawn
    window: str = ""  # of the driver; empty: what it measures
    reason: str = ""  # why nothing can be said; then what is measured is no number

    @classmethod
    def on(
        cls, claim: Claim, setting: Setting, what: str, measured: Interval,
        expected: tuple[float, float], outcome: str, reason: str = "",
    ) -> Verdict:  # fmt: skip
        """Return the verdict on a claim in a setting; what the claim says itself is taken over."""
        return cls(
            says=claim.says, setting=setting.name, metric=claim.metric, what=what,
            measured=measured, expected=expected, outcome=outcome, origin=claim.origin,
            source=claim.source, refuted=claim.refuted, window=claim.window, reason=reason,
        )  # fmt: skip

    @property
    def is_ratio(self) -> bool:
        """Whether a ratio of two policies was measured, which has no unit."""
        return " / " in self.what

    @property
    def surprises(self) -> bool:
        """Whether the claim is refuted although the file does not say so."""
        return self.outcome == "refuted" and not self.refuted


def judge(
    claim: Claim, setting: Setting, runs: Runs, family: int = 1, *, alpha: float = ALPHA
) -> Verdict:
    """Judge a claim in one setting.

    A claim is supported if the whole interval lies in the expected range. It is refuted if interval
    and range do not meet. Otherwise it is inconclusive. A theory is refuted if its value does not
    lie in the interval. It is supported if the value lies in the interval and the interval is no
    wider than the value.

    One setting can refute a claim about several settings. So there the interval has the confidence
    1 - 0.05 / settings (Bonferroni), and a true claim is refuted 5 times of 100 at most. The claim
    is supported if all settings support it, which needs no correction. With fewer than five seeds,
    or with a mark on the interval, the claim is inconclusive.

    The ratio of two policies decides an order, or their difference where a value is zero. The best
    of k policies is compared with each other policy by an interval of confidence 1 - 0.05 / (k - 1)
    (Bonferroni). The reported measurement is the ratio or difference with the rival that is nearest
    to refuting it. A tie is inconclusive.

    Parameters
    ----------
    claim, setting, runs
        The claim, the setting, and its runs.
    family : int
        Number of settings that the claim is about. For a theory the confidence is
        1 - 0.05 / family, so that a true theory passes in all settings 95 times of 100.
    alpha : float
        Error of the intervals, in place of 0.05: that of an interim analysis
        (:mod:`mmusim.experiment.stopping`).

    Raises
    ------
    UnlikeRunsError
        If a run does not have the metric, or a ratio of a zero metric is claimed.
    """
    measured, what, expected = _measured(claim, setting, runs, family, alpha)
    is_open = claim.order is not None or claim.best is not None
    outcome = _outcome(measured, expected, is_theory=claim.theory, open_=is_open)
    if outcome == "refuted" and family > 1 and not claim.theory:
        wide, _, expected_of_wide = _measured(claim, setting, runs, family, alpha / family)
        if _outcome(wide, expected_of_wide, open_=is_open) != "refuted":
            outcome = "inconclusive"
    if measured.mark not in ("", "identical"):
        outcome = "inconclusive"
    return Verdict.on(claim, setting, what, measured, expected, outcome)


def _measured(
    claim: Claim, setting: Setting, runs: Runs, family: int, alpha: float
) -> tuple[Interval, str, tuple[float, float]]:
    """Return the interval that judges a claim, its quantity, and its expected range."""
    if claim.ratio is not None or claim.difference is not None:
        assert claim.expect is not None
        top, bottom = claim.sides
        expected = claim.expect[0], claim.expect[1]
        if claim.difference is not None:
            rows = _columns(claim, runs, bottom, top)
            return paired_difference(*rows, confidence=1 - alpha), f"{top} - {bottom}", expected
        for side in reversed(claim.sides):
            _need_positive(claim, setting, runs[side])
        rows = _columns(claim, runs, bottom, top)
        return paired_ratio(*rows, confidence=1 - alpha), f"{top} / {bottom}", expected
    if claim.order is not None:
        one, other = claim.sides
        return _against(claim, runs, one, other, alpha, higher=">" in claim.order)
    if claim.best is not None:
        return _best(claim, runs, alpha)
    measured, expected = _mean(claim, setting, runs, family, alpha)
    return measured, claim.sides[0], expected


def point_of(claim: Claim, what: str, runs: Mapping[str, Metrics]) -> float | None:
    """Return the value that judges a claim, from one run of each policy.

    Parameters
    ----------
    claim : Claim
        The claim.
    what : str
        The quantity, as in :attr:`Verdict.what`: a ratio, a difference or a policy.
    runs : mapping
        One run of each policy, by its name.

    Returns
    -------
    float or None
        The value in the metric's unit; a ratio has none. None if a run does not have the metric, or
        there is no ratio.
    """
    for separator in (" / ", " - "):
        top, found, bottom = what.partition(separator)
        if not found:
            continue
        b, a = (runs[side].values.get(claim.metric) for side in (top, bottom))
        if a is None or b is None:
            return None
        if separator == " - ":
            return b - a
        return b / a if a > 0 and b > 0 else None
    return runs[what].values.get(claim.metric)


def _columns(claim: Claim, runs: Runs, first: str, second: str) -> tuple[list[float], list[float]]:
    paired(runs[first], runs[second])
    return values_of(runs[first], claim.metric), values_of(runs[second], claim.metric)


def _mean(
    claim: Claim, setting: Setting, runs: Runs, family: int, alpha: float
) -> tuple[Interval, tuple[float, float]]:
    (policy,) = claim.sides
    values = values_of(runs[policy], claim.metric)
    if claim.theory:
        closed = theory(claim.metric, setting)
        found = mean_interval(values, 1 - alpha / family, lowest=LOWEST, resolution=0.0)
        return found, (closed, closed)
    of = METRICS[claim.metric]
    found = mean_interval(values, 1 - alpha, yes_or_no=of.yes_or_no, lowest=LOWEST)
    if claim.expect is not None:
        return found, (claim.expect[0], claim.expect[1])
    assert claim.published is not None
    assert claim.within is not None
    slack = claim.published * claim.within
    return found, (claim.published - slack, claim.published + slack)


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
    for run, value in zip(runs, values_of(runs, claim.metric), strict=True):
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
