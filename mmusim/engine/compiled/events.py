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
def push(s: Any, time: int, priority: int, what: int) -> int:
    """Add an event; return its sequence number. There must be room."""
    heap = s.heap
    s.sequence += 1
    key = priority << PRIORITY_BIT | s.sequence
    i = s.heap_n
    s.heap_n = i + 1
    while i:
        parent = (i - 1) >> 1
        if heap[parent, 0] < time or (heap[parent, 0] == time and heap[parent, 1] < key):
            break
        heap[i, 0], heap[i, 1], heap[i, 2] = heap[parent, 0], heap[parent, 1], heap[parent, 2]
        i = parent
    heap[i, 0], heap[i, 1], heap[i, 2] = time, key, what
    return s.sequence


@jit
def drop_first(s: Any) -> None:
    """Remove the first event."""
    heap = s.heap
    n = s.heap_n - 1
    s.heap_n = n
    time, key, what = heap[n, 0], heap[n, 1], heap[n, 2]
    i, child = 0, 1
    while child < n:
        other = child + 1
        if other < n and (
            heap[other, 0] < heap[child, 0]
            or (heap[other, 0] == heap[child, 0] and heap[other, 1] < heap[child, 1])
        ):
            child = other
        if time < heap[child, 0] or (time == heap[child, 0] and key < heap[child, 1]):
            break
        heap[i, 0], heap[i, 1], heap[i, 2] = heap[child, 0], heap[child, 1], heap[child, 2]
        i, child = child, 2 * child + 1
    heap[i, 0], heap[i, 1], heap[i, 2] = time, key, what


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
