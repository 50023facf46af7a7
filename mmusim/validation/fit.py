"""Unit costs from the few published rows that may be used for fitting.

Apart from waits, time is linear in unit costs: a run says how much of a phase each cost is. So a
few rounds of simulating, decomposing and solving least squares of the logarithms give the costs. A
robust loss keeps contradictory rows from bending the costs. A weak pull towards the profile keeps
costs that the rows do not determine.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from mmusim.base.units import PAGES_PER_REGION
from mmusim.config.cost import rescaled
from mmusim.config.host import HostProfile
from mmusim.config.topology import Machine
from mmusim.validation.predict import REGIONS, Times, predict
from mmusim.validation.published import PublishedValue

FREE: Final = (
    "t_hit_2M", "t_write", "t_walk_4K", "c_pml_log", "c_fault_slow", "c_fault_fast",
    "c_tdp_split_2M", "c_split_2M", "c_head", "c_wclear", "c_dclear",
)  # fmt: skip
"""Costs that the rows determine. All others keep the profile's value, also those of contention."""

CAUSE_OF: Final = {
    "walk_4k": "t_walk_4K", "fault_slow": "c_fault_slow", "fault_fast": "c_fault_fast",
    "split_large": "c_tdp_split_2M", "pml_log": "c_pml_log",
}  # fmt: skip
ROUNDS: Final = 3
GHZ: Final = 2.7  # of skylake-2021
FLUSHES: Final = "remote TLB flushes"
TOUCHED: Final = 32  # small runs suffice: a row at 2 vCPUs hardly waits
PULL: Final = 0.03
LOOSE: Final = 0.05  # residuals of the logarithm that are ordinary


def is_for_fitting(value: PublishedValue) -> bool:
    """Tell whether a value may be used to fit, by the reading guide of the published table."""
    flushes = value.id == "G2" and "flush per region" in value.variant
    return in_least_squares(value) or flushes or value.id == "K1"


def in_least_squares(value: PublishedValue) -> bool:
    """Tell whether a value is the time of a run that is decomposed into costs."""
    run = value.run
    if run is None:
        return False
    if value.id in ("A3", "B1", "B4"):
        return run.vcpus == 2
    if value.id == "E1":
        return not run.all_set  # the guide means the time without that
    return value.id == "C2" and value.variant == "tdp_mmu=Y lockless"


class Fit(NamedTuple):
    """Fitted costs and how well the rows agree with them."""

    costs: Mapping[str, Any]  # as a file has them
    factors: Mapping[str, float]  # to the profile's
    rows: Sequence[tuple[PublishedValue, float]]  # with what the model says, seconds


def fit(
    values: Sequence[PublishedValue],
    profile: HostProfile,
    workers: int | None = None,
    scheduler: str | None = None,
    machine: Machine | None = None,
) -> Fit:
    """Fit the free costs to the values that are for fitting, starting from a profile.

    The laws of `machine` are given: none of their constants is fitted.
    """
    rows = [value for value in values if in_least_squares(value)]
    factors = dict.fromkeys(FREE, 1.0)
    alone = by_itself(values, profile)
    costs: dict[str, Any] = {}
    for number in range(ROUNDS + 1):
        scale = factors | alone
        costs = {name: rescaled(profile.costs[name].value, by) for name, by in scale.items()}
        predicted = predict(
            [row.run for row in rows if row.run],
            costs,
            machine=machine,
            touched=TOUCHED,
            workers=workers,
            scheduler=scheduler,
        )
        times = [predicted[row.run][row.phase] for row in rows if row.run]
        if number == ROUNDS:
            break
        means = {n: profile.costs[n].distribution().mean() * factors[n] for n in FREE}
        steps = solve(rows, times, means, factors)
        factors = {name: factors[name] * steps[name] for name in FREE}
    return Fit(
        costs, factors | alone, [(row, t.ns / 1e9) for row, t in zip(rows, times, strict=True)]
    )


def by_itself(values: Sequence[PublishedValue], profile: HostProfile) -> dict[str, float]:
    """Return the factors of costs that one value alone determines.

    An exit and an entry are a hypercall of K1, at the frequency of the profile's host. The vCPUs
    that a flush waits for share its cost beyond the start: G2 counted flushes and took the time
    with one flush per region and with one in all.
    """
    means = {name: cost.distribution().mean() for name, cost in profile.costs.items()}
    factors: dict[str, float] = {}
    cycles = [f.seconds for f in values if f.id == "K1"]
    if cycles:
        factor = min(cycles) / GHZ / (means["c_exit"] + means["c_entry"])
        factors |= {"c_exit": factor, "c_entry": factor}
    times = {f.variant: f for f in values if f.id == "G2" and f.run is not None}
    counts = {f.variant: f.seconds for f in values if f.id == "G2" and f.metric == FLUSHES}
    if len(times) == 2 and times.keys() == counts.keys():
        (one, two), run = times.values(), next(iter(times.values())).run
        assert run is not None
        flush = (one.seconds - two.seconds) / (counts[one.variant] - counts[two.variant]) * 1e9
        each = (flush - means["c_flush_init"]) / run.vcpus
        factors["c_flush_target"] = each / means["c_flush_target"]
    return factors


def solve(
    rows: Sequence[PublishedValue],
    times: Sequence[Times],
    means: Mapping[str, float],
    factors: Mapping[str, float],
) -> dict[str, float]:
    """Return the factors by which the costs must change to match the rows."""
    from scipy.optimize import least_squares

    parts = np.array([[_part(row, t, name, means) for name in FREE]
                      for row, t in zip(rows, times, strict=True)])  # fmt: skip
    rest = np.array([t.ns for t in times]) - parts.sum(axis=1)
    published = np.array([row.seconds * 1e9 for row in rows])
    so_far = np.log([factors[name] for name in FREE])

    def residuals(logs: Any) -> Any:
        predicted = np.maximum(rest + parts @ np.exp(logs), 1.0)
        return np.concatenate([np.log(predicted / published), PULL * (so_far + logs)])

    found = least_squares(residuals, np.zeros(len(FREE)), loss="cauchy", f_scale=LOOSE,
                          bounds=(-math.log(20), math.log(20)))  # fmt: skip
    return dict(zip(FREE, np.exp(found.x).tolist(), strict=True))


def _part(row: PublishedValue, times: Times, cost: str, means: Mapping[str, float]) -> float:
    """Return the part of a phase's time that is due to a cost, in ns."""
    assert row.run is not None
    if cost in ("t_hit_2M", "t_write"):
        accesses = row.run.gib * REGIONS * PAGES_PER_REGION if times.parts.get("hits") else 0
        return accesses * means[cost] * (row.run.writes / 100 if cost == "t_write" else 1.0)
    names = [cost, *(cause for cause, made_of in CAUSE_OF.items() if made_of == cost)]
    return sum(times.parts.get(name, 0.0) for name in names)
