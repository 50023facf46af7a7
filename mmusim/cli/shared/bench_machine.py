"""What a described machine costs the engine: a slow fault with one, and without."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from mmusim.engine.simulate import Simulation
from mmusim.plan.make import Plan

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
        without, with_one = plan(n, False), plan(n, True)
        times: list[tuple[float, float]] = []
        for number in range(rounds):
            if number % 2:
                after = _ns(with_one, engine)
                times.append((_ns(without, engine), after))
            else:
                before = _ns(without, engine)
                times.append((before, _ns(with_one, engine)))
        ratios = [b / a for a, b in times]
        rows.append(
            {
                "vcpus": n, "without_ns": statistics.median(a for a, _ in times),
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
