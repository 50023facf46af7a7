"""The event list: a heap of (time, priority and sequence, what), as SimPy orders events."""

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

WAITS: Final = -1
"""What a vCPU returns when it waits for an event."""


@jit
def _rise(heap: Any, i: int, time: int, key: int, what: int) -> None:
    """Put an event into the hole at i, or above it where it comes before what is there."""
    while i:
        parent = (i - 1) >> 1
        if heap[parent, 0] < time or (heap[parent, 0] == time and heap[parent, 1] < key):
            break
        heap[i, 0], heap[i, 1], heap[i, 2] = heap[parent, 0], heap[parent, 1], heap[parent, 2]
        i = parent
    heap[i, 0], heap[i, 1], heap[i, 2] = time, key, what


@jit
def push(s: Any, time: int, priority: int, what: int) -> int:
    """Add an event; return its sequence number. There must be room."""
    s.sequence += 1
    key = priority << PRIORITY_BIT | s.sequence
    s.heap_n += 1
    _rise(s.heap, s.heap_n - 1, time, key, what)
    return s.sequence


@jit
def drop_first(s: Any) -> None:
    """Remove the first event.

    The hole goes down to the end along the earlier of two, which is chosen without a branch: the
    processor cannot predict it. The last event then goes up from there, which is seldom far.
    """
    heap = s.heap
    n = s.heap_n - 1
    s.heap_n = n
    time, key, what = heap[n, 0], heap[n, 1], heap[n, 2]
    i, child = 0, 1
    while child + 1 < n:
        earlier = heap[child + 1, 0] < heap[child, 0]
        same = heap[child + 1, 0] == heap[child, 0]
        child += earlier | (same & (heap[child + 1, 1] < heap[child, 1]))
        heap[i, 0], heap[i, 1], heap[i, 2] = heap[child, 0], heap[child, 1], heap[child, 2]
        i, child = child, 2 * child + 1
    if child < n:
        heap[i, 0], heap[i, 1], heap[i, 2] = heap[child, 0], heap[child, 1], heap[child, 2]
        i = child
    _rise(heap, i, time, key, what)


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
