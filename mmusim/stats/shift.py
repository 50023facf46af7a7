"""The shift function: how two policies' latencies differ, quantile by quantile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from mmusim.base.histogram import Histogram
from mmusim.stats.studentized import Floats

QUANTILES: Final = (
    0.01, 0.05, *(round(0.1 * i, 1) for i in range(1, 10)), 0.95, 0.99, 0.999, 0.9999,
)  # fmt: skip
LEAST_SEEDS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """Quantile differences of two policies with a band over seeds. Arrays of one length."""

    p: Floats  # which quantiles
    baseline_ns: Floats  # mean over seeds of the run's quantile
    candidate_ns: Floats
    difference_ns: Floats  # candidate - baseline
    low_ns: Floats  # simultaneous: the whole curve lies within with this confidence
    high_ns: Floats
    confidence: float
    seeds: int
    times: int  # of the run that has fewest


def shift_function(
    baseline: Sequence[Histogram],
    candidate: Sequence[Histogram],
    *,
    quantiles: Sequence[float] = QUANTILES,
    confidence: float = 0.95,
    resamples: int = 4_999,
    seed: int = 0,
) -> Shift:
    """Compare two latency distributions at many quantiles (Doksum 1974).

    Each run gives one value per quantile; the curve is the mean over seeds of the runs' quantile
    differences. The band is simultaneous, from the bootstrap over seeds of the curve's largest
    standardised deviation, so it may be read at every quantile at once.

    Parameters
    ----------
    baseline, candidate : sequence of Histogram, length seeds
        Element i of both comes from seed i.
    quantiles : sequence of float in [0, 1]
        The quantiles. A quantile q needs 10 / (1 - q) accesses in each run to be known well.
    confidence : float in (0, 1)
        Probability that the whole true curve lies in the band.
    resamples, seed : int
        Number of samples and seed of the bootstrap.

    Raises
    ------
    ValueError
        If the numbers of runs differ, there are fewer than four, or a histogram is empty.
    """
    if len(baseline) != len(candidate) or len(baseline) < LEAST_SEEDS:
        raise ValueError(
            f"a band needs at least {LEAST_SEEDS} seeds on both sides, got {len(baseline)} and "
            f"{len(candidate)}; run more seeds"
        )
    a, b = (
        np.array([[run.quantile(p) for p in quantiles] for run in runs])
        for runs in (baseline, candidate)
    )
    d, n = b - a, len(a)
    mean, error = d.mean(axis=0), d.std(axis=0, ddof=1) / np.sqrt(n)
    half = critical_value(d, confidence, resamples, seed) * error if error.any() else error
    return Shift(
        p=np.array(quantiles, float), baseline_ns=a.mean(axis=0), candidate_ns=b.mean(axis=0),
        difference_ns=mean, low_ns=mean - half, high_ns=mean + half, confidence=confidence, seeds=n,
        times=min(run.count for runs in (baseline, candidate) for run in runs),
    )  # fmt: skip


def critical_value(d: Floats, confidence: float, resamples: int, seed: int) -> float:
    """Return the bootstrap's quantile of the largest |t| over the columns of `d`.

    The standard error of each column is that of the sample, because values from a histogram have
    ties, and a resample may not vary at all. To allow for few seeds, the function takes Student's
    quantile in place of the normal one, at the tail that the bootstrap finds. It leaves out a
    column that does not vary, because its half width is zero in any case.

    Parameters
    ----------
    d : array, shape (seeds, quantiles)
        Differences in any unit; at least one column varies.
    confidence : float in (0, 1)
        Of the whole band.
    resamples, seed : int
        Number of samples and seed of the bootstrap.
    """
    from scipy.stats import norm, t

    d = d[:, np.ptp(d, axis=0) > 0]
    n = len(d)
    d = (d - d.mean(axis=0)) / (d.std(axis=0, ddof=1) / np.sqrt(n - 1))
    draws = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), resamples)
    most = np.abs(draws @ d / n).max(axis=1)
    return float(t.isf(norm.sf(np.quantile(most, confidence)), n - 1))
