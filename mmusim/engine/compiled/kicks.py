"""Kicks, and what TLBs may still hold: the data of :mod:`mmusim.engine.processes.flush`."""

from __future__ import annotations

from typing import Any, Final

from mmusim.engine.compiled.events import (
    ACK,
    CPU_BITS,
    KICK,
    KIND_BITS,
    NORMAL,
    PYTHON,
    REPLAN,
    URGENT,
    WAITS,
    push,
)
from mmusim.engine.compiled.jit import jit
from mmusim.engine.compiled.rates import flush_ends
from mmusim.mmu.spte import TLB_READ, TLB_WRITE

KICK_BITS: Final = 40
"""Bits of the number of a kick, in what its answer is known by; the vCPU is above them."""
KICK_MASK: Final = (1 << KICK_BITS) - 1
KEEP = 0xFF ^ (TLB_READ | TLB_WRITE)


@jit
def kick_for(s: Any, v: int, by: int) -> int:
    """Force a vCPU out of guest mode; return what its answer to `by` will be known by."""
    s.in_guest[v] = 0
    s.kick_sent[v] += 1
    s.ack_slot[v], s.ack_for[v] = -1, by
    push(s, s.now, URGENT, v << KIND_BITS | KICK)
    number: int = v << KICK_BITS | s.kick_sent[v]
    return number


@jit
def kick(s: Any, v: int) -> None:
    """Force a vCPU out of guest mode; nobody waits for the answer."""
    kick_for(s, v, -1)


@jit
def kick_entering(s: Any, v: int, by: int) -> int:
    """Let a vCPU that is about to enter leave at once; return what its answer is known by."""
    s.turned_back[v] = 1
    s.kick_sent[v] += 1
    s.ack_slot[v], s.ack_for[v] = -1, by
    number: int = v << KICK_BITS | s.kick_sent[v]
    return number


@jit
def answered(s: Any, ack: int) -> bool:
    """Tell whether a kick has been answered, and that was noticed."""
    given: bool = s.kick_answered[ack >> KICK_BITS] >= ack & KICK_MASK
    return given


@jit
def await_answer(s: Any, v: int, ack: int) -> int:
    """Let a vCPU wait until a kick is answered."""
    s.awaited[v] = ack
    s.waits[v] = 0
    return WAITS


@jit
def answer_noticed(s: Any, answer: int) -> int:
    """Note an answer; return who has waited for just that, or -1."""
    s.kick_answered[answer & ((1 << CPU_BITS) - 1)] += 1
    who: int = (answer >> CPU_BITS) - 1
    if who >= 0 and s.awaited[who] and answered(s, s.awaited[who]):
        s.awaited[who] = 0
        return who
    return -1


@jit
def acknowledge(s: Any, v: int) -> None:
    """Answer a kick; who waits for it notices in an event of its own.

    The event says whom the answer is for: before it, at the same instant, the vCPU may be in the
    guest again and be kicked by another.
    """
    if s.ack_slot[v] >= 0:
        push(s, s.now, NORMAL, s.ack_slot[v] << KIND_BITS | PYTHON)
    else:
        push(s, s.now, NORMAL, ((s.ack_for[v] + 1) << CPU_BITS | v) << KIND_BITS | ACK)


@jit
def awaits_any(s: Any) -> int:
    """Tell whether a flush would wait for a vCPU."""
    for v in range(s.cpus):
        if s.in_guest[v] or s.entering_ns[v] <= s.now or s.leaving_ns[v] > s.now:
            return 1
    return 0


@jit
def replan(s: Any, by: int) -> None:
    """Let other vCPUs in the guest look again at what they will meet; costs them nothing."""
    for v in range(s.cpus):
        if v != by and s.in_guest[v]:
            push(s, s.now, URGENT, v << KIND_BITS | REPLAN)


@jit
def revoke(s: Any, page: int, page_end: int, region: int, region_end: int) -> None:
    """Note that TLBs may hold more of these entries than the tables allow, until a flush."""
    taken, n = s.taken, s.taken_n
    taken[n, 0], taken[n, 1], taken[n, 2], taken[n, 3] = page, page_end, region, region_end
    s.taken_n = n + 1


@jit
def forget_taken(s: Any) -> bool:
    """No TLB holds any more of what compiled code took back than the tables allow.

    False if Python has taken something back, too.
    """
    if s.by_rates:
        flush_ends(s)
    for i in range(s.taken_n):
        for page in range(s.taken[i, 0], s.taken[i, 1]):
            s.page[page] &= KEEP
        for region in range(s.taken[i, 2], s.taken[i, 3]):
            s.region[region] &= KEEP
    if s.taken_n:
        for giant in range(len(s.giant)):
            s.giant[giant] &= KEEP
    s.taken_n = 0
    return s.taken_python == 0
