"""Costs from foreign measurements, and how well each shape of distribution fits them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from mmusim.base.errors import ConfigError, nearest
from mmusim.base.quantities import exact_ns
from mmusim.calibration.foreign import Floats, Foreign, from_bins
from mmusim.calibration.tables import as_cost, ks_distance, table
from mmusim.config.host import COSTS, HostProfile, load_profile
from mmusim.config.load import check
from mmusim.costs.distributions import Distribution, Gamma, Lognormal


class Fitted(NamedTuple):
    """One shape fitted to one cost."""

    cost: str
    shape: str
    distribution: Distribution
    value: Any  # as a profile has it
    ks: float  # largest distance between the distribution functions
    quantile_error: float  # largest relative error of p50, p90, p99
    observations: int


def fits(cost: str, data: Foreign) -> list[Fitted]:
    """Fit every shape, the best first by KS distance; the table of quantiles is among them.

    Lognormal and gamma are fitted by maximum likelihood; on a histogram by that of its bins'
    middles. A table fits what it was made of, so a shape that comes near is the better
    description: it has two parameters.

    Raises
    ------
    ConfigError
        If there is no such cost.
    """
    if cost not in COSTS:
        raise ConfigError.of(
            "fit", "COST", cost, "is not a cost of the model", nearest(cost, COSTS)
        )
    if data.count == 0:
        raise ConfigError.of("fit", cost, None, "has no observation", "give a file with some")
    if data.kind == "samples":
        points, weight = data.samples, np.ones(len(data.samples))
        exact = table(data.samples)
    else:
        points, weight = data.edges.mean(axis=1), data.counts
        exact = from_bins(data.edges, data.counts)
    out = [_fitted(cost, "quantiles", exact, as_cost(exact), data)]
    positive = np.maximum(points, 0.5)
    logs = np.log(positive)
    total = weight.sum()
    middle = float((weight * logs).sum() / total)
    sigma = float(np.sqrt((weight * (logs - middle) ** 2).sum() / total))
    mean = float((weight * positive).sum() / total)
    if sigma > 1e-6:
        lognormal = Lognormal(float(np.exp(middle)), sigma)
        spec: Any = {
            "lognormal": {
                "median": exact_ns(round(lognormal.median, 3)),
                "p99": exact_ns(round(float(lognormal.quantile(0.99)), 3)),
            }
        }
        out.append(_fitted(cost, "lognormal", lognormal, spec, data))
        cv = _gamma_cv(np.log(mean) - middle)
        if cv <= 3:
            spec = {"gamma": {"mean": exact_ns(round(mean, 3)), "cv": round(cv, 6)}}
            out.append(_fitted(cost, "gamma", Gamma(mean, cv), spec, data))
    return sorted(out, key=lambda fitted: fitted.ks)


def _gamma_cv(s: float) -> float:
    """Solve ln k - digamma(k) = s for the maximum-likelihood shape k; return k^-1/2."""
    from scipy.optimize import brentq
    from scipy.special import digamma

    k = float(brentq(lambda k: float(np.log(k) - digamma(k) - s), 1e-3, 1e9))
    return float(k**-0.5)


def _fitted(
    cost: str, shape: str, distribution: Distribution, value: Any, data: Foreign
) -> Fitted:  # fmt: skip
    p = np.array([0.5, 0.9, 0.99])
    if data.kind == "samples":
        ks, truth = ks_distance(data.samples, distribution), np.quantile(data.samples, p)
    else:
        ks, truth = _ks_of_bins(data.edges, data.counts, distribution), from_bins(
            data.edges, data.counts
        ).quantile(p)  # fmt: skip
    error = np.max(np.abs(distribution.quantile(p) - truth) / np.maximum(truth, 1.0))
    return Fitted(cost, shape, distribution, value, ks, float(error), data.count)


def _ks_of_bins(edges: Floats, counts: Floats, distribution: Distribution) -> float:
    """Compare at the ends of the bins, between which a histogram says nothing."""
    order = np.argsort(edges[:, 1])
    upto = np.cumsum(counts[order]) / counts.sum()
    return float(np.max(np.abs(upto - distribution.cdf(edges[order, 1]))))


def foreign_profile(chosen: Mapping[str, Fitted], name: str, base: str) -> dict[str, Any]:
    """Return a profile with these costs, and all others as the base has them.

    Raises
    ------
    ConfigError
        If there is no such base.
    """
    fallback: HostProfile = load_profile(base)
    costs: dict[str, Any] = {}
    for cost in COSTS:
        if cost in chosen:
            f = chosen[cost]
            costs[cost] = {
                "value": f.value, "provenance": "measured", "ks": round(f.ks, 5),
                "note": f"{f.shape} fitted to {f.observations} observations; p50, p90, p99 within "
                f"{f.quantile_error:.1%}",
            }  # fmt: skip
        else:
            costs[cost] = fallback.costs[cost].model_dump(mode="json", exclude_none=True)
            if costs[cost]["provenance"] == "measured":
                costs[cost]["note"] = f"of {base}: {costs[cost]['note']}"
    data = {
        "name": name, "describes": f"{base} with {', '.join(chosen)} fitted to other data",
        "source": "mmusim fit", "costs": costs,
    }  # fmt: skip
    check(data, HostProfile, name)
    return data
