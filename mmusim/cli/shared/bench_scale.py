"""``mmusim bench --scale``: how the cost of a run grows, with slopes."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from mmusim.cli.shared.figures import write_figure
from mmusim.cli.shared.output import table
from mmusim.config.settings import settings_of
from mmusim.engine.choice import prepare
from mmusim.engine.simulate import Simulation
from mmusim.plan.make import Plan, make_plan

ROUNDS: Final = 3
FEW_FAULTS: Final = 1 << 17


class Sweep(NamedTuple):
    """Runs of growing size, all else equal."""

    name: str
    sizes: tuple[int, ...]
    plan: Callable[[int], Plan]


class Cost(NamedTuple):
    """The cost of a run of one size."""

    sweep: str
    size: int
    seconds: float  # median of the rounds


def sweeps(largest: int) -> list[Sweep]:
    """Return the sweeps; `largest` bounds the number of faults."""
    faults = tuple(largest >> n for n in (8, 6, 4, 2, 0))
    few = min(FEW_FAULTS, largest)
    return [
        Sweep("slow faults of 16 vCPUs", faults, lambda n: _plan(16, 2 * max(16, n >> 9), n)),
        Sweep(
            f"vCPUs, {few:,} slow faults", (1, 4, 16, 64, 256),
            lambda n: _plan(n, 2 * max(n, few >> 9), few),
        ),
        Sweep(
            "pages of the VM, faults as many", tuple(few << n for n in (0, 2, 4, 6, 8)),
            lambda n: _plan(16, n >> 8, few),
        ),
        Sweep(
            "accesses that hit", tuple(few << n for n in (3, 5, 7)),
            lambda n: _plan(16, 2 * max(16, few >> 9), few, passes=n // few),
        ),
    ]  # fmt: skip


def _plan(vcpus: int, mib: int, faults: int, passes: int = 0) -> Plan:
    """Populate some pages of a VM while it logs, then go over them so often."""
    mib = -(-mib // (2 * vcpus)) * 2 * vcpus
    share = f"{100 * faults / (mib * 256):.15g}%"
    phases: list[dict[str, Any]] = [
        {"do": "enable-logging"}, *[{"do": "write", "pages": share}] * (1 + passes),
        {"do": "get-dirty-log"},
    ]  # fmt: skip
    data = {
        "schema": 1, "id": "bench", "question": "how does it grow?",
        "vm": {"vcpus": vcpus, "memory": f"{mib}MiB", "kernel": "linux-3.16"},
        "host": {"profile": "skylake-2021"}, "driver": {"phases": phases},
        "policies": {"baseline": "eager-drop", "compare": ["lazy-drop"]},
    }  # fmt: skip
    (setting,) = settings_of(data, "bench", Path())
    return make_plan(setting, "eager-drop", 1)


def measure(largest: int, engine: str) -> list[Cost]:
    """Return the cost of each run in processor time, not wall time."""
    costs = []
    for sweep in sweeps(largest):
        for size in sweep.sizes:
            plan = sweep.plan(size)
            seconds = []
            for _ in range(ROUNDS):
                started = time.process_time()
                Simulation(plan, engine=engine).run()
                seconds.append(time.process_time() - started)
            costs.append(Cost(sweep.name, size, statistics.median(seconds)))
    return costs


def slopes(costs: list[Cost]) -> dict[str, tuple[float, float]]:
    """Return for each sweep the slope between its two largest, and the cost of one more there.

    The slope is d log(seconds) / d log(size); one more of whatever grows costs so many ns.
    """
    found = {}
    for name in dict.fromkeys(cost.sweep for cost in costs):
        one, two = [cost for cost in costs if cost.sweep == name][-2:]
        slope = math.log(two.seconds / one.seconds) / math.log(two.size / one.size)
        found[name] = slope, 1e9 * (two.seconds - one.seconds) / (two.size - one.size)
    return found


def scale(to: Path | None, engine: str, largest: int, as_json: bool) -> None:
    """Print how cost grows, and draw it."""
    costs = measure(largest, prepare(engine))
    steep = slopes(costs)
    rows = [
        {"what grows": c.sweep, "size": c.size, "processor_s": round(c.seconds, 4)} for c in costs
    ]
    ends = [
        {"what grows": name, "slope at the end": round(slope, 2), "one more costs ns": round(ns, 1)}
        for name, (slope, ns) in steep.items()
    ]
    if as_json:
        table("cost", rows, as_json, slopes=ends)
    else:
        table(f"Cost of a run, medians of {ROUNDS}", rows, as_json)
        table("Slopes in the log-log figure", ends, as_json)
    if to is not None:
        from mmusim import plots

        with plots.style():
            write_figure(plots.growth([c._asdict() for c in costs], steep), to)
