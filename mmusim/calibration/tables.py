"""From samples to a distribution for a profile, and its distance from the samples."""

from __future__ import annotations

import itertools
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmusim.costs.distributions import Distribution, Empirical

Floats = NDArray[np.float64]

BODY: Final = (
    0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995,
)  # fmt: skip
DEEP: Final = tuple(1 - 0.005 / 2**k for k in range(1, 24))
"""Further nodes of large samples, up to the largest ones."""
TAIL: Final = 16
"""Number of the largest samples with a node each, so that the table keeps their mean."""


class Certainty(NamedTuple):
    """How well a location is known."""

    low: float
    high: float
    samples: int
    replicates: int


def table(ns: Floats, *, deep: bool = False) -> Empirical:
    """Tabulate the quantile function of samples: inner quantiles, and the largest samples one by
    one.

    Parameters
    ----------
    ns : ndarray, shape (samples,)
        Times in ns; negative ones count as 0.
    deep : bool
        With nodes between inner quantiles and tail, which keep the mean of many samples.

    Raises
    ------
    ValueError
        If there are no samples.
    """
    ns = np.sort(np.maximum(ns, 0.0))
    n = len(ns)
    if n == 0:
        raise ValueError("there are no samples; measure some")
    tail = [1 - (k - 0.5) / n for k in range(min(TAIL, n // 20), 0, -1)]
    limit = tail[0] if tail else 1.0
    inner = [*(q for q in (*BODY, *(DEEP if deep else ())) if q < limit and q * n >= 1), *tail]
    short = [float(f"{q:.7g}") for q in inner]  # for readers, where seven digits distinguish them
    apart = all(low < high for low, high in itertools.pairwise([0.0, *short, 1.0]))
    p = [0.0, *(short if apart else inner), 1.0]
    values = [ns[0], *np.quantile(ns, inner).tolist(), ns[-1]]
    return Empirical(tuple(p), tuple(np.maximum.accumulate(np.round(values, 1)).tolist()))


def as_cost(distribution: Empirical) -> dict[str, Any]:
    """Return a table as a host profile writes it, which reads back as the same table."""
    return {
        "quantiles": {
            "p": list(distribution.p),
            "value": [f"{float(ns)!r}ns" for ns in distribution.ns],
        }
    }


def median_certainty(replicates: list[Floats], seed: int = 1) -> Certainty:
    """Return a 95 % interval of the median by bootstrap over replicates.

    The replicate is the unit, because the samples of one VM share its pages and its time.
    """
    medians = np.array([np.median(r) for r in replicates])
    rng = np.random.default_rng(seed)
    again = np.median(rng.choice(medians, (2000, len(medians))), axis=1)
    low, high = np.quantile(again, [0.025, 0.975])
    return Certainty(float(low), float(high), sum(map(len, replicates)), len(replicates))


def ks_distance(ns: Floats, distribution: Distribution) -> float:
    """Return the largest distance between the samples' distribution function and a fitted one."""
    ns = np.sort(ns)
    n = len(ns)
    below = np.searchsorted(ns, ns, side="left") / n
    upto = np.searchsorted(ns, ns, side="right") / n
    fitted = distribution.cdf(ns)
    before = distribution.cdf(np.nextafter(ns, -np.inf))
    return float(max(np.max(upto - fitted), np.max(before - below), 0.0))


def convolution_rest(whole: Floats, part: Floats, rounds: int = 40) -> Floats:
    """Return quantiles of what must be added to `part`, independently, to give `whole`.

    A fixed-point iteration on 256 quantiles considers all pairs of their sums. It moves the
    quantiles of the rest by what the quantiles of the sum lack. Where `part` varies more than
    `whole`, nothing fits, and the rest is the nearest that is not negative.
    """
    p = (np.arange(256) + 0.5) / 256
    target, parts = np.quantile(whole, p), np.quantile(part, p)
    rest = np.maximum(target - np.median(part), 0.0)
    for _ in range(rounds):
        sums = np.sort((parts[:, None] + rest[None, :]).ravel())
        lacks = target - sums[(p * len(sums)).astype(int)]
        rest = np.sort(np.maximum(rest + 0.5 * lacks, 0.0))
    return rest
