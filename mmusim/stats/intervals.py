"""Intervals over seeds: of a mean, of a paired difference, of a ratio of means."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from mmusim.stats.binomial import share_of_seeds
from mmusim.stats.marks import Mark, mark_of, unseen_share
from mmusim.stats.rows import pair, row
from mmusim.stats.studentized import (
    RESAMPLES,
    Estimate,
    Floats,
    log_ratio_estimate,
    mean_estimate,
)

LEAST_SEEDS: Final = 5
"""Fewer seeds give no interval: it is without bounds."""
RESOLUTION: Final = 0.001
"""No interval over seeds that differ is narrower than this share of the baseline to either side.
Paired runs show smaller differences, but costs known to a few per cent do not bear them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """An estimate with its interval, in the unit of the estimate."""

    estimate: float
    low: float
    high: float
    confidence: float
    seeds: int
    mark: Mark = ""

    @property
    def exists(self) -> bool:
        """Whether there are enough seeds for bounds."""
        return self.seeds >= LEAST_SEEDS

    @property
    def drawn(self) -> tuple[float, float]:
        """The bounds for a picture; without bounds, the estimate itself."""
        return (self.low, self.high) if self.exists else (self.estimate, self.estimate)

    def span(self, show: Callable[[float], str], apart: str = " .. ") -> str:
        """Write the bounds, each by `show`, with `apart` between them; `none` of too few seeds."""
        if not self.exists:
            return f"none of {self.seeds} seeds"
        return f"{show(self.low)}{apart}{show(self.high)}{'*' if self.mark else ''}"

    def __contains__(self, value: float) -> bool:
        """Tell whether a value lies in the interval, bounds included."""
        return self.low <= value <= self.high

    def __str__(self) -> str:
        """Write it for people."""
        if not self.exists:
            return f"{self.estimate:.4g} ({self.seeds} seeds: no interval)"
        marked = f"; {self.mark}" if self.mark else ""
        return (
            f"{self.estimate:.4g} [{self.low:.4g}, {self.high:.4g}] "
            f"({self.confidence:.4g} confidence, {self.seeds} seeds{marked})"
        )


