"""mmu_lock on the run's memory: the text of :mod:`mmusim.engine.state.fifo_lock`, compiled."""

from __future__ import annotations

from typing import Any

from mmusim.engine.compiled.events import KIND_BITS, NORMAL, PYTHON, VCPU, WAITS, push
from mmusim.engine.compiled.fields import HOLDS_EXCLUSIVE
from mmusim.engine.compiled.jit import compile_all, jit
from mmusim.engine.compiled.probe_rows import tell_hold
from mmusim.engine.compiled.recording import tally
from mmusim.engine.state import fifo_lock


@jit
def row_of(s: Any, who: int) -> Any:
    """Return the row of an actor; those of other actors than vCPUs are the last."""
    return s.holder_rows[who if who >= 0 else who + len(s.holder_rows)]


@jit
def hold_ends(s: Any, who: int, row: Any) -> None:
    """Record a hold of an actor that ends now; `row` is the actor's."""
    if s.has_probe:
        tell_hold(s, who, row)
    tally(s, HOLDS_EXCLUSIVE + s.read, s.now - row[2])


@jit
def was_held(s: Any, ns: int, times: int) -> None:
    """Record `times` exclusive holds of `ns` each, for which nobody waited."""
    for _ in range(times):
        tally(s, HOLDS_EXCLUSIVE, ns)


@jit
def goes_on(s: Any, who: int, slot: int, delay: int) -> None:
    """Let a waiter go on in `delay` ns; `slot` is that of a Python event, or -1 for a compiled
    vCPU.
    """
    if slot >= 0:
        push(s, s.now + delay, NORMAL, slot << KIND_BITS | PYTHON)
    else:
        s.waits[who] = push(s, s.now + delay, NORMAL, who << KIND_BITS | VCPU)


_, _, _, acquire, release, count_readers = compile_all(
    fifo_lock, "account", "hold", "grant", "acquire", "release", "count_readers",
    row_of=row_of, hold_ends=hold_ends, goes_on=goes_on,
)  # fmt: skip


@jit
def queues(s: Any, v: int, shared: int) -> bool:
    """Let a vCPU take the lock, for read if `shared`, or queue for it; return whether it queues."""
    return not acquire(s, v, shared, -1)


@jit
def await_grant(s: Any, v: int) -> int:
    """Let a vCPU wait in the queue of the lock."""
    s.waits[v] = 0
    return WAITS
