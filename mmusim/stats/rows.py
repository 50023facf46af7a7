"""Rows of values over seeds, checked: one value per seed."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from mmusim.stats.studentized import Floats


def row(values: ArrayLike) -> Floats:
    """Return one value per seed as an array.

    Raises
    ------
    ValueError
        If the values are not a row of at least two finite numbers.
    """
    x = np.asarray(values, float)
    if x.ndim != 1 or len(x) < 2:
        raise ValueError(f"need a row of at least 2 seeds, got shape {x.shape}; run more seeds")
    if not np.isfinite(x).all():
        raise ValueError(f"a value over seeds is {x[~np.isfinite(x)][0]}; leave such seeds out")
    return x


def pair(baseline: ArrayLike, candidate: ArrayLike) -> tuple[Floats, Floats]:
    """Return two rows of values as arrays; element i of both comes from one seed.

    Parameters
    ----------
    baseline, candidate : array_like, shape (seeds,)
        One finite value per seed.

    Raises
    ------
    ValueError
        If they are not rows of equal length, of at least two finite numbers.
    """
    a, b = row(baseline), row(candidate)
    if a.shape != b.shape:
        raise ValueError(f"pairs need rows of equal length, got {len(a)} and {len(b)} seeds")
    return a, b
