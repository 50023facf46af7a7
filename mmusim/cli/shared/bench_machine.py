"""What a described machine and a curve of hits cost the engine: work with one, and without."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from mmusim.costs.hits import HitCurve
from mmusim.engine.simulate import Simulation
from mmusim.plan.make import Plan
from mmusim.trace.records import Trace

MACHINE: Final = {"nodes": 2, "cores": 56, "threads_per_core": 2, "private_cache": "0B"}
"""A host of two sockets, with all laws of load."""
AIM: Final = 1.05
"""What a slow fault may cost with a machine, by what it costs without."""


def costs_of_machine(
    plan: Callable[[int, bool], Plan], vcpus: Iterable[int], engine: str, rounds: int
) -> list[dict[str, Any]]:
    """Return a row for each number of vCPUs: processor time of a slow fault, and the ratio.

    Parameters
    ----------
    plan : callable
        Makes the run of so many vCPUs, with a machine or without.
    vcpus : iterable of int
    engine : str
    rounds : int
        Pairs of runs, whose order changes from pair to pair. The ratio is the median of theirs.
    """
    rows = []
    for n in vcpus:
        pair = plan(n, False), plan(n, True)
        rows.append({"vcpus": n, **compared(*pair, engine, rounds, _faults), "aim": AIM})
    return rows


def costs_of_curve(
    plans: Mapping[str, Plan], curve: HitCurve, engine: str, rounds: int
) -> list[dict[str, Any]]:
    """Return a row for each run: processor time of an access with a curve and without."""
    return [
        {"work": name, **compared(plan, replace(plan, curve=curve), engine, rounds, _accesses)}
        for name, plan in plans.items()
    ]


def compared(
    without: Plan, with_one: Plan, engine: str, rounds: int, count: Callable[[Plan, Trace], int]
) -> dict[str, float]:
    """Return the processor time of what is counted in two runs, and the ratio.

    The order of the runs changes from pair to pair. The ratio is the median of theirs.
    """
    times: list[tuple[float, float]] = []
    for number in range(rounds):
        if number % 2:
            after = _ns(with_one, engine, count)
            times.append((_ns(without, engine, count), after))
        else:
            before = _ns(without, engine, count)
            times.append((before, _ns(with_one, engine, count)))
    ratios = [b / a for a, b in times]
    return {
        "without_ns": statistics.median(a for a, _ in times),
        "with_ns": statistics.median(b for _, b in times),
        "ratio": statistics.median(ratios), "lowest": min(ratios), "highest": max(ratios),
    }  # fmt: skip


def _faults(plan: Plan, trace: Trace) -> int:
    del plan
    return trace.counters["pf_taken"]


def _accesses(plan: Plan, trace: Trace) -> int:
    del trace
    return plan.accesses() or 1


def _ns(plan: Plan, engine: str, count: Callable[[Plan, Trace], int]) -> float:
    """Return the processor time of what is counted."""
    simulation = Simulation(plan, engine=engine)
    started = time.process_time()
    trace = simulation.run()
    return 1e9 * (time.process_time() - started) / count(plan, trace)
