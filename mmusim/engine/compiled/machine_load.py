"""Load, epochs and prices of :mod:`mmusim.engine.state.machine_load`, for compiled vCPUs.

On a host without a machine `loads` is 0, no epoch ends, and this module changes no number. With a
machine, the event loop closes an epoch as soon as the clock has passed its end. The SimPy engine
closes it at the next request for a price. Both give the same prices, because no vCPU begins or
ceases to run in between.
"""

from __future__ import annotations

from typing import Any

from mmusim.costs.machine import ONE
from mmusim.engine.compiled.jit import compile_all, jit
from mmusim.engine.compiled.memory import Memory
from mmusim.engine.state import machine_load
from mmusim.engine.state.machine_load import EPOCH_NS, NEVER_NS, FirstTouch, price_tables
from mmusim.plan.make import Plan

close_epochs, count_running, work, access_ns, memory_waits = compile_all(
    machine_load, "close_epochs", "count_running", "work", "access_ns", "memory_waits"
)


def describe(memory: Memory, plan: Plan, touch: FirstTouch | None) -> None:
    """Write the prices and servers of a described machine into memory; `touch`: those of first
    touches.
    """
    memory.set("slowdown", ONE)
    memory.set("epoch_ends", NEVER_NS if plan.machine is None else EPOCH_NS)
    if plan.machine is None:
        return
    slowdown, line = price_tables(plan.machine, plan)
    memory.put("slowdowns", slowdown)
    memory.put("lines", line)
    facts = {"loads": 1}
    if touch is not None:
        facts |= {
            "touches": 1,
            "mmap_ns": touch.mmap_ns,
            "clear_ns": touch.clear_ns,
            "clear_own_ns": touch.clear_own_ns,
        }
    for name, value in facts.items():
        memory.set(name, value)


@jit
def left(s: Any) -> int:
    """Return the rest of this epoch in ns."""
    ns: int = s.epoch_ends - s.now
    return ns


@jit
def runs(s: Any, v: int, on: int) -> None:
    """Note that a vCPU runs from now on (`on` is 1), or waits (0)."""
    if s.loads and s.runs[v] != on:
        s.runs[v] = on
        count_running(s, 1 if on else -1)


@jit
def hit(s: Any, v: int, ns: int, write: int) -> int:
    """Return the time in ns of an access of `ns` at present prices; `write` is 0 or 1."""
    taken: int = ns
    if s.loads:
        taken = access_ns(s, ns, s.misses[v] * (1 + write))
    return taken
