"""Sobol indices: the share of a value's variance that each uncertain input explains."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from mmusim.stats.studentized import Floats

RESAMPLES: Final = 499


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """A Sobol index with its interval."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Indices:
    """The Sobol indices of each input, in the order of the inputs."""

    first: tuple[Index, ...]  # share of the variance that goes if this one alone is known
    total: tuple[Index, ...]  # share that is left if all others are known: interactions included
    mean: float  # of the value over the inputs' ranges
    spread: float  # its standard deviation there
    evaluations: int


def sobol(
    func: Callable[[Floats], Floats],
    ranges: Sequence[tuple[float, float]],
    *,
    samples: int = 64,
    confidence: float = 0.95,
    seed: int = 0,
) -> Indices:
    """Estimate first-order and total Sobol indices (Saltelli et al. 2010) with intervals.

    The indices are those of :func:`scipy.stats.sobol_indices`; the intervals are percentiles of its
    bootstrap over the samples, with a seed, so that they can be recomputed.

    Parameters
    ----------
    func : callable
        Takes inputs of shape (inputs, n) and returns n values, all finite. Called three times.
    ranges : sequence of (float, float), positive
        Bounds of each input, which is log-uniform between them.
    samples : int, a power of 2
        The function is evaluated at samples x (inputs + 2) points.
    confidence : float in (0, 1)
        Coverage of each interval.
    seed : int
        Seed of the scrambled Sobol sequence and of the bootstrap.

    Raises
    ------
    ValueError
        If samples is not a power of 2 of at least 4.
    """
    from scipy.stats import bootstrap, loguniform, sobol_indices

    if samples < 4 or samples & (samples - 1):
        raise ValueError(f"samples = {samples} is not a power of 2 of at least 4; take e.g. 64")
    if len(ranges) == 1:  # scipy wants two: one more that nothing depends on
        pair = sobol(
            lambda x: func(x[:1]), [*ranges, (1.0, 2.0)], samples=samples, confidence=confidence,
            seed=seed,
        )  # fmt: skip
        return replace(pair, first=pair.first[:1], total=pair.total[:1])
    values: list[Floats] = []

    def evaluated(x: Any) -> Any:
        wide = np.asarray(x, float).reshape(len(ranges), -1)
        values.append(np.asarray(func(wide), float))
        return values[-1].reshape(1, *np.shape(x)[1:]).copy()  # scipy subtracts means in place

    rng = np.random.default_rng(seed)
    dists: Any = [loguniform(low, high) for low, high in ranges]
    found = sobol_indices(func=evaluated, n=samples, dists=dists, rng=rng)
    a, b = values[0], values[1]
    mixed = values[2].reshape(samples, len(ranges)).T  # as scipy lays its points out
    every = np.concatenate([a, b])
    if np.ptp(every) == 0 and np.ptp(mixed) == 0:  # nothing depends on anything
        nothing = (Index(estimate=0.0, low=0.0, high=0.0),) * len(ranges)
        return Indices(
            first=nothing, total=nothing, mean=float(every.mean()), spread=0.0,
            evaluations=samples * (len(ranges) + 2),
        )  # fmt: skip

    def again(rows: Any) -> Any:
        parts: Any = {"f_A": a[None, rows], "f_B": b[None, rows], "f_AB": mixed[:, None, rows]}
        result = sobol_indices(func=parts, n=samples)
        return np.array([result.first_order, result.total_order]).reshape(2, -1)

    bounds = bootstrap(
        (np.arange(samples),), again, vectorized=False, method="percentile",
        n_resamples=RESAMPLES, confidence_level=confidence, rng=rng,
    ).confidence_interval  # fmt: skip
    lows, highs = np.asarray(bounds.low), np.asarray(bounds.high)
    first, total = (
        tuple(
            Index(estimate=float(value), low=float(low), high=float(high))
            for value, low, high in zip(np.ravel(values), lows[order], highs[order], strict=True)
        )
        for order, values in enumerate((found.first_order, found.total_order))
    )
    return Indices(
        first=first, total=total, mean=float(every.mean()), spread=float(every.std(ddof=1)),
        evaluations=samples * (len(ranges) + 2),
    )  # fmt: skip
