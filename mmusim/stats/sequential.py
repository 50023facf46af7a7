"""Interim analyses (looks) of growing data: sizes, the error of each look, and when to stop.

A procedure that adds seeds until an interval is narrow analyses the data several times. Without a
correction it stops at a look that is narrow by chance. Here each look has a share of one error
(alpha spending). So the interval of the last look covers the truth with the promised confidence,
whatever the stopping rule.
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
    """Return the number of seeds at each look, from `first` to `limit`.

    Parameters
    ----------
    first, limit : int, 2 <= first <= limit
        Seeds at the first look and at the last.

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
    """Return the error that may be spent after a share of all seeds.

    alpha ln(1 + (e - 1) share): the spending function of Lan and DeMets (1983) that is like
    Pocock's boundary. It rises steeply at first, so early stopping is cheap.

    Parameters
    ----------
    share : float in [0, 1]
        Seeds so far, divided by the largest number of seeds.
    alpha : float in (0, 1)
        Error of all looks together.
    """
    return alpha * math.log(1 + (math.e - 1) * share)


def levels(at: tuple[int, ...], alpha: float = 0.05) -> tuple[float, ...]:
    """Return the error of each look: the error that may be spent by then, less that spent before.

    The errors sum to `alpha`. By Boole's inequality the intervals of all looks together cover the
    truth with confidence 1 - alpha, whatever the dependence of the looks. Boundaries that use the
    correlation of the looks would be a little narrower, but they need normal data.

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
    """Tell whether half the width of an interval is at most a share `precision` of the estimate."""
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
    """Return the look at which sampling stops, or the first look whose seeds are missing.

    Sampling stops at the first look at which all ratios to the baseline are precise, or at the last
    look. If a value is not positive there is no ratio, and its policy asks for no more seeds.

    Parameters
    ----------
    baseline, candidates : array, shape (seeds so far,)
        Element i of all comes from seed i.
    precision : float
        Half the width of each interval, as a share of the ratio (:func:`is_narrow`).
    first, limit : int
        Seeds at the first look and at most.
    resamples : int
        Number of bootstrap samples behind the intervals.

    Raises
    ------
    ValueError
        If `first` is below 2 or `limit` is below `first`.
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
