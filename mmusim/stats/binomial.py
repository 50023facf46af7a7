"""The interval of a share that was counted."""

from __future__ import annotations

from mmusim.stats.marks import unseen_share


def clopper_pearson(count: float, of: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the interval of Clopper and Pearson (1934), which covers at least as often as it says.

    Parameters
    ----------
    count : float
        Number of successes. Between whole numbers (ties count one half) the interval is that of
        the beta distribution.
    of : int, > 0
        Number of trials.
    confidence : float in (0, 1)
        Coverage of the interval.
    """
    from scipy.stats import beta

    tail = (1 - confidence) / 2
    low = float(beta.ppf(tail, count, of - count + 1)) if count else 0.0
    high = float(beta.isf(tail, count + 1, of - count)) if count < of else 1.0
    return low, high


def share_of_seeds(count: float, seeds: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the interval of the share of seeds of which something is true.

    If all seeds are alike it is the rule of three
    (:func:`mmusim.stats.marks.unseen_share`), else that of Clopper and Pearson.

    Parameters
    ----------
    count : float
        Number of seeds of which it is true.
    seeds : int, > 0
        Number of seeds.
    confidence : float in (0, 1)
        Coverage of the interval.
    """
    unseen = unseen_share(seeds, confidence)
    if count == 0:
        return 0.0, unseen
    if count == seeds:
        return 1.0 - unseen, 1.0
    return clopper_pearson(count, seeds, confidence)
