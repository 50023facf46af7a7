"""The event list: a heap in the order of time, priority and sequence, as SimPy orders events.

Times lie apart from the rest (key: priority and sequence; what it is). So the search for the next
event reads little memory.
"""

from __future__ import annotations

from typing import Any, Final

from mmusim.engine.compiled.jit import jit

URGENT: Final = 0  # SimPy's priorities: interrupts and beginnings of processes
NORMAL: Final = 1
GUEST: Final = 2  # ends of guest runs: 2 + number of the vCPU
PRIORITY_BIT: Final = 48

VCPU, KICK, REPLAN, ACK, PYTHON, INTERFERENCE = range(6)
"""Kinds of events: a vCPU goes on; it is kicked; it looks at its run again; its answer to a kick
is noticed; an event of a Python process; the host interferes with a vCPU."""
KIND_BITS: Final = 3
KIND: Final = (1 << KIND_BITS) - 1
CPU_BITS: Final = 16
"""Bits of the number of a vCPU where another number stands above it."""

AFTER_ALL: Final = (1 << 63) - 1
"""A time after the end of the clock."""
WAITS: Final = -1
"""What a vCPU returns when it waits for an event."""


@jit
def _put(s: Any, i: int, time: int, key: int, what: int) -> None:
    s.heap[i], s.heap_events[i, 0], s.heap_events[i, 1] = time, key, what


@jit
def _rise(s: Any, i: int, time: int, key: int, what: int) -> None:
    """Put an event into the hole at i, or above it where it comes before what is there."""
    while i:
        parent = (i - 1) >> 1
        above = s.heap[parent]
        if above < time or (above == time and s.heap_events[parent, 0] < key):
            break
        _put(s, i, s.heap[parent], s.heap_events[parent, 0], s.heap_events[parent, 1])
        i = parent
    _put(s, i, time, key, what)


@jit
def _sink(s: Any, n: int, time: int, key: int, what: int) -> None:
    """Put an event into the hole at the top of `n`, or below it where others come before it.

    The earlier of two is chosen without a branch, which the processor could not predict.
    """
    times = s.heap
    times[n] = AFTER_ALL  # so that every event has a neighbour
    i, child = 0, 1
    while child < n:
        one, other = times[child], times[child + 1]
        nearer = child + (other < one)
        if one == other:
            nearer = child + (s.heap_events[child + 1, 0] < s.heap_events[child, 0])
        earliest = min(one, other)
        if time < earliest or (time == earliest and key < s.heap_events[nearer, 0]):
            break
        _put(s, i, times[nearer], s.heap_events[nearer, 0], s.heap_events[nearer, 1])
        i, child = nearer, 2 * nearer + 1
    _put(s, i, time, key, what)


@jit
def push(s: Any, time: int, priority: int, what: int) -> int:
    """Add an event; return its sequence number. There must be room.

    Where the first event has just been taken, its place is free. What comes next is put there and
    sinks. So the list is put in order once for each event, not twice.
    """
    s.sequence += 1
    key = priority << PRIORITY_BIT | s.sequence
    n = s.heap_n
    s.heap_n = n + 1
    if s.hole:
        s.hole = 0
        _sink(s, n + 1, time, key, what)
    else:
        _rise(s, n, time, key, what)
    return s.sequence


@jit
def take_first(s: Any) -> tuple[int, int]:
    """Take the first event and set the clock; return its key and what it is.

    Its place stays free until another event comes, or :func:`close_hole`.
    """
    s.now = s.heap[0]
    s.hole = 1
    s.heap_n -= 1
    return s.heap_events[0, 0], s.heap_events[0, 1]


@jit
def close_hole(s: Any) -> None:
    """Put the last event into the free place at the top, if there is one."""
    if s.hole:
        s.hole = 0
        n = s.heap_n
        if n:
            _sink(s, n, s.heap[n], s.heap_events[n, 0], s.heap_events[n, 1])


@jit
def spend(s: Any, v: int, ns: int) -> int:
    """Let time pass for a vCPU in the host; it goes on at the place in its row."""
    s.waits[v] = push(s, s.now + ns, NORMAL, v << KIND_BITS | VCPU)
    return WAITS


@jit
def spend_in_guest(s: Any, v: int, ns: int) -> int:
    """Let time pass for a vCPU in the guest: of all at one instant this comes last."""
    s.waits[v] = push(s, s.now + ns, GUEST + v, v << KIND_BITS | VCPU)
    return WAITS
