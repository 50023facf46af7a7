"""A test for sceptics: whether simulated runs can be told from as many measured ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmusim.base.histogram import BINS, Histogram, bin_start
from mmusim.validation.live_runs import RunOf

Floats = NDArray[np.float64]

LEVEL: Final = 0.05
SHUFFLES: Final = 2000
SCALES: Final = (0.95, 0.975, 1.0, 1.025, 1.05)
"""Factors of all simulated times that a sceptic with a tolerance puts up with."""


class Sceptic(NamedTuple):
    """Whether the simulated runs can be told from as many measured ones."""

    between: float  # mean KS distance of a simulated and a measured run
    within: float  # mean KS distance of two measured runs
    p: float  # of a permutation test whose unit is the run
    auc: float  # probability that a simulated access takes longer than a measured one
    p_within: float  # the largest p if all simulated times may be off by SCALES
    runs: int  # on each side

    @property
    def can_tell(self) -> bool:
        """At the level of the test, whatever the difference is."""
        return self.p <= LEVEL

    @property
    def can_tell_beyond(self) -> bool:
        """At the level of the test, by more than a common factor within SCALES."""
        return self.p_within <= LEVEL


def sceptic(measured: Sequence[RunOf], simulated: Sequence[RunOf], seed: int = 1) -> Sceptic:
    """Test whether latencies distinguish simulated from measured runs, as many of each.

    The statistic is an energy distance with the Kolmogorov-Smirnov distance of two runs as metric:
    twice the mean distance between the groups minus the mean distances within them. It is compared
    with that of random partitions of all runs. The run is the unit, because the accesses of a run
    are not independent (Szekely and Rizzo, 2013).

    With a tolerance the sceptic has to show more: the simulated times are all scaled by a factor,
    and the largest p of the factors in SCALES counts.
    """
    n = min(len(measured), len(simulated))
    measured, simulated = measured[:n], simulated[:n]
    theirs = distributions([run.latencies for run in measured])
    mine = [run.latencies for run in simulated]
    by_scale = {scale: ks_matrix(np.vstack([theirs, distributions(mine, scale)]))
                for scale in SCALES}  # fmt: skip
    found = {scale: _p_value(distance, n, seed) for scale, distance in by_scale.items()}
    distance = by_scale[1.0]
    pairs = distance[:n, :n][np.triu_indices(n, 1)]
    return Sceptic(
        between=float(distance[:n, n:].mean()),
        within=float(pairs.mean()) if len(pairs) else 0.0,
        p=found[1.0],
        auc=_auc(measured, simulated),
        p_within=max(found.values()),
        runs=n,
    )


def _p_value(distance: Floats, n: int, seed: int) -> float:
    """Return the p value of the partition into the first `n` runs and the others."""
    ours = np.arange(len(distance)) >= n
    rng = np.random.default_rng(seed)
    shuffled = rng.permuted(np.tile(ours, (SHUFFLES, 1)), axis=1)
    seen, *others = _energy(distance, np.vstack([ours, shuffled]))
    return float((np.count_nonzero(np.array(others) >= seen - 1e-12) + 1) / (SHUFFLES + 1))


def _energy(distance: Floats, second: NDArray[np.bool_]) -> Floats:
    """Return the energy distance of each partition of the runs, shape (partitions,)."""
    two = second.astype(float)
    one = 1 - two
    n, m = one.sum(axis=1), two.sum(axis=1)
    to_two = two @ distance
    between = (to_two * one).sum(axis=1) / (n * m)
    inside = ((one @ distance) * one).sum(axis=1) / n**2 + (to_two * two).sum(axis=1) / m**2
    return np.asarray(2 * between - inside)


def distributions(histograms: Sequence[Histogram], scale: float = 1.0) -> Floats:
    """Return the distribution function of each at the end of every bin, shape (runs, bins).

    With a scale all times are multiplied by it, to the width of a bin.
    """
    at = bin_start(np.arange(BINS) + 1)
    found = np.array([np.cumsum(h.counts) / max(1, h.count) for h in histograms])
    if scale == 1:
        return found
    return np.array([np.interp(at / scale, at, one) for one in found])


def ks_matrix(cumulated: Floats) -> Floats:
    """Return the KS distances of all pairs of distribution functions, shape (runs, runs)."""
    return np.array([np.abs(cumulated - one).max(axis=1) for one in cumulated])


def _auc(measured: Sequence[RunOf], simulated: Sequence[RunOf]) -> float:
    """Probability that a simulated latency exceeds a measured one, ties counted half."""
    theirs = sum((run.latencies.counts for run in measured), np.zeros(1)).astype(float)
    mine = sum((run.latencies.counts for run in simulated), np.zeros(1)).astype(float)
    theirs, mine = theirs / theirs.sum(), mine / mine.sum()
    below = np.cumsum(theirs) - theirs
    return float((mine * (below + theirs / 2)).sum())
