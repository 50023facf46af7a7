"""Marks on intervals that may not cover, and the limits of few seeds behind them."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

Mark = Literal[
    "", "few seeds", "identical", "few seeds differ", "seeds set apart", "seeds set apart elsewhere"
]
"""Why the coverage of an interval is not known; empty: it is known.

`few seeds`: there are fewer than five seeds, so there is no interval. `identical`: the estimate is
the same in every seed; the bounds are those of the rule of three, or the value itself if no seed
changes anything. `few seeds differ`: fewer than five pairs differ and carry the whole difference.
`seeds set apart`: up to four seeds lie far from all others. This is a sign of a rare mode, and so
few seeds do not tell how rare it is. `seeds set apart elsewhere`: no seed lies apart here, but some
do in two or more other settings, so these seeds may have missed the mode.
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
"""Standard deviations of the other seeds by which seeds are set apart. In 19 of 20 samples of
lognormal values (sigma 1) no seed is; a mode that is 10 such deviations away is."""


def unseen_share(seeds: int, confidence: float = 0.95) -> float:
    """Return the largest share of seeds that may behave in a way that none of these shows.

    1 - (1 - confidence)^(1/n), about 3/n: the rule of three (Hanley and Lippman-Hand, 1983).

    Parameters
    ----------
    seeds : int > 0
        Number of seeds, n.
    confidence : float in (0, 1)
        Probability that at least one of n seeds would show a larger share.
    """
    return float(1.0 - (1.0 - confidence) ** (1.0 / seeds))


def mark_of(influence: Floats, differences: Floats | None = None, least: float = 0.0) -> Mark:
    """Return the mark of an interval from the amounts that the seeds add to its estimate.

    Parameters
    ----------
    influence : array, shape (seeds,)
        What each seed adds to the estimate: its value, its difference, or its share of a ratio.
    differences : array, shape (seeds,), optional
        Candidate - baseline, if there are pairs whose ties count.
    least : float
        The least half width of the interval, in the unit of `influence`. If all seeds lie within
        it, there is no mark: no seed can move the mean out of the interval.
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
