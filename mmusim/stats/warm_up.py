"""Warm-up of a steady-state series: MSER-5 decides how much of the beginning to leave out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

BATCH: Final = 5
LEAST_BATCHES: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class SteadyState:
    """A series without its warm-up."""

    skip: int  # values at the beginning that belong to the warm-up
    mean: float  # of the rest, in the unit of the values
    standard_error: float  # as MSER has it: of independent batches
    batches: int  # that are left


def mser5(series: ArrayLike) -> SteadyState:
    """Find the warm-up by the marginal standard error rule, on batches of five (White 1997).

    Let z be the means of consecutive batches of 5. The rule leaves out the first d, where d
    minimises sum((z_j - mean)^2) / (n - d)^2 over the remaining batches: the squared standard error
    of their mean. Leaving out a biased beginning makes it smaller, leaving out good data makes it
    larger.

    The rule is for one run in a steady state: laps, rounds or windows of equal length. Runs that
    begin and end (a pass over memory, a migration) have no steady state, and their beginning is
    what the question asks about.

    Parameters
    ----------
    series : array_like, shape (values,)
        Values in the order of time, in any unit. An incomplete batch at the end is left out.

    Raises
    ------
    ValueError
        If there are fewer than 50 values, or the best warm-up is longer than half of the series.
    """
    x = np.asarray(series, float)
    if x.ndim != 1 or len(x) < BATCH * LEAST_BATCHES:
        raise ValueError(
            f"a series of shape {x.shape} is too short for a warm-up; give at least "
            f"{BATCH * LEAST_BATCHES} values"
        )
    z = x[: len(x) // BATCH * BATCH].reshape(-1, BATCH).mean(axis=1)
    n = len(z)
    left = np.arange(n, 0, -1)  # batches that are left if the first d are not
    sums, squares = (np.cumsum(part[::-1])[::-1] for part in (z - z.mean(), (z - z.mean()) ** 2))
    mser = (np.maximum(squares - sums**2 / left, 0) / left.astype(float) ** 2)[: n - BATCH]
    d = int(np.argmin(mser))
    if d > n // 2:
        raise ValueError(
            f"the series has not settled: of {n} batches the best warm-up would be {d}; run longer"
        )
    return SteadyState(
        skip=d * BATCH, mean=float(z[d:].mean()), standard_error=float(np.sqrt(mser[d])),
        batches=n - d,
    )  # fmt: skip
