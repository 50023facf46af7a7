"""Is a difference more than chance, and would we have seen it: tests, families, power."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from mmusim.base.units import MOST_SEEDS
from mmusim.stats.intervals import LEAST_SEEDS
from mmusim.stats.rows import row
from mmusim.stats.studentized import RESAMPLES, SPENT

ALPHA: Final = 0.05
"""A family of comparisons calls something significant by chance this often at most."""
POWER: Final = 0.8
"""How often a difference that matters is found with the number of seeds that is recommended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PValue:
    """The p-value of a sign-flip test: how often symmetric values have a mean as far from zero."""

    p: float
    exact: bool  # over all sign flips; else over a random sample of them
    flips: int  # how many were looked at

    def __str__(self) -> str:
        """Write it for people."""
        return f"p = {self.p:.3g} ({'exact' if self.exact else f'{self.flips:,} sign flips'})"


def sign_flip(differences: ArrayLike, *, flips: int = RESAMPLES, seed: int = 0) -> PValue:
    """Test whether paired differences are symmetric about zero (Fisher 1935, Pitman 1937).

    This is no test of a mean of zero: it also rejects skewed differences whose mean is zero.
    Outcomes rest on :func:`mmusim.stats.intervals.paired_p_value`.

    The test is two-sided. It is exact if all differences have one sign, p = 2^(1 - n), or if there
    are at most `flips` assignments of signs. Otherwise it uses a random sample of `flips`
    assignments, which is valid too (:func:`scipy.stats.permutation_test`).

    Parameters
    ----------
    differences : array_like, shape (seeds,)
        Candidate - baseline. A zero says nothing either way.
    flips : int
        Largest number of assignments of signs.
    seed : int
        Seed of the random sample. The same seed gives the same p-value.

    Raises
    ------
    ValueError
        If there are fewer than two seeds.
    """
    from scipy.stats import permutation_test

    d = row(differences)
    d = d[d != 0]
    if len(d) == 0:
        return PValue(p=1.0, exact=True, flips=1)
    if np.all(d > 0) or np.all(d < 0):
        return PValue(p=2.0 ** (1 - len(d)), exact=True, flips=2 ** min(len(d), 62))
    result = permutation_test(
        (d,), lambda x, axis: x.mean(axis=axis), permutation_type="samples", vectorized=True,
        n_resamples=flips, rng=np.random.default_rng(seed),
    )  # fmt: skip
    exact = 2 ** len(d) <= flips
    return PValue(p=float(result.pvalue), exact=exact, flips=2 ** len(d) if exact else flips)


def holm(p: Sequence[float]) -> list[float]:
    """Adjust the p-values of a family (Holm 1979).

    If adjusted values up to alpha are called significant, at most a share alpha of families has an
    error, whatever the dependence of the values. The function does not use statsmodels'
    `multipletests`, because each call collects the garbage of the whole process: half a second if
    many runs are loaded.

    Parameters
    ----------
    p : sequence of float in [0, 1]
        The p-values of the family.

    Returns
    -------
    list of float
        The adjusted values, in the same order.
    """
    order = np.argsort(p, kind="stable")
    raised = np.maximum.accumulate(np.asarray(p, float)[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(raised, 1.0)
    return [float(x) for x in adjusted]


def seeds_needed(
    differences: ArrayLike, effect: float, *, alpha: float = ALPHA, power: float = POWER
) -> int:
    """Return how many seeds find a mean difference of `effect` with the given power.

    The power is that of the paired t test with the standard deviation seen so far, at the share of
    `alpha` at which intervals are made (:data:`mmusim.stats.studentized.SPENT`); it is an estimate,
    as that deviation is. Never fewer than an interval needs.

    Parameters
    ----------
    differences : array_like, shape (seeds,)
        Candidate - baseline.
    effect : float > 0
        In the unit of the differences.
    alpha, power : float in (0, 1)
        Level of the test, and the wanted probability of finding the effect.

    Raises
    ------
    ValueError
        If there are fewer than two seeds or the effect is not positive.
    """
    spread = float(row(differences).std(ddof=1))
    return seeds_to_find(effect, spread, alpha=alpha, power=power)


def seeds_to_find(
    effect: float, spread: float, *, alpha: float = ALPHA, power: float = POWER
) -> int:
    """Return how many seeds find a mean difference, given the standard deviation over seeds.

    :func:`seeds_needed` is the same function of the differences themselves.

    Parameters
    ----------
    effect, spread : float > 0, float >= 0
        The mean difference, and the standard deviation over seeds, in one unit.
    alpha, power : float in (0, 1)
        Level of the test, and the wanted probability of finding the effect.

    Returns
    -------
    int
        From :data:`~mmusim.stats.intervals.LEAST_SEEDS` to
        :data:`~mmusim.base.units.MOST_SEEDS`, which stands for that number or more.

    Raises
    ------
    ValueError
        If the effect is not positive.
    """
    from statsmodels.stats.power import TTestPower

    if not effect > 0:
        raise ValueError(f"an effect of {effect} cannot be found; give one above 0")
    least, alpha = LEAST_SEEDS, alpha * SPENT
    size = effect / spread if spread > 0 else math.inf
    if size >= 8:  # certain at any number
        return least
    chance = TTestPower().power

    def enough(seeds: int) -> bool:  # the union of two intervals is wider by about 1 / seeds
        return bool(chance(size / (1 + 1 / seeds), seeds, alpha) >= power)

    low = high = least
    while not enough(high):
        if high >= MOST_SEEDS:
            return MOST_SEEDS
        low, high = high, min(2 * high, MOST_SEEDS)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return high


def smallest_p_value(resamples: int = RESAMPLES) -> float:
    """Return the smallest p-value that the bootstrap of so many samples can give."""
    return 2 / (resamples + 1) / SPENT


def largest_family(alpha: float = ALPHA, resamples: int = RESAMPLES) -> int:
    """Return how many comparisons a family may have, so that one of them can be significant.

    Parameters
    ----------
    alpha : float in (0, 1)
        Level of the family.
    resamples : int
        Number of bootstrap samples behind each p-value.
    """
    return int(alpha / smallest_p_value(resamples))
