"""Estimates over seeds with their studentized bootstrap: bounds and p-values from one source.

An interval is the union of two: Student's, which is right for normal values however few they are,
and that of the studentized bootstrap (Efron 1979; Hall, "The Bootstrap and Edgeworth Expansion",
1992), which follows skewed values. Each is made at 70 % of the error that is promised. Both
choices rest on measured coverage: `docs/evidence/coverage.md`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

RESAMPLES: Final = 9_999
"""Bootstrap samples of an estimate."""
SPENT: Final = 0.7
"""Share of the promised error at which each of the two intervals is made, by measured coverage."""
NOTHING: Final = 1e-12
"""A smaller error than this share of the values is rounding."""
ROUNDING: Final = 1e-6
"""A bootstrap sample whose error is a smaller share than this of the whole's does not vary."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean, a difference of means or the logarithm of a ratio of means, and its error."""

    value: float
    error: float  # standard error; 0: the seeds do not differ
    seeds: int
    draws: Floats  # studentized deviations of bootstrap samples, ascending

    def bounds(self, confidence: float) -> tuple[float, float]:
        """Return the interval of this confidence."""
        from scipy.stats import t

        if self.error == 0:
            return self.value, self.value
        tail = (1 - confidence) * SPENT / 2
        student = float(t.isf(tail, self.seeds - 1))
        below, above = np.quantile(self.draws, (tail, 1 - tail))
        return (
            self.value - max(student, float(above)) * self.error,
            self.value - min(-student, float(below)) * self.error,
        )

    def p_value(self, null: float = 0.0) -> float:
        """Return the smallest error whose interval leaves `null` out: two-sided.

        If the seeds do not differ, it is that of a sign test, 2^(1 - n).
        """
        from scipy.stats import t

        if self.error == 0:
            return 1.0 if self.value == null else 2.0 ** (1 - self.seeds)
        away = (self.value - null) / self.error
        count = len(self.draws)
        at_least = count - np.searchsorted(self.draws, away, side="left")
        at_most = np.searchsorted(self.draws, away, side="right")
        resampled = 2 * (1 + int(min(at_least, at_most))) / (count + 1)
        student = 2 * float(t.sf(abs(away), self.seeds - 1))
        return min(1.0, max(resampled, student) / SPENT)


def mean_estimate(values: Floats, seed: int = 0, resamples: int = RESAMPLES) -> Estimate:
    """Estimate a mean.

    Parameters
    ----------
    values : array, shape (seeds,)
        One value per seed.
    seed, resamples : int
        Seed and number of samples of the bootstrap. The same values give the same interval.
    """
    centre = float(values.mean())
    d = values - centre
    moved, squares = _resampled(np.stack([d, d**2], axis=1), seed, resamples)
    spread = len(d) * (squares - moved**2)
    return _estimate(centre, d, moved, spread)


def log_ratio_estimate(
    baseline: Floats, candidate: Floats, seed: int = 0, resamples: int = RESAMPLES
) -> Estimate:
    """Estimate the logarithm of a ratio of means, candidate / baseline, over pairs.

    The standard error is that of the delta method: of y_i / mean(y) - x_i / mean(x).

    Parameters
    ----------
    baseline, candidate : array, shape (seeds,), > 0
        Element i of both comes from seed i.
    seed, resamples : int
        Seed and number of samples of the bootstrap.
    """
    n = len(baseline)
    u = baseline / baseline.mean() - 1
    e = candidate / candidate.mean() - 1 - u
    value = float(np.log(candidate.mean() / baseline.mean()))
    columns = np.stack([u, e, e**2, e * (1 + u), (1 + u) ** 2], axis=1)
    mean_u, mean_e, ee, eu, uu = _resampled(columns, seed, resamples)
    # A sample's own influences are (e (1 + mean_u) - mean_e (1 + u)) / (its two means' product).
    whole = (1 + mean_u) * (1 + mean_u + mean_e)
    squares = (1 + mean_u) ** 2 * ee - 2 * (1 + mean_u) * mean_e * eu + mean_e**2 * uu
    return _estimate(value, e, np.log1p(mean_e / (1 + mean_u)), n * squares / whole**2)


def _estimate(value: float, influence: Floats, moved: Floats, squares: Floats) -> Estimate:
    """Studentize: `moved` are the bootstrap's deviations, `squares` their sums of squares."""
    n = len(influence)
    error = float(np.sqrt((influence**2).sum() / (n * (n - 1))))
    if error <= NOTHING * max(1.0, abs(value)):
        return Estimate(value=value, error=0.0, seeds=n, draws=np.zeros(1))
    errors = np.sqrt(np.maximum(squares, 0) / (n * (n - 1)))
    varies = errors > ROUNDING * error
    draws = np.divide(moved, errors, out=np.zeros_like(moved), where=varies)
    # A sample of equal seeds has no error: it deviates as far as any that has one.
    stuck = ~varies & (np.abs(moved) > ROUNDING * error)
    draws[stuck] = np.sign(moved[stuck]) * np.abs(draws).max()
    return Estimate(value=value, error=error, seeds=n, draws=np.sort(draws))


def _resampled(columns: Floats, seed: int, resamples: int) -> Floats:
    """Return the mean of each column, shape (seeds, columns), over bootstrap samples."""
    n = len(columns)
    return np.ascontiguousarray((_counts(n, seed, resamples) @ columns).T) / n


@lru_cache(maxsize=8)
def _counts(n: int, seed: int, resamples: int) -> Floats:
    """Return how often each sample takes each seed; one table serves all comparisons."""
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), resamples)
    return np.asarray(drawn, float)
