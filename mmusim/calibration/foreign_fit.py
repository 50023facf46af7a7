"""Costs from foreign measurements, and how well each shape of distribution fits them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from mmusim.base.errors import ConfigError
from mmusim.base.quantities import exact_ns
from mmusim.base.units import NS
from mmusim.calibration.foreign import read_foreign
from mmusim.calibration.foreign_series import Floats, Foreign, Summary, from_bins
from mmusim.calibration.plausible import check_plausible
from mmusim.calibration.tables import Certainty, as_cost, ks_distance, table
from mmusim.config.host import Cost, HostProfile, load_profile
from mmusim.config.load import check
from mmusim.costs.distributions import Constant, Distribution, Lognormal
from mmusim.vocabulary import COSTS

NORMAL_95: Final = 1.96
"""Standard errors on each side of a mean in its 95 % interval."""


class Fitted(NamedTuple):
    """One shape fitted to one cost."""

    cost: str
    shape: str
    distribution: Distribution
    value: Any  # as a profile has it
    ks: float | None  # largest distance between the distribution functions; None: not known
    quantile_error: float | None  # largest relative error of p50, p90, p99; None: not known
    observations: int
    certainty: Certainty | None = None  # of a mean
    about: str = ""  # what the times include, and what the file lacks


def fits_of(argument: str, *, implausible: bool = False) -> list[Fitted]:
    """Fit what an argument names: ``COST=FILE``, behind it ``:NAME``, ``:UNIT`` or both.

    NAME is a column, a map, a system call or a reason of exits; UNIT is one of ns, us, ms, s, min.
    A map that is called like a unit is written with its @.

    Raises
    ------
    ConfigError
        If it is not of that form, or as :func:`read_foreign` and :func:`fits`.
    """
    cost, _, place = argument.partition("=")
    if not place:
        raise ConfigError.of(
            "fit", "COST=FILE", argument, "has no =", "write e.g. c_fault_slow=faults.csv"
        )
    file, rest = _place(place)
    unit = rest.pop() if rest and rest[-1] in NS else ""
    data = read_foreign(Path(file), unit, ":".join(rest), cost)
    return fits(cost, data, implausible=implausible)


def _place(place: str) -> tuple[str, list[str]]:
    """Return the file that a place begins with, whose name may have colons, and what follows."""
    parts = place.split(":")
    for length in range(len(parts), 1, -1):
        file = ":".join(parts[:length])
        if "\0" not in file and len(file) < 4096 and Path(file).is_file():
            return file, parts[length:]
    return parts[0], parts[1:]


def fits(cost: str, data: Foreign, *, implausible: bool = False) -> list[Fitted]:
    """Fit every shape, sorted by KS distance. The table of quantiles is among them.

    Maximum likelihood fits lognormal and gamma; on a histogram it uses the middles of the bins. A
    table fits the samples it was made of. So a shape that comes near is the better description: it
    has two parameters. `implausible` accepts times that no known host needs.
    """
    COSTS.require(cost, "fit", "COST")
    if data.count == 0:
        raise ConfigError.of("fit", cost, None, "has no observation", "give a file with some")
    if not implausible:
        check_plausible(cost, data)
    if data.summary is not None:
        return [_of_summary(cost, data.summary, data.note)]
    if data.kind == "samples":
        points, weight = data.samples, np.ones(len(data.samples))
        exact = table(data.samples)
    else:
        points, weight = data.edges.mean(axis=1), data.counts
        exact = from_bins(data.edges, data.counts)
    out = [_fitted(cost, "quantiles", as_cost(exact), data)]
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
        out.append(_fitted(cost, "lognormal", spec, data))
        cv = _gamma_cv(np.log(mean) - middle)
        if cv <= 3:
            spec = {"gamma": {"mean": exact_ns(round(mean, 3)), "cv": round(cv, 6)}}
            out.append(_fitted(cost, "gamma", spec, data))
    return sorted(out, key=lambda fitted: fitted.ks or 0.0)


def _of_summary(cost: str, summary: Summary, note: str) -> Fitted:
    """Take the mean for a constant. Its interval is that of the mean, and of its last digit."""
    mean = exact_ns(round(summary.mean, 3))
    half = NORMAL_95 * summary.error + summary.rounding
    certainty = None
    if summary.observations > 1:
        low = max(summary.mean - half, 0.0)
        certainty = Certainty(low, summary.mean + half, summary.observations, 1)
    constant = Constant(round(summary.mean, 3))
    return Fitted(
        cost, "constant", constant, mean, None, None, summary.observations, certainty, note
    )


def _gamma_cv(s: float) -> float:
    """Solve ln k - digamma(k) = s for the maximum-likelihood shape k; return k^-1/2."""
    from scipy.optimize import brentq
    from scipy.special import digamma

    k = float(brentq(lambda k: float(np.log(k) - digamma(k) - s), 1e-3, 1e9))
    return float(k**-0.5)


def _fitted(cost: str, shape: str, value: Any, data: Foreign) -> Fitted:
    """Compare a cost in its written, rounded form with the measurements."""
    written = {"value": value, "provenance": "measured", "note": shape}
    distribution = check(written, Cost, f"fit {cost}").distribution()
    p = np.array([0.5, 0.9, 0.99])
    if data.kind == "samples":
        ks, measured = ks_distance(data.samples, distribution), np.quantile(data.samples, p)
    else:
        ks, measured = _ks_of_bins(data.edges, data.counts, distribution), from_bins(
            data.edges, data.counts
        ).quantile(p)  # fmt: skip
    error = np.max(np.abs(distribution.quantile(p) - measured) / np.maximum(measured, 1.0))
    return Fitted(cost, shape, distribution, value, ks, float(error), data.count, about=data.note)


def _ks_of_bins(edges: Floats, counts: Floats, distribution: Distribution) -> float:
    """Compare at the ends of the bins, because a histogram says nothing between them."""
    order = np.argsort(edges[:, 1])
    upto = np.cumsum(counts[order]) / counts.sum()
    return float(np.max(np.abs(upto - distribution.cdf(edges[order, 1]))))


def foreign_profile(chosen: Mapping[str, Fitted], name: str, base: str) -> dict[str, Any]:
    """Return a profile with these costs, and all others from the base.

    The base's machine stays. What was measured of its interference, hits and levels does not: it
    belongs to the base's own faults, and foreign times contain their host's interruptions.
    """
    fallback: HostProfile = load_profile(base)
    costs: dict[str, Any] = {}
    for cost in COSTS:
        if cost in chosen:
            costs[cost] = _written(chosen[cost])
        else:
            costs[cost] = fallback.costs[cost].model_dump(mode="json", exclude_none=True)
            if costs[cost]["provenance"] == "measured":
                costs[cost]["note"] = f"of {base}: {costs[cost]['note']}"
    kept = fallback.model_dump(
        mode="json", include={"machine"}, exclude_none=True, exclude_defaults=True
    )
    data = kept | {
        "name": name, "describes": f"{base} with {', '.join(chosen)} fitted to other data",
        "source": "mmusim fit", "costs": costs,
    }  # fmt: skip
    check(data, HostProfile, name)
    return data


def _written(f: Fitted) -> dict[str, Any]:
    """Return a cost as a profile has it."""
    about = f"; {f.about}" if f.about else ""
    made: dict[str, Any] = {"value": f.value, "provenance": "measured"}
    if f.ks is not None:
        made["ks"] = round(f.ks, 5)
    if f.certainty is not None:
        low, high, observations, replicates = f.certainty
        made["certainty"] = {
            "low": exact_ns(math.floor(low)), "high": exact_ns(math.ceil(high)),
            "samples": observations, "replicates": replicates,
        }  # fmt: skip
    if f.quantile_error is None:
        made["note"] = f"mean of {f.observations} observations, whose shape is not known{about}"
    else:
        made["note"] = (
            f"{f.shape} fitted to {f.observations} observations; p50, p90, p99 within "
            f"{f.quantile_error:.1%}{about}"
        )
    return made
