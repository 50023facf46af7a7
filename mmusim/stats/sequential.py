"""Looks at data that grows, and what each may err, so that all together err no more than said.

Who adds seeds until an interval is narrow looks at the data again and again, and stops at the look
that flatters. Here each look has an error of its own, spent from one purse: whatever the rule by
which one stops, the interval at the last look covers the truth with the confidence of the whole.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from mmusim.stats.intervals import Interval, paired_ratio
from mmusim.stats.studentized import RESAMPLES, Floats

GROWTH: Final = 1.5
"""Each look has so many times the seeds of the one before."""


def analysis_sizes(first: int, limit: int) -> tuple[int, ...]:
    """Return the numbers of seeds at which the data is looked at, from `first` to `limit`.

    Raises
    ------
    ValueError
        If there are fewer than two seeds at first, or the limit is lower than that.
    """
    if not 2 <= first <= limit:
        raise ValueError(f"cannot stop between {first} and {limit} seeds; begin with 2 or more")
    made = [first]
    while made[-1] < limit:
        made.append(min(limit, math.ceil(made[-1] * GROWTH)))
    return tuple(made)


def spent(share: float, alpha: float = 0.05) -> float:
    """Return the error that may be spent when a share of all seeds is there.

    alpha ln(1 + (e - 1) share): the spending function of Lan and DeMets (1983) that is like
    Pocock's boundary. It rises steeply at first, so early stopping is cheap.
    """
    return alpha * math.log(1 + (math.e - 1) * share)


def levels(at: tuple[int, ...], alpha: float = 0.05) -> tuple[float, ...]:
    """Return the error of each look: what may be spent by then, less what was spent before.

    They sum to `alpha`. By Boole's inequality the intervals of all looks cover the truth at once
    with confidence 1 - alpha, whatever depends on what; boundaries that use the correlation of the
    looks would be a little narrower, and need normal data.

    Parameters
    ----------
    at : tuple of int, ascending
        Seeds at each look (:func:`analysis_sizes`).
    alpha : float in (0, 1)
        Error of all looks together.
    """
    so_far = [0.0, *(spent(n / at[-1], alpha) for n in at)]
    return tuple(b - a for a, b in itertools.pairwise(so_far))


def is_narrow(interval: Interval, precision: float) -> bool:
    """Tell whether half the width of an interval is at most a share of the estimate."""
    return (interval.high - interval.low) / 2 <= precision * abs(interval.estimate)


class Stop(NamedTuple):
    """The state of sampling: number of the analysis, its error, and whether sampling may end."""

    number: int  # of the look, from 1
    seeds: int
    alpha: float
    is_precise: bool
    is_missing: bool  # the seeds of this look are not there yet


def stop_when_precise(
    baseline: Floats,
    candidates: Sequence[Floats],
    precision: float,
    first: int,
    limit: int,
    *,
    resamples: int = RESAMPLES,
) -> Stop:
    """Return the first look at which all ratios to the baseline are precise, or the last one, or
    the first for which seeds are missing.

    A ratio that does not exist, because a value is not positive, cannot get more precise and asks
    for no more.

    Parameters
    ----------
    baseline, candidates : array, shape (seeds so far,)
        Element i of all comes from seed i.
    precision : float
        Half the width of each interval, as a share of the ratio (:func:`is_narrow`).
    first, limit : int
        Seeds at the first look and at most.
    resamples : int
        Of the bootstrap behind the intervals.
    """
    at = analysis_sizes(first, limit)
    there = min(len(row) for row in (baseline, *candidates))
    for number, (seeds, alpha) in enumerate(zip(at, levels(at), strict=True), 1):
        if seeds > there:
            return Stop(number, seeds, alpha, is_precise=False, is_missing=True)
        base, rows = baseline[:seeds], [row[:seeds] for row in candidates]
        precise = all(
            min(base.min(), row.min()) <= 0
            or is_narrow(
                paired_ratio(base, row, confidence=1 - alpha, resamples=resamples), precision
            )
            for row in rows
        )
        if precise or seeds == limit:
            return Stop(number, seeds, alpha, is_precise=precise, is_missing=False)
    raise AssertionError("the last look returns")
