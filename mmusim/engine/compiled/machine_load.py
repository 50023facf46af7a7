"""Load, epochs and prices of :mod:`mmusim.engine.state.machine_load`, for compiled vCPUs.

On a host without a machine `loads` is 0, no epoch ends, and nothing here changes a number. With
one, the event loop closes epochs as soon as the clock has passed their end. That is what closing
them before the next look at a price comes to: in between, no vCPU begins or ceases to run.
"""

from __future__ import annotations

from typing import Any

from mmusim.costs.machine import BITS, ONE
from mmusim.engine.compiled.jit import jit
from mmusim.engine.compiled.memory import Memory
from mmusim.engine.state.machine_load import EPOCH_NS, HALF, NEVER_NS, FirstTouch, price_tables
from mmusim.plan.make import Plan


def describe(memory: Memory, plan: Plan, touch: FirstTouch | None) -> None:
    """Write down the machine of a plan, if it is described."""
    memory.set("slowdown", ONE)
    memory.set("epoch_ends", NEVER_NS if plan.machine is None else EPOCH_NS)
    if plan.machine is None:
        return
    slowdown, line = price_tables(plan.machine, plan)
    memory.put("slowdowns", slowdown)
    memory.put("lines", line)
    facts = {"loads": 1}
    if touch is not None:
        facts |= {"touches": 1, "mmap_ns": touch.count_ns, "clear_ns": touch.clear_ns}
    for name, value in facts.items():
        memory.set(name, value)


@jit
def close_epochs(s: Any) -> None:
    """Set the prices of the epoch that the clock has come to."""
    over = s.now - s.epoch_ends
    s.running_sum += s.running * (s.epoch_ends - s.summed_ns)
    mean = (2 * s.running_sum + EPOCH_NS) // (2 * EPOCH_NS)
    if over >= EPOCH_NS:
        mean = s.running
    s.slowdown, s.line = s.slowdowns[mean], s.lines[mean]
    s.summed_ns = s.now - over % EPOCH_NS
    s.running_sum = 0
    s.epoch_ends = s.summed_ns + EPOCH_NS


@jit
def left(s: Any) -> int:
    """Return what is left of this epoch in ns."""
    ns: int = s.epoch_ends - s.now
    return ns


@jit
def runs(s: Any, v: int, on: int) -> None:
    """A vCPU runs from now on, or waits."""
    if s.loads and s.runs[v] != on:
        s.runs[v] = on
        s.running_sum += s.running * (s.now - s.summed_ns)
        s.summed_ns = s.now
        s.running += 1 if on else -1


@jit
def work(s: Any, ns: int) -> int:
    """Return what so much work takes at the price of now."""
    if s.slowdown == ONE:
        return ns
    taken: int = (ns * s.slowdown + HALF) >> BITS
    return taken


@jit
def hit(s: Any, v: int, ns: int, write: int) -> int:
    """Return what an access takes at the price of now."""
    if s.loads == 0:
        return ns
    lines = s.misses[v] * (1 + write)
    taken: int = (ns * s.slowdown + lines * s.line + HALF) >> BITS
    return taken


@jit
def memory_waits(s: Any) -> tuple[int, int]:
    """Return for how long a first touch waits for mmap_lock's count, and then for memory."""
    count: int = max(0, s.mmap_free_ns - s.now)
    s.mmap_free_ns = s.now + count + s.mmap_ns
    clear: int = max(0, s.clear_free_ns - s.now - count)
    s.clear_free_ns = s.now + count + clear + s.clear_ns
    return count, clear
