"""Marks on intervals that may not cover, and the limits of few seeds behind them."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

Mark = Literal[
    "", "few seeds", "identical", "few seeds differ", "seeds set apart", "seeds set apart elsewhere"
]
"""Why an interval does not promise to cover; empty: it does.

`few seeds`: fewer than five, so there is none. `identical`: what is estimated is the same in every
seed; the bounds are those of the rule of three, and of what no seed changes the value itself.
`few seeds differ`: fewer than five pairs differ, and these carry the whole difference. `seeds set
apart`: up to four seeds lie far from all others, as one sees of a rare mode: nobody knows from so
few how rare it is. `seeds set apart elsewhere`: none here, but in two or more other settings, so
the mode belongs to the metric and these seeds may have missed it.
"""

EXPLAINED: Final[dict[str, str]] = {
    "few seeds": "fewer than 5 seeds give no interval",
    "identical": "no seed differs; the bounds are those of the rule of three, or the value itself "
    "where no seed changes what is compared",
    "few seeds differ": "fewer than 5 seeds differ and carry the whole difference",
    "seeds set apart": "up to 4 seeds lie far from the others: a rare mode of unknown share",
    "seeds set apart elsewhere": "other settings show a rare mode that these seeds may have missed",
}
"""What each mark says, for the line below a table."""

CARRIERS: Final = 5
"""With fewer seeds than this a difference or a mode is not known well enough for an interval."""
GAP: Final = 8.0
"""Seeds are set apart by so many standard deviations of the others: not so of lognormal values
(sigma 1) in 19 of 20 samples, so of a mode of 10 such deviations and more."""


def unseen_share(seeds: int, confidence: float = 0.95) -> float:
    """Return the largest share of seeds that may behave in a way that none of these shows.

    1 - (1 - confidence)^(1/n), about 3/n: the rule of three (Hanley and Lippman-Hand, 1983).
    """
    return float(1.0 - (1.0 - confidence) ** (1.0 / seeds))


def mark_of(influence: Floats, differences: Floats | None = None, least: float = 0.0) -> Mark:
    """Return the mark of an interval whose estimate the seeds move by these amounts.

    Parameters
    ----------
    influence : array, shape (seeds,)
        What each seed adds to the estimate: its value, its difference, or its share of a ratio.
    differences : array, shape (seeds,), optional
        Candidate - baseline, if there are pairs whose ties count.
    least : float
        The least half width of the interval, in the unit of `influence`. All seeds within that are
        one mode: however rare the others are, they cannot move the mean out of the interval.
    """
    if np.ptp(influence) <= least:
        return ""
    if differences is not None and np.count_nonzero(differences) < CARRIERS:
        return "few seeds differ"
    return "seeds set apart" if set_apart(influence) else ""


def set_apart(values: Floats) -> int:
    """Return how many seeds, at most four, lie apart from the others by a gap of `GAP`.

    The gap is the one next to the others, in standard deviations of those.
    """
    x = np.sort(values)
    n = len(x)
    for count in range(1, min(CARRIERS - 1, (n - 1) // 3) + 1):
        for low in range(count + 1):  # so many of them below the others, the rest above
            rest = x[low : n - (count - low)]
            spread = float(rest.std(ddof=1)) or 1e-12 * max(1e-300, float(np.abs(x).max()))
            gaps = [rest[0] - x[low - 1]] if low else []
            gaps += [x[n - (count - low)] - rest[-1]] if count > low else []
            if min(gaps) > GAP * spread:
                return count
    return 0
