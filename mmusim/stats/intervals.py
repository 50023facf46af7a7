"""Intervals over seeds: of a mean, of a paired difference, of a ratio of means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
RESAMPLES: Final = 9_999
"""Bootstrap samples of an interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """An estimate and how sure we are of it."""

    estimate: float
    low: float
    high: float
    confidence: float
    seeds: int

    def __contains__(self, value: float) -> bool:
        """Tell whether a value lies in the interval, bounds included."""
        return self.low <= value <= self.high

    def __str__(self) -> str:
        """Write it for people."""
        return (
            f"{self.estimate:.4g} [{self.low:.4g}, {self.high:.4g}] "
            f"({self.confidence:.4g} confidence, {self.seeds} seeds)"
        )


def mean_interval(values: ArrayLike, confidence: float = 0.95) -> Interval:
    """Mean with Student's interval.

    Parameters
    ----------
    values : array_like, shape (seeds,)
        One figure per seed.
    confidence : float in (0, 1)
        Coverage of the interval.

    Raises
    ------
    ValueError
        If there are fewer than two seeds.
    """
    from scipy.stats import t

    x = row(values)
    half = t.ppf((1 + confidence) / 2, len(x) - 1) * x.std(ddof=1) / np.sqrt(len(x))
    mean = float(x.mean())
    return Interval(
        estimate=mean, low=mean - half, high=mean + half, confidence=confidence, seeds=len(x)
    )


def paired_difference(
    baseline: ArrayLike,
    candidate: ArrayLike,
    *,
    confidence: float = 0.95,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Interval:
    """Mean of candidate - baseline over seeds, with a BCa bootstrap interval.

    Parameters are those of :func:`paired_ratio`; figures may be of any sign, and so may the
    difference, which has their unit.

    Raises
    ------
    ValueError
        If the shapes differ or there are fewer than two seeds.
    """
    a, b = pair(baseline, candidate)
    return _bootstrapped(_mean, (b - a,), confidence, seed, resamples)


def paired_ratio(
    baseline: ArrayLike,
    candidate: ArrayLike,
    *,
    confidence: float = 0.95,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Interval:
    """Ratio of means, candidate / baseline, with a BCa bootstrap interval over seeds.

    Parameters
    ----------
    baseline, candidate : array_like, shape (seeds,), > 0
        One figure per seed in one unit; element i of both comes from seed i.
    confidence : float in (0, 1)
        Coverage of the interval (Efron 1987, as in :func:`scipy.stats.bootstrap`).
    seed : int
        Of the resampling, so that a published interval can be recomputed.
    resamples : int
        How many.

    Raises
    ------
    ValueError
        If the shapes differ, there are fewer than two seeds, or a figure is not positive.
    """
    a, b = pair(baseline, candidate)
    if not (np.all(a > 0) and np.all(b > 0)):
        raise ValueError("a ratio needs positive figures; compare a metric that never is zero")
    return _bootstrapped(_ratio, (a, b), confidence, seed, resamples)


def correlation(baseline: ArrayLike, candidate: ArrayLike) -> float | None:
    """Pearson correlation over seeds: what pairing achieved; None if a row does not vary."""
    a, b = pair(baseline, candidate)
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(np.corrcoef(a, b)[0, 1])


def row(values: ArrayLike) -> Floats:
    """Return one figure per seed as an array.

    Raises
    ------
    ValueError
        If it is no row of at least two.
    """
    x = np.asarray(values, float)
    if x.ndim != 1 or len(x) < 2:
        raise ValueError(f"need a row of at least 2 seeds, got shape {x.shape}; run more seeds")
    return x


def pair(baseline: ArrayLike, candidate: ArrayLike) -> tuple[Floats, Floats]:
    """Return two rows whose elements i come from one seed.

    Raises
    ------
    ValueError
        If they are not rows of equal length.
    """
    a, b = row(baseline), row(candidate)
    if a.shape != b.shape:
        raise ValueError(f"pairs need rows of equal length, got {len(a)} and {len(b)} seeds")
    return a, b


def _mean(x: Floats, axis: int = -1) -> Any:
    return x.mean(axis=axis)


def _ratio(x: Floats, y: Floats, axis: int = -1) -> Any:
    return y.mean(axis=axis) / x.mean(axis=axis)


def _bootstrapped(
    statistic: Callable[..., Any],
    rows: tuple[Floats, ...],
    confidence: float,
    seed: int,
    resamples: int,
) -> Interval:
    from scipy.stats import bootstrap

    estimate = float(statistic(*rows))
    jackknife = [statistic(*(np.delete(x, i) for x in rows)) for i in range(len(rows[0]))]
    scale = max(float(np.abs(x).max()) for x in rows) if len(rows) == 1 else abs(estimate)
    low = high = estimate
    if np.ptp(jackknife) > 1e-12 * scale:  # else nothing varies: the interval is a point
        found = bootstrap(
            rows, statistic, paired=True, vectorized=True, confidence_level=confidence,
            n_resamples=resamples, method="BCa", rng=np.random.default_rng(seed),
        ).confidence_interval  # fmt: skip
        low, high = float(found.low), float(found.high)
    return Interval(
        estimate=estimate, low=low, high=high, confidence=confidence, seeds=len(rows[0])
    )
