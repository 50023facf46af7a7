"""Select the best of several: a fully sequential procedure with an indifference zone.

Kim and Nelson, "A fully sequential procedure for indifference-zone selection in simulation", ACM
TOMACS 11 (2001). The procedure uses the variances of paired differences. So common random numbers
are allowed, and they make it faster.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from mmusim.stats.studentized import Floats

FIRST: Final = 10
"""Seeds that all competitors run before any is dropped, and from which variances are estimated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The state of a selection."""

    alive: tuple[int, ...]  # competitors that may be the best, the best mean first
    ranking: tuple[int, ...]  # all: those alive, then those dropped, each by their means
    dropped_at: tuple[int | None, ...]  # seeds after which each was dropped
    means: tuple[float, ...]  # over the seeds that each has run
    seeds: int  # at which it stands
    needed: int  # seeds after which it is over at the latest
    selected: bool  # one is left, or all that could be needed was run
    delta: float  # smallest difference worth detecting, in the unit of the values
    confidence: float

    @property
    def best(self) -> int:
        """The one that is left, or has the best mean so far."""
        return self.alive[0]


def select_best(
    values: ArrayLike,
    delta: float,
    *,
    confidence: float = 0.95,
    first: int = FIRST,
    more_is_better: bool = False,
) -> Selection:
    """Drop competitors that are not the best, seed after seed, until one is left.

    If the best is better than the second by `delta` or more, the procedure selects the best with a
    probability of at least `confidence`. This holds exactly for values that are jointly normal over
    seeds, whatever their variances and correlations. It holds approximately for other values, if
    their means over `first` seeds are nearly normal. If several lie within `delta` of the best, the
    procedure most likely selects one of them; it does not promise which.

    Competitor i is dropped at seed r if for some l that is alive
    mean_i - mean_l > W, W = max(0, (delta / 2r) (h2 S2 / delta^2 - r)), where S2 is the variance
    of x_i - x_l over the first n0 seeds, h2 = 2 eta (n0 - 1) and
    eta = ((2 alpha / (k - 1))^(-2 / (n0 - 1)) - 1) / 2.

    Parameters
    ----------
    values : array_like, shape (seeds, competitors)
        Row r comes from seed r, in any one unit. A missing run is nan: the selection uses the rows
        up to the last in which no competitor that is alive is missing.
    delta : float > 0
        Smallest difference worth detecting, in the unit of the values.
    confidence : float in (1 / competitors, 1)
        Probability of correct selection.
    first : int, >= 2
        Seeds from which variances are estimated.
    more_is_better : bool
        The largest mean is the best; else the smallest.

    Raises
    ------
    ValueError
        If there are fewer than two competitors, fewer seeds than `first` that all have run, or
        delta is not positive.
    """
    x = np.asarray(values, float)
    if x.ndim != 2 or x.shape[1] < 2 or len(x) < max(2, first):
        raise ValueError(
            f"need at least 2 competitors and {max(2, first)} seeds, got shape {x.shape}; "
            "run more seeds"
        )
    if not delta > 0:
        raise ValueError(
            f"delta = {delta} is not positive; give the smallest difference of interest"
        )
    if np.isnan(x[:first]).any():
        raise ValueError(f"the first {first} seeds are not complete; run them")
    k = x.shape[1]
    cost = -x if more_is_better else x
    h2 = boundary(k, first, confidence)
    gaps = cost[:first, :, None] - cost[:first, None, :]
    range_ = h2 * gaps.var(axis=0, ddof=1) / delta**2  # seeds at which the zone closes
    alive = np.ones(k, bool)
    dropped: list[int | None] = [None] * k
    sums = cost[: first - 1].sum(axis=0)
    r = first - 1
    for row in cost[first - 1 :]:
        if np.isnan(row[alive]).any():
            break
        sums, r = sums + row, r + 1
        lead = (sums[:, None] - sums[None, :]) / r
        zone = np.maximum(0, delta / (2 * r) * (range_ - r))
        beaten = alive & (lead > zone)[:, alive].any(axis=1)
        for i in np.flatnonzero(beaten):
            dropped[i] = r
        alive &= ~beaten
        if alive.sum() == 1:
            break
    needed = int(np.floor(range_.max())) + 1
    means = _means(x, dropped, r)
    order = np.argsort([-m if more_is_better else m for m in means], kind="stable")
    left = [int(i) for i in order if alive[i]]
    out = [int(i) for i in order if not alive[i]]
    return Selection(
        alive=tuple(left), ranking=(*left, *out), dropped_at=tuple(dropped), means=tuple(means),
        seeds=r, needed=max(needed, first), selected=len(left) == 1 or r >= needed, delta=delta,
        confidence=confidence,
    )  # fmt: skip


def boundary(competitors: int, first: int, confidence: float) -> float:
    """Return h2 of :func:`select_best`. The width of the zone is proportional to it.

    Parameters
    ----------
    competitors, first : int, both >= 2
        Number of competitors, and of seeds from which variances are estimated.
    confidence : float in (1 / competitors, 1)
        Probability of correct selection.
    """
    alpha = 1 - confidence
    eta = ((2 * alpha / (competitors - 1)) ** (-2 / (first - 1)) - 1) / 2
    return float(2 * eta * (first - 1))


def _means(x: Floats, dropped: list[int | None], r: int) -> list[float]:
    return [float(x[: dropped[i] or r, i].mean()) for i in range(x.shape[1])]
