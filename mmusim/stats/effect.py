"""Effect sizes: how large a difference is, without a unit."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from mmusim.stats.binomial import clopper_pearson
from mmusim.stats.intervals import Interval
from mmusim.stats.rows import pair


def cohens_d(baseline: ArrayLike, candidate: ArrayLike) -> float | None:
    """Return Cohen's d_z of pairs: mean over standard deviation of candidate - baseline.

    This is the effect size of the paired design. None if the differences do not vary.

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
    d = b - a
    spread = d.std(ddof=1)
    if spread <= 1e-12 * max(float(np.abs(d).max()), float(np.abs(a).max())):
        return None
    return float(d.mean() / spread)


def variance_ratio(baseline: ArrayLike, candidate: ArrayLike) -> float | None:
    """Return the variance of a paired comparison over that of an unpaired one.

    The variance of y / mean(y) - x / mean(x), which a ratio of means rests on, is divided by the
    sum of the variances of both terms (if a mean is zero, of plain values). Below 1 pairing helps:
    at 0.25 a quarter of the seeds is enough. Above 1 it harms. None if no value varies.

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
    if a.mean() != 0 != b.mean():
        a, b = a / a.mean(), b / b.mean()
    apart = float(a.var() + b.var())
    return float((b - a).var() / apart) if apart > 1e-20 else None


def superiority(
    baseline: ArrayLike,
    candidate: ArrayLike,
    *,
    more_is_better: bool = False,
    confidence: float = 0.95,
) -> Interval:
    """Probability that the candidate beats the baseline on a seed; a tie counts one half.

    The interval is that of Clopper and Pearson (1934), which covers at least as often as it says.
    With ties the number of wins is no whole number. The interval is then that of the beta
    distribution between whole numbers, and ties only make it wider than necessary.

    Parameters
    ----------
    baseline, candidate : array_like, shape (seeds,)
        Element i of both comes from seed i.
    more_is_better : bool
        The larger value wins.
    confidence : float in (0, 1)
        Coverage of the interval.

    Raises
    ------
    ValueError
        If the shapes differ or there are fewer than two seeds.
    """
    a, b = pair(baseline, candidate)
    d = (b - a) if more_is_better else (a - b)
    wins = float(np.sum(d > 0) + np.sum(d == 0) / 2)
    low, high = clopper_pearson(wins, len(d), confidence)
    return Interval(estimate=wins / len(d), low=low, high=high, confidence=confidence, seeds=len(d))
