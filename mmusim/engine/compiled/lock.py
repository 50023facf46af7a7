"""mmu_lock on the run's memory; the rules are those of :mod:`mmusim.engine.state.mmu_lock`."""

from __future__ import annotations

from typing import Any

from mmusim.engine.compiled.events import KIND_BITS, NORMAL, PYTHON, VCPU, WAITS, push
from mmusim.engine.compiled.fields import HOLDS_EXCLUSIVE
from mmusim.engine.compiled.jit import jit
from mmusim.engine.compiled.probe_rows import tell_hold
from mmusim.engine.compiled.recording import tally


@jit
def acquire(s: Any, who: int, shared: int, slot: int) -> bool:
    """Take the lock if that is possible and return True; else queue.

    `slot` is that of the Python event of the grant, or -1 if `who` is a compiled vCPU.
    """
    shared = shared and s.shareable
    if s.held_n == 0 or (shared and s.read and s.queue_n == 0):
        _hold(s, who, s.now, s.now, shared)
        return True
    _account(s)
    place = s.queue_first + s.queue_n
    if place >= len(s.queue):
        place -= len(s.queue)
    s.queue[place, 0], s.queue[place, 1] = who, s.now
    s.queue[place, 2], s.queue[place, 3] = shared, slot
    s.queue_n += 1
    if shared:
        s.waiting_shared += 1
    else:
        s.waiting_exclusive += 1
    return False


@jit
def queues(s: Any, v: int, shared: int) -> bool:
    """Let a vCPU take the lock or queue for it; tell whether it queues."""
    return not acquire(s, v, shared, -1)


@jit
def await_grant(s: Any, v: int) -> int:
    """Let a vCPU wait in the queue."""
    s.waits[v] = 0
    return WAITS


@jit
def holder_of(s: Any, who: int) -> int:
    """Return the row of `holders` of an actor; those of other actors than vCPUs are the last."""
    return who if who >= 0 else who + len(s.holders)


@jit
def _hold(s: Any, who: int, asked_ns: int, now: int, shared: int) -> None:
    if shared and (s.held_n == 0 or now < s.read_since_ns):
        s.read_since_ns = now
    holder = s.holders[holder_of(s, who)]
    holder[0], holder[1], holder[2] = 1, asked_ns, now
    s.held_n += 1
    s.read = shared


@jit
def release(s: Any, who: int) -> None:
    """Leave the lock; the last holder gives it to the first waiters, or frees it."""
    now = s.now
    holder = s.holders[holder_of(s, who)]
    holder[0] = 0
    s.held_n -= 1
    if s.has_probe:
        tell_hold(s, who, holder_of(s, who))
    tally(s, HOLDS_EXCLUSIVE + s.read, now - holder[2])
    if s.held_n:
        return
    if s.read:
        s.read_ns += now - s.read_since_ns
    if s.queue_n:
        _account(s)
        delay = s.handoff[s.queue_n]
        s.passed_ns += delay
        _grant(s, delay)
        while s.read and s.queue_n and s.queue[s.queue_first, 2]:
            _grant(s, delay)


@jit
def was_held(s: Any, ns: int, times: int) -> None:
    """Count exclusive holds of `ns` each, for which nobody waited."""
    for _ in range(times):
        tally(s, HOLDS_EXCLUSIVE, ns)


@jit
def _grant(s: Any, delay: int) -> None:
    """Make the first waiter a holder; it goes on when the lock has reached it."""
    first = s.queue_first
    who, asked, shared, slot = (
        s.queue[first, 0], s.queue[first, 1], s.queue[first, 2], s.queue[first, 3],
    )  # fmt: skip
    s.queue_first = first + 1 if first + 1 < len(s.queue) else 0
    s.queue_n -= 1
    _hold(s, who, asked, s.now + delay, shared)
    if shared:
        s.waiting_shared -= 1
        s.queue_shared_ns += delay
    else:
        s.waiting_exclusive -= 1
        s.queue_exclusive_ns += delay
    if slot >= 0:
        push(s, s.now + delay, NORMAL, slot << KIND_BITS | PYTHON)
    else:
        s.waits[who] = push(s, s.now + delay, NORMAL, who << KIND_BITS | VCPU)


@jit
def count_readers(s: Any) -> int:
    """Change the reader count; return for how long its cache line makes the caller wait."""
    if s.count_ns == 0:
        return 0
    waits = max(0, s.line_free_ns - s.now)
    s.line_free_ns = s.now + waits + s.count_ns
    return waits


@jit
def _account(s: Any) -> None:
    passed = s.now - s.changed_ns
    s.queue_exclusive_ns += s.waiting_exclusive * passed
    s.queue_shared_ns += s.waiting_shared * passed
    s.changed_ns = s.now
