"""Is a difference more than chance, and would we have seen it: p-values, families, answers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike

from mmusim.stats.intervals import RESAMPLES, row

ALPHA: Final = 0.05
"""A family of comparisons calls something significant by chance this often at most."""
POWER: Final = 0.8
"""How often a difference that matters is found with the number of seeds that is recommended."""
MATTERS: Final = 0.05
"""A difference smaller than this share of the baseline does not matter, unless told otherwise."""
MOST_SEEDS: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PValue:
    """How often chance alone gives a difference as large, whichever policy is better."""

    p: float
    exact: bool  # over all sign flips; else over a random sample of them
    flips: int  # how many were looked at

    def __str__(self) -> str:
        """Write it for people."""
        return f"p = {self.p:.3g} ({'exact' if self.exact else f'{self.flips:,} sign flips'})"


def sign_flip(differences: ArrayLike, *, flips: int = RESAMPLES, seed: int = 0) -> PValue:
    """Test whether paired differences are symmetric about zero (Fisher 1935, Pitman 1937).

    If the policy makes no difference, each seed's difference could as well have had the other
    sign. Two-sided. Exact where all differences have one sign, p = 2^(1 - n), and where there are
    no more than `flips` assignments of signs; else by a random sample of so many, which is valid
    too (:func:`scipy.stats.permutation_test`).

    Parameters
    ----------
    differences : array_like, shape (seeds,)
        Candidate - baseline. A zero says nothing either way.
    flips : int
        Most assignments of signs that are looked at.
    seed : int
        Of the sample, so that a published p-value can be recomputed.

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
    """Adjust the p-values of a family: calling those up to alpha significant errs in at most a
    share alpha of families, whatever depends on what (Holm 1979).
    """
    from statsmodels.stats.multitest import multipletests

    return [float(x) for x in multipletests(p, method="holm")[1]] if p else []


def seeds_needed(
    differences: ArrayLike, effect: float, *, alpha: float = ALPHA, power: float = POWER
) -> int:
    """Return how many seeds find a mean difference of `effect` with the given power.

    The power is that of the paired t test with the standard deviation seen so far, and no fewer
    seeds than can give a p-value of `alpha` at all (2^(1 - n)).

    Parameters
    ----------
    differences : array_like, shape (seeds,)
        Candidate - baseline.
    effect : float > 0
        In the unit of the differences.
    alpha, power : float in (0, 1)
        Level of the test, and the wanted chance of finding it.

    Raises
    ------
    ValueError
        If there are fewer than two seeds or the effect is not positive.
    """
    from statsmodels.stats.power import TTestPower

    spread = float(row(differences).std(ddof=1))
    if not effect > 0:
        raise ValueError(f"an effect of {effect} cannot be found; give one above 0")
    least = max(2, math.ceil(1 - math.log2(alpha)))
    size = effect / spread if spread > 0 else math.inf
    if size >= 8:  # certain at any number
        return least
    chance = TTestPower().power

    def enough(seeds: int) -> bool:
        return bool(chance(size, seeds, alpha) >= power)

    high = least
    while not enough(high):
        high *= 2
        if high >= MOST_SEEDS:
            return MOST_SEEDS
    low = max(least, high // 2)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return high


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Whether two policies differ, in words."""

    outcome: Literal["significant", "not significant", "not enough seeds"]
    needed: int | None = None  # seeds, where there are not enough

    def __str__(self) -> str:
        """Write it for people."""
        if self.needed is None:
            return self.outcome
        more = f"over {self.needed:,}" if self.needed >= MOST_SEEDS else f"{self.needed:,}"
        return f"{self.outcome} ({more} needed)"


def answer(
    differences: ArrayLike,
    interval: tuple[float, float],
    baseline: float,
    p: float,
    *,
    family: int = 1,
    matters: float = MATTERS,
    alpha: float = ALPHA,
) -> Answer:
    """Say whether a difference is significant, or none that matters, or cannot be told yet.

    * significant: the adjusted p-value is at most `alpha`;
    * not significant: it is not, and the whole interval of the difference lies within `matters` x
      baseline of zero, so if there is a difference it is too small to matter;
    * not enough seeds: neither; with the number that would find a difference of that size, or of
      the nearer end of the interval if that is farther from zero, 80 times of 100, at the level
      `alpha` / `family` that is the strictest of Holm's.

    Parameters
    ----------
    differences : array_like, shape (seeds,)
        Candidate - baseline.
    interval : (float, float)
        Of their mean.
    baseline : float
        Mean of the baseline.
    p : float
        Adjusted for the family.
    family : int
        How many comparisons are in it.
    matters : float
        Smallest difference of interest, as a share of the baseline.
    alpha : float
        Level of the family.
    """
    d = row(differences)
    if p <= alpha:
        return Answer(outcome="significant")
    small = matters * abs(baseline)
    if -small <= interval[0] and interval[1] <= small:
        return Answer(outcome="not significant")
    apart = min(map(abs, interval)) if interval[0] * interval[1] > 0 else 0.0
    effect = max(small, apart) or float(np.abs(d).mean())
    needed = seeds_needed(d, effect, alpha=alpha / family)
    return Answer(outcome="not enough seeds", needed=max(needed, len(d) + 1))
