"""Cost distributions: frozen values with an exact quantile function and an exact mean.

:mod:`mmusim.costs.random_streams` samples all of them by inverse transform. Times are float
nanoseconds. They become integers when they are drawn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

LONGEST_NS: Final = float(1 << 44)
"""The longest cost, 4.9 hours. A longer tail is cut here.

So a hundred thousand costs in a row fit the 64 bits of the simulated clock.
"""


@dataclass(frozen=True, slots=True)
class Distribution:
    """A non-negative random time in ns. A kind has what raises NotImplementedError here."""

    def quantile(self, p: ArrayLike) -> Floats:
        """Return the inverse of :meth:`cdf` in ns; shape of `p`, in [0, 1)."""
        raise NotImplementedError(f"{type(self).__name__} has no quantile function")

    def cdf(self, x: ArrayLike) -> Floats:
        """Return the probability of a time of at most `x` ns; shape of `x`."""
        raise NotImplementedError(f"{type(self).__name__} has no cumulative distribution")

    def mean(self) -> float:
        """Return the expected value in ns."""
        raise NotImplementedError(f"{type(self).__name__} has no mean")


@dataclass(frozen=True, slots=True)
class Constant(Distribution):
    """A constant time."""

    ns: float

    def quantile(self, p: ArrayLike) -> Floats:
        """Return `ns` for every `p`."""
        return np.full(np.shape(p), self.ns)

    def cdf(self, x: ArrayLike) -> Floats:
        """Step at `ns`."""
        return (np.asarray(x) >= self.ns).astype(float)

    def mean(self) -> float:
        """Return `ns`."""
        return self.ns


@dataclass(frozen=True, slots=True)
class Lognormal(Distribution):
    """exp(N(ln median, sigma)): the usual distribution of the duration of a software path."""

    median: float
    sigma: float

    @classmethod
    def from_quantile(cls, median: float, p: float, value: float) -> Lognormal:
        """Fit to the median and to the quantile `value` at probability `p` > 0.5; both in ns, above
        0.
        """
        from scipy.special import ndtri

        return cls(median, math.log(value / median) / float(ndtri(p)))

    @classmethod
    def from_mean(cls, mean: float, p: float, value: float) -> Lognormal:
        """Fit to the mean and the quantile `value` at probability `p` > 0.5.

        ln value = ln mean - sigma^2/2 + z sigma has two roots; the smaller is the narrow one.

        Raises
        ------
        ValueError
            If no lognormal has that mean and that quantile.
        """
        from scipy.special import ndtri

        z = float(ndtri(p))
        root = z * z - 2 * math.log(value / mean)
        if root < 0 or value <= mean:
            raise ValueError(
                f"no lognormal has its {p:.4g} quantile at {value / mean:.3g} times its mean; "
                f"choose a factor between 1 and {math.exp(z * z / 2):.3g}"
            )
        sigma = z - math.sqrt(root)
        return cls(mean * math.exp(-sigma * sigma / 2), sigma)

    def quantile(self, p: ArrayLike) -> Floats:
        """Evaluate median * exp(sigma * normal quantile)."""
        from scipy.special import ndtri

        with np.errstate(over="ignore"):
            times = self.median * np.exp(self.sigma * ndtri(np.asarray(p, float)))
        return np.asarray(np.minimum(times, LONGEST_NS))

    def cdf(self, x: ArrayLike) -> Floats:
        """Evaluate the normal distribution of ln x."""
        from scipy.special import ndtr

        with np.errstate(divide="ignore"):
            below = ndtr(np.log(np.maximum(x, 0) / self.median) / self.sigma)
        return np.where(np.asarray(x) >= LONGEST_NS, 1.0, below)

    def mean(self) -> float:
        """Return median * exp(sigma^2 / 2), less what lies beyond :data:`LONGEST_NS`."""
        from scipy.special import log_ndtr, ndtr

        end = math.log(LONGEST_NS / self.median) / self.sigma
        if end - self.sigma > 9:  # less than 64-bit numbers resolve
            return self.median * math.exp(self.sigma**2 / 2)
        inside = self.sigma**2 / 2 + float(log_ndtr(end - self.sigma))
        return self.median * math.exp(inside) + LONGEST_NS * float(ndtr(-end))


@dataclass(frozen=True, slots=True)
class Gamma(Distribution):
    """Gamma by mean and coefficient of variation; a coefficient of 1 is the exponential."""

    average: float
    cv: float

    def quantile(self, p: ArrayLike) -> Floats:
        """Invert the regularised incomplete gamma function."""
        from scipy.special import gammaincinv

        shape = self.cv**-2
        return np.asarray(gammaincinv(shape, np.asarray(p, float)) * self.average / shape)

    def cdf(self, x: ArrayLike) -> Floats:
        """Evaluate the regularised incomplete gamma function."""
        from scipy.special import gammainc

        shape = self.cv**-2
        return np.asarray(gammainc(shape, np.maximum(x, 0) * shape / self.average))

    def mean(self) -> float:
        """Return `average`."""
        return self.average


@dataclass(frozen=True, slots=True)
class Shifted(Distribution):
    """Another distribution plus a constant."""

    by: float
    base: Distribution

    def quantile(self, p: ArrayLike) -> Floats:
        """Shift the quantiles of the base."""
        return self.by + self.base.quantile(p)

    def cdf(self, x: ArrayLike) -> Floats:
        """Shift the argument."""
        return self.base.cdf(np.asarray(x, float) - self.by)

    def mean(self) -> float:
        """Shift the mean of the base."""
        return self.by + self.base.mean()


@dataclass(frozen=True, slots=True)
class Mixture(Distribution):
    """A mixture: one of several distributions, each with its weight."""

    weights: tuple[float, ...]
    parts: tuple[Distribution, ...]

    def quantile(self, p: ArrayLike) -> Floats:
        """Invert the weighted cdf by bisection, to a relative error below 1e-12."""
        p = np.asarray(p, float)
        each = np.stack([part.quantile(p) for part in self.parts])
        low, high = each.min(axis=0), each.max(axis=0)
        for _ in range(60):
            middle = (low + high) / 2
            below = self.cdf(middle) < p
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return np.asarray(high)

    def cdf(self, x: ArrayLike) -> Floats:
        """Weigh the cdfs of the parts."""
        each = [w * part.cdf(x) for w, part in zip(self.weights, self.parts, strict=True)]
        return np.asarray(sum(each))

    def mean(self) -> float:
        """Weigh the means of the parts."""
        return sum(w * part.mean() for w, part in zip(self.weights, self.parts, strict=True))


@dataclass(frozen=True, slots=True)
class Empirical(Distribution):
    """Piecewise linear between measured quantiles."""

    p: tuple[float, ...]  # ascending, from 0 to 1
    ns: tuple[float, ...]  # not descending

    def quantile(self, p: ArrayLike) -> Floats:
        """Interpolate in the table."""
        return np.asarray(np.interp(np.asarray(p, float), self.p, self.ns))

    def cdf(self, x: ArrayLike) -> Floats:
        """Interpolate in the table the other way. At an atom the upper value counts."""
        x, ns, p = np.asarray(x, float), np.asarray(self.ns), np.asarray(self.p)
        right = np.searchsorted(ns, x, side="right").clip(1, len(ns) - 1)
        left = right - 1
        width = ns[right] - ns[left]
        part = np.divide(x - ns[left], width, out=np.ones(np.shape(x)), where=width > 0)
        inside = p[left] + part.clip(0, 1) * (p[right] - p[left])
        return np.where(x < ns[0], 0.0, np.where(x >= ns[-1], 1.0, inside))

    def mean(self) -> float:
        """Integrate the quantile function exactly (trapezoids)."""
        return float(np.trapezoid(self.ns, self.p))


def uniform(low: float, high: float) -> Empirical:
    """Return the uniform distribution between two bounds in ns, `low` <= `high`."""
    return Empirical((0.0, 1.0), (low, high))


def mixture(parts: Sequence[tuple[float, Distribution]]) -> Mixture:
    """Mix distributions by relative weight: `parts` are pairs of weight and distribution.

    Raises
    ------
    ValueError
        If there is no part or a weight is not positive.
    """
    weights = [weight for weight, _ in parts]
    if not parts or min(weights) <= 0:
        raise ValueError("a mixture needs parts with positive weights")
    total = sum(weights)
    return Mixture(tuple(w / total for w in weights), tuple(part for _, part in parts))


def scaled(distribution: Distribution, factor: float) -> Distribution:
    """Multiply every time by `factor`. The shape stays.

    Raises
    ------
    ValueError
        If the factor is not positive.
    NotImplementedError
        If the kind of distribution cannot be scaled.
    """
    if not factor > 0:
        raise ValueError(f"a factor of {factor} makes no time; give one above 0")
    match distribution:
        case Constant(ns):
            return Constant(ns * factor)
        case Lognormal(median, sigma):
            return Lognormal(median * factor, sigma)
        case Gamma(average, cv):
            return Gamma(average * factor, cv)
        case Shifted(by, base):
            return Shifted(by * factor, scaled(base, factor))
        case Mixture(weights, parts):
            return Mixture(weights, tuple(scaled(part, factor) for part in parts))
        case Empirical(p, ns):
            return Empirical(p, tuple(time * factor for time in ns))
    raise NotImplementedError(f"{type(distribution).__name__} cannot be scaled")


OCTAVES = 44  # tail probabilities resolved down to 2**-44
CELLS = 128  # nodes an octave


@lru_cache(maxsize=512)  # 46 MB: a study of costs makes new ones by the thousand
def quantile_nodes(distribution: Distribution) -> tuple[Floats, Floats]:
    """Tabulate a quantile function on a grid that is log-linear in both tails.

    Returns
    -------
    lower, upper : ndarray, shape (OCTAVES * CELLS + 1,)
        ``lower[i]`` is the quantile at tail probability v_i, ``upper[i]`` at 1 - v_i, with
        v_i = 2**(i // CELLS - OCTAVES - 1) * (1 + i % CELLS / CELLS), up to v = 1/2. Straight
        lines between nodes are off by less than 1e-4 of the value for every shape shipped, but
        for cells (1/128 of their tail probability wide) in which a mixture jumps or a measured
        table has a corner.
    """
    i = np.arange(OCTAVES * CELLS + 1)
    v = np.ldexp(1 + (i % CELLS) / CELLS, i // CELLS - OCTAVES - 1)
    lower, upper = distribution.quantile(v), distribution.quantile(1 - v)
    lower.flags.writeable = upper.flags.writeable = False
    return lower, upper
