"""Statistics of paired replications. Pure functions of arrays.

The seed is the unit of replication: a run gives one figure per metric, and intervals are over
seeds. Accesses within a run are never pooled as if they were independent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


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

    x = _row(values)
    half = t.ppf((1 + confidence) / 2, len(x) - 1) * x.std(ddof=1) / np.sqrt(len(x))
    mean = float(x.mean())
    return Interval(
        estimate=mean, low=mean - half, high=mean + half, confidence=confidence, seeds=len(x)
    )


def paired_ratio(
    baseline: ArrayLike, candidate: ArrayLike, *, confidence: float = 0.95, seed: int = 0
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

    Raises
    ------
    ValueError
        If the shapes differ, there are fewer than two seeds, or a figure is not positive.
    """
    a, b = _row(baseline), _row(candidate)
    if a.shape != b.shape:
        raise ValueError(f"pairs need rows of equal length, got {len(a)} and {len(b)} seeds")
    if not (np.all(a > 0) and np.all(b > 0)):
        raise ValueError("a ratio needs positive figures; compare a metric that never is zero")

    def ratio(x: Floats, y: Floats, axis: int = -1) -> Any:
        return y.mean(axis=axis) / x.mean(axis=axis)

    low, high = _bca(ratio, (a, b), confidence, seed)
    return Interval(
        estimate=float(ratio(a, b)), low=low, high=high, confidence=confidence, seeds=len(a)
    )


def _bca(
    statistic: Callable[..., Any], rows: tuple[Floats, ...], confidence: float, seed: int
) -> tuple[float, float]:
    from scipy.stats import bootstrap

    jackknife = [
        statistic(*(np.delete(row, i) for row in rows)) for i in range(len(rows[0]))
    ]  # fmt: skip
    if np.ptp(jackknife) <= 1e-12 * abs(jackknife[0]):  # nothing varies: the interval is a point
        point = float(statistic(*rows))
        return point, point
    result = bootstrap(
        rows, statistic, paired=True, vectorized=True, confidence_level=confidence,
        n_resamples=9_999, method="BCa", rng=np.random.default_rng(seed),
    )  # fmt: skip
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def correlation(baseline: ArrayLike, candidate: ArrayLike) -> float | None:
    """Pearson correlation over seeds: what pairing achieved; None if a row does not vary."""
    a, b = _row(baseline), _row(candidate)
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(np.corrcoef(a, b)[0, 1])


def _row(values: ArrayLike) -> Floats:
    x = np.asarray(values, float)
    if x.ndim != 1 or len(x) < 2:
        raise ValueError(f"need a row of at least 2 seeds, got shape {x.shape}; run more seeds")
    return x
