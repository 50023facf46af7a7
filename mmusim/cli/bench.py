"""How fast the engine is, beside bare SimPy on the same machine in the same run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import simpy

from mmusim.cli.output import table
from mmusim.config.cells import cells_of
from mmusim.engine import simulate
from mmusim.plan import make_plan

ROUNDS = 5
FAULTS = 32_768
CONTENDED = (1, 16, 64, 256)  # vCPUs that fault all the time


def bench(as_json: bool) -> None:
    """Print median rates of interleaved rounds, and ratios to bare SimPy."""
    faults, hits = _plan(1), _plan(40)
    work: dict[str, Callable[[], float]] = {
        "SimPy timeouts of one process": _timeouts,
        "slow faults, uncontended": lambda: _rate(faults, "pf_taken"),
        "accesses that hit": lambda: _rate(hits, None),
    }
    for vcpus in CONTENDED[1:]:
        work[f"slow faults, {vcpus} vCPUs at mmu_lock"] = _contended(vcpus)
    rates: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(ROUNDS):
        for name, measure in work.items():
            rates[name].append(measure())
    base = statistics.median(rates["SimPy timeouts of one process"])
    rows = [
        {
            "work": name,
            "median_per_second": round(statistics.median(row)),
            "slowest": round(min(row)),
            "fastest": round(max(row)),
            "relative_to_SimPy": statistics.median(row) / base,
        }
        for name, row in rates.items()
    ]
    table(f"Medians of {ROUNDS} interleaved rounds", rows, as_json)


def _timeouts(count: int = 200_000) -> float:
    def process(env: simpy.Environment) -> Iterator[simpy.Event]:
        for _ in range(count):
            yield env.timeout(1)

    env = simpy.Environment()
    env.process(process(env))  # type: ignore[arg-type]
    started = time.perf_counter()
    env.run()
    return count / (time.perf_counter() - started)


def _plan(passes: int, vcpus: int = 1, regions: int = FAULTS // 512, pages: str = "100%") -> Any:
    """One slow fault a page, then passes of nothing but hits; so many 2 MiB regions a vCPU."""
    phases = [{"do": "enable-logging"}, *[{"do": "write", "pages": pages}] * passes]
    data = {
        "schema": 1, "id": "bench", "question": "how fast?",
        "vm": {"vcpus": vcpus, "memory": f"{2 * vcpus * regions}MiB"},
        "host": {"profile": "skylake-2021"}, "driver": {"phases": phases},
        "policies": {"baseline": "eager-drop", "compare": ["lazy-drop"]},
    }  # fmt: skip
    (cell,) = cells_of(data, "bench", Path())
    return make_plan(cell, "eager-drop", 1)


def _contended(vcpus: int) -> Callable[[], float]:
    """As many slow faults as one vCPU takes, by many at once."""
    regions = max(1, FAULTS // 512 // vcpus)
    plan = _plan(1, vcpus, regions, f"{100 * FAULTS / (vcpus * regions * 512):.15g}%")
    return lambda: _rate(plan, "pf_taken")


def _rate(plan: Any, counter: str | None) -> float:
    """Rate of a counter, or of hits alone: the time of the faulting first pass is taken off."""
    started = time.perf_counter()
    trace = simulate(plan)
    elapsed = time.perf_counter() - started
    if counter is not None:
        return trace.counters[counter] / elapsed
    started = time.perf_counter()
    simulate(_plan(1))
    elapsed -= time.perf_counter() - started
    return sum(p.writes.count for p in trace.phases[2:]) / elapsed
