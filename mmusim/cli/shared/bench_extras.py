"""What a setting costs the engine where it changes nothing of the fault: with it, and without."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from itertools import product
from typing import Any, Final, NamedTuple

from mmusim.engine.simulate import Simulation
from mmusim.plan.make import Plan

MACHINE: Final = {"nodes": 2, "cores": 56, "threads_per_core": 2, "private_cache": "0B"}
"""A host of two sockets, with all laws of load."""
REACH: Final = 1536
"""Entries of a second-level TLB (Skylake)."""
WINDOW_MS: Final = 10
MEASURED: Final = {"profile": "emerald-rapids-pvm-2"}
PLAIN_HITS: Final = {"costs": {"t_hit_2M": "30ns", "t_walk_4K": "100ns"}}
"""An experiment that says what hits cost has no curve of them. A constant needs no draw."""
DRAWN_HITS: Final = {
    "costs": {
        "t_hit_2M": {"lognormal": {"median": "30ns", "p99": "200ns"}},
        "t_walk_4K": {"lognormal": {"median": "100ns", "p99": "400ns"}},
    }
}
"""Hits that are drawn, as those of a curve are, but from the same table always."""
AIM: Final = 1.05
"""What a slow fault may cost with a setting, by what it costs without."""


class Extra(NamedTuple):
    """A setting whose cost is measured: tables of an experiment without it, and with it."""

    name: str
    without: dict[str, Any]
    with_it: dict[str, Any]


def windows(count: int) -> dict[str, Any]:
    """Return the table of so many windows in a row, from the first fault on."""
    made = [
        {"name": f"w{n}", "from": "write", "after": f"{n * WINDOW_MS}ms", "lasts": f"{WINDOW_MS}ms"}
        for n in range(count)
    ]
    return {"driver": {"windows": made}}


EXTRAS: Final = (
    Extra("a described machine", {}, {"host": {"machine": MACHINE}}),
    Extra("one window", {}, windows(1)),
    Extra("four windows, not one", windows(1), windows(4)),
    Extra(f"a TLB of {REACH:,}", {}, {"host": {"tlb": REACH}}),
    Extra(
        "hits that are drawn, not constant",
        {"host": {**MEASURED, **PLAIN_HITS}},
        {"host": {**MEASURED, **DRAWN_HITS}},
    ),
    Extra(
        "a curve of hits, not one table", {"host": {**MEASURED, **DRAWN_HITS}}, {"host": MEASURED}
    ),
)


def costs_of_extras(
    plan: Callable[[int, dict[str, Any]], Plan], vcpus: Iterable[int], engine: str, rounds: int
) -> list[dict[str, Any]]:
    """Return a row for each setting and number of vCPUs: processor time of a slow fault, ratio.

    Parameters
    ----------
    plan : callable
        Makes the run of so many vCPUs, with these tables in its experiment.
    vcpus : iterable of int
    engine : str
    rounds : int
        Pairs of runs, whose order changes from pair to pair. The ratio is the median of theirs.
    """
    rows = []
    for extra, n in product(EXTRAS, vcpus):
        without, with_it = plan(n, extra.without), plan(n, extra.with_it)
        times: list[tuple[float, float]] = []
        for number in range(rounds):
            if number % 2:
                after = _ns(with_it, engine)
                times.append((_ns(without, engine), after))
            else:
                before = _ns(without, engine)
                times.append((before, _ns(with_it, engine)))
        ratios = [b / a for a, b in times]
        rows.append(
            {
                "with": extra.name, "vcpus": n,
                "without_ns": statistics.median(a for a, _ in times),
                "with_ns": statistics.median(b for _, b in times),
                "ratio": statistics.median(ratios), "lowest": min(ratios),
                "highest": max(ratios), "aim": AIM,
            }
        )  # fmt: skip
    return rows


def _ns(plan: Plan, engine: str) -> float:
    """Return the processor time of a slow fault."""
    simulation = Simulation(plan, engine=engine)
    started = time.process_time()
    trace = simulation.run()
    return 1e9 * (time.process_time() - started) / trace.counters["pf_taken"]