def mean_interval(
    values: ArrayLike,
    confidence: float = 0.95,
    *,
    yes_or_no: bool = False,
    lowest: float = -math.inf,
    resolution: float = RESOLUTION,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Interval:
    """Mean over seeds with its interval (:mod:`mmusim.stats.studentized`).

    For positive values the interval is that of the logarithm. If no seed changes the value, both
    bounds are the value.

    Parameters
    ----------
    values : array_like, shape (seeds,)
        One value per seed.
    confidence : float in (0, 1)
        Coverage of the interval.
    yes_or_no : bool
        The mean of values 0 and 1 is a share of seeds, with Clopper and Pearson's interval; with
        the rule of three if all seeds are alike.
    lowest : float
        Least value that a mean can have; the interval ends there.
    resolution : float
        Least half width, as a share of the mean, where seeds differ.
    seed, resamples : int
        Seed and number of samples of the bootstrap.

    Raises
    ------
    ValueError
        If there are fewer than two seeds, or `yes_or_no` values other than 0 and 1.
    """
    x = row(values)
    if yes_or_no:
        return _share_of_seeds(x, confidence)
    mean = float(x.mean())
    if np.all(x > 0):
        log = log_ratio_estimate(np.ones(len(x)), x, seed, resamples)
        found = Estimate(value=mean, error=log.error, seeds=len(x), draws=log.draws)
        low, high = log.bounds(confidence)
        bounds = (_exp(low), _exp(high)) if log.error else (mean, mean)
    else:
        found = mean_estimate(x, seed, resamples)
        bounds = found.bounds(confidence)
    if found.error == 0:
        return _interval(found, bounds, confidence, "identical")
    least = resolution * abs(mean)
    low, high = _resolved(found, bounds, least)
    return _interval(found, (max(low, lowest), high), confidence, mark_of(x, least=least))


def _share_of_seeds(x: Floats, confidence: float) -> Interval:
    if not np.isin(x, (0, 1)).all():
        raise ValueError("a share of seeds needs values of 0 and 1; take the mean as it is")
    bounds = share_of_seeds(float(x.sum()), len(x), confidence)
    found = Estimate(value=float(x.mean()), error=0.0, seeds=len(x), draws=np.zeros(1))
    return _interval(found, bounds, confidence, "identical" if np.ptp(x) == 0 else "")


def paired_difference(
    baseline: ArrayLike,
    candidate: ArrayLike,
    *,
    confidence: float = 0.95,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Interval:
    """Mean of candidate - baseline over seeds, with its interval.

    Parameters are those of :func:`paired_ratio`; values may be of any sign, and so may the
    difference, which has their unit.

    Raises
    ------
    ValueError
        If the shapes differ or there are fewer than two seeds.
    """
    a, b = pair(baseline, candidate)
    found = mean_estimate(b - a, seed, resamples)
    if found.error == 0:
        return _identical(found, 0.0, _unseen(a, b), confidence)
    least = RESOLUTION * abs(float(a.mean()))
    bounds = _resolved(found, found.bounds(confidence), least)
    return _interval(found, bounds, confidence, mark_of(b - a, b - a, least))


def paired_ratio(
    baseline: ArrayLike,
    candidate: ArrayLike,
    *,
    confidence: float = 0.95,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Interval:
    """Ratio of means, candidate / baseline, with its interval over seeds.

    The interval is that of the logarithm (:func:`~mmusim.stats.studentized.log_ratio_estimate`).
    Below :data:`LEAST_SEEDS` seeds it has no bounds (minus and plus infinity). If all pairs are
    identical, or have one ratio over seeds that differ, the rule of three gives the bounds: a share
    1 - (1 - confidence)^(1/n) of seeds may differ unseen, by as much as the two most different
    seeds of one policy (by the mean, if all are alike).

    Parameters
    ----------
    baseline, candidate : array_like, shape (seeds,), > 0
        One value per seed in one unit; element i of both comes from seed i.
    confidence : float in (0, 1)
        Coverage of the interval.
    seed, resamples : int
        Seed and number of samples of the bootstrap. The same values give the same interval.

    Raises
    ------
    ValueError
        If the shapes differ, there are fewer than two seeds, or a value is not positive.
    """
    a, b = pair(baseline, candidate)
    if not (np.all(a > 0) and np.all(b > 0)):
        raise ValueError("a ratio needs positive values; compare a metric that never is zero")
    found = log_ratio_estimate(a, b, seed, resamples)
    ratio = Estimate(
        value=float(b.mean() / a.mean()), error=found.error, seeds=len(a), draws=found.draws
    )
    if found.error == 0:
        return _identical(ratio, 1.0, _unseen(a, b) / float(a.mean()), confidence)
    low, high = (_exp(bound) for bound in found.bounds(confidence))
    mark = mark_of(b / b.mean() - a / a.mean(), b - a, RESOLUTION / ratio.value)
    low, high = _resolved(ratio, (low, high), RESOLUTION)
    return _interval(ratio, (max(low, 0.0), high), confidence, mark)  # no ratio is negative


def paired_p_value(
    baseline: ArrayLike, candidate: ArrayLike, *, seed: int = 0, resamples: int = RESAMPLES
) -> float:
    """Return the two-sided p-value of equal means, from the source of the intervals.

    The p-value is at most 1 - confidence if the interval of the ratio excludes 1 (if a value is not
    positive: if the interval of the difference excludes 0). So the two never contradict each other.

    Parameters
    ----------
    baseline, candidate : array_like, shape (seeds,)
        One value per seed in one unit; element i of both comes from seed i.
    seed, resamples : int
        Seed and number of samples of the bootstrap.

    Raises
    ------
    ValueError
        If the shapes differ or there are fewer than two seeds.
    """
    a, b = pair(baseline, candidate)
    if len(a) < LEAST_SEEDS or are_identical(a, b):
        return 1.0
    positive = bool(np.all(a > 0) and np.all(b > 0))
    made = log_ratio_estimate(a, b, seed, resamples) if positive else None
    found = made or mean_estimate(b - a, seed, resamples)
    if found.error:
        return found.p_value()
    apart, size = abs(float(b.mean() - a.mean())), _unseen(a, b)
    if positive:  # of the ratio's interval
        apart, size = abs(float(b.mean() / a.mean()) - 1), size / float(a.mean())
    return max(found.p_value(), (1 - apart / size) ** len(a) if apart < size else 0.0)


def are_identical(baseline: Floats, candidate: Floats) -> bool:
    """Tell whether two policies have the same value in every seed."""
    return bool(np.array_equal(baseline, candidate))


def correlation(baseline: ArrayLike, candidate: ArrayLike) -> float | None:
    """Return Pearson's correlation over seeds, which pairing makes high; None if a row is constant.

    Parameters
    ----------
    baseline, candidate : array_like, shape (seeds,)
        Element i of both comes from seed i.

    Raises
    ------
    ValueError
        If the shapes differ or there are fewer than two seeds.
    """
    a, b = pair(baseline, candidate)
    varies = np.ptp(a) > 0 and np.ptp(b) > 0
    return float(np.corrcoef(a, b)[0, 1]) if varies else None


def _interval(of: Estimate, bounds: tuple[float, float], confidence: float, mark: Mark) -> Interval:
    low, high = bounds if of.seeds >= LEAST_SEEDS else (-math.inf, math.inf)
    return Interval(
        estimate=of.value, low=low, high=high, confidence=confidence, seeds=of.seeds,
        mark=mark if of.seeds >= LEAST_SEEDS else "few seeds",
    )  # fmt: skip


def _resolved(of: Estimate, bounds: tuple[float, float], half: float) -> tuple[float, float]:
    if of.error == 0:  # nothing is random here
        return bounds
    return min(bounds[0], of.value - half), max(bounds[1], of.value + half)


def _identical(of: Estimate, equal: float, size: float, confidence: float) -> Interval:
    """Give the rule of three; it leaves equality out only where a sign test does."""
    half = unseen_share(of.seeds, confidence) * size
    if size and 2.0 ** (1 - of.seeds) > 1 - confidence:
        half = max(half, abs(of.value - equal))
    return _interval(of, (of.value - half, of.value + half), confidence, "identical")


def _unseen(a: Floats, b: Floats) -> float:
    """Return how much unseen seeds may add: the range of `a`; if all are alike the mean, or 0."""
    return float(np.ptp(a)) or (abs(float(a.mean())) if are_identical(a, b) else 0.0)


def _exp(value: float) -> float:
    return math.exp(min(value, 700.0))
