"""Into guest mode and out of it, as in :mod:`mmusim.engine.processes.guest_mode`."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmusim.engine.compiled.chance import cost
from mmusim.engine.compiled.events import wait
from mmusim.engine.compiled.fields import REFILL_LARGE, REFILL_SMALL
from mmusim.engine.compiled.jit import jit
from mmusim.engine.compiled.kicks import acknowledge
from mmusim.engine.compiled.places import (
    CALLED,
    DRAINED,
    ENTERED,
    ENTERS,
    FLUSHED,
    KICK_ANSWERED,
    KICK_DRAINED,
    KICK_EXITED,
    PML_FULL_DRAINED,
    PML_FULL_ENTERED,
    PML_FULL_EXITED,
    RING_OVERFLOWS,
    STOLEN_GIVEN,
    USER_SPACE,
)
from mmusim.engine.compiled.recent_exits import note_exit
from mmusim.engine.compiled.recording import book, stalled
from mmusim.engine.compiled.working_set import refill
from mmusim.mmu.spte import LOGGED
from mmusim.vocabulary.causes import FLUSH_EXIT, INTERFERENCE, PML_DRAIN, TLB_FLUSH, TLB_REFILL
from mmusim.vocabulary.guest_costs import C_ACK, C_ENTRY, C_EXIT, C_TLB_FLUSH
from mmusim.vocabulary.host_costs import C_PML_DRAIN


@jit
def enter_guest(s: Any, v: int, entry_ns: int, cause: int, index: int, then: int) -> int:
    """Serve what was requested, then enter and go on at `then`."""
    s.entry_ns[v], s.entry_cause[v], s.index[v], s.after_entry[v] = entry_ns, cause, index, then
    return ENTERS


@jit
def enters(s: Any, v: int) -> int:
    """Begin with what has to be done in user space."""
    if s.queued_work[v] or (s.ring_size and s.ring_n[v] >= s.ring_soft):
        s.at[v] = CALLED
        return USER_SPACE
    return called(s, v)


@jit
def called(s: Any, v: int) -> int:
    """Give the host the time that it takes for other things."""
    if s.stolen_ns[v]:
        stolen = s.stolen_ns[v]
        s.stolen_ns[v] = 0
        book(s, v, INTERFERENCE, stolen)
        return wait(s, v, stolen, STOLEN_GIVEN)
    return stolen_given(s, v)


@jit
def stolen_given(s: Any, v: int) -> int:
    """Flush if somebody asked for it."""
    if s.flush_requested[v]:
        s.flush_requested[v] = 0
        s.tlb_live[v], s.flushed_at[v] = 0, s.accesses[v]
        flush, refill_ns = cost(s, v, C_TLB_FLUSH, s.index[v]), walk_again(s, v, s.index[v])
        if flush + refill_ns:
            book(s, v, TLB_FLUSH, flush)
            book(s, v, TLB_REFILL, refill_ns)
            return wait(s, v, flush + refill_ns, FLUSHED)
    return flushed(s, v)


@jit
def flushed(s: Any, v: int) -> int:
    """Enter."""
    if s.entry_ns[v]:
        book(s, v, s.entry_cause[v], s.entry_ns[v])
        return wait(s, v, s.entry_ns[v], ENTERED)
    return entered(s, v)


@jit
def entered(s: Any, v: int) -> int:
    """Be in the guest, unless a request came during the entry, which is broken off."""
    if s.flush_requested[v] or s.queued_work[v] or s.stolen_ns[v]:
        s.entry_ns[v] = 0
        return ENTERS
    s.in_guest[v] = 1
    stalled(s, v, s.left_ns[v], s.now)
    return s.after_entry[v]


@jit
def walk_again(s: Any, v: int, index: int) -> int:
    """Return what it takes to walk again for the mappings in use; paid at once, at the entry."""
    if s.refills == 0 or s.repeats[v] == 0:
        return 0
    small, large = refill(s, v, index - s.first[v])
    return np.int64(np.rint(small * s.reals[REFILL_SMALL] + large * s.reals[REFILL_LARGE]))


@jit
def left_guest(s: Any, v: int) -> None:
    """A stall of a vCPU begins."""
    s.in_guest[v] = 0
    s.left_ns[v] = s.now
    note_exit(s, v)


@jit
def tracks(s: Any, gfn: int) -> bool:
    """Tell whether `gfn` lies in a slot that logs dirty pages."""
    return s.tracked != 0 and s.slot_first <= gfn < s.slot_end


@jit
def mark_dirty(s: Any, v: int, gfn: int) -> bool:
    """Push a page to the vCPU's ring; False if that has no room (the bit is set already)."""
    if s.ring_size:
        n = s.ring_n[v]
        if n == s.ring_size:
            s.why_number = gfn
            return False
        s.ring[v, n] = gfn
        s.ring_n[v] = n + 1
        s.ring_pushed[v] += 1
    return True


@jit
def drain_pml(s: Any, v: int, index: int, then: int) -> int:
    """Empty the PML buffer into the log, as every exit does first; go on at `then`."""
    n = s.pml_n[v]
    s.pml_n[v] = 0
    ns = cost(s, v, C_PML_DRAIN, index) * n
    for i in range(n):
        gfn = s.buffered[v, i]
        if tracks(s, gfn):
            s.page[gfn] |= LOGGED
            if not mark_dirty(s, v, gfn):
                return RING_OVERFLOWS
    book(s, v, PML_DRAIN, ns)
    s.after_drain[v] = then
    return wait(s, v, ns, DRAINED)


@jit
def answer_kick(s: Any, v: int) -> int:
    """Leave the guest, acknowledge, serve what was requested and enter again."""
    index = s.first[v] + s.k[v]
    exit_ns = cost(s, v, C_EXIT, index) + cost(s, v, C_ACK, s.kicks[v])
    s.kicks[v] += 1
    left_guest(s, v)
    book(s, v, FLUSH_EXIT, exit_ns)
    return wait(s, v, exit_ns, KICK_EXITED)


@jit
def kick_exited(s: Any, v: int) -> int:
    """Acknowledge."""
    acknowledge(s, v)
    if s.pml_n[v]:
        return drain_pml(s, v, s.first[v] + s.k[v], KICK_DRAINED)
    return kick_drained(s, v)


@jit
def kick_drained(s: Any, v: int) -> int:
    """Enter again."""
    index = s.first[v] + s.k[v]
    return enter_guest(s, v, cost(s, v, C_ENTRY, index), FLUSH_EXIT, index, KICK_ANSWERED)


@jit
def pml_full(s: Any, v: int) -> int:
    """Exit because the PML buffer has no room for the write that comes next."""
    left_guest(s, v)
    ns = cost(s, v, C_EXIT, s.first[v] + s.k[v])
    book(s, v, PML_DRAIN, ns)
    return wait(s, v, ns, PML_FULL_EXITED)


@jit
def pml_full_exited(s: Any, v: int) -> int:
    """Drain."""
    return drain_pml(s, v, s.first[v] + s.k[v], PML_FULL_DRAINED)


@jit
def pml_full_drained(s: Any, v: int) -> int:
    """Enter again."""
    index = s.first[v] + s.k[v]
    return enter_guest(s, v, cost(s, v, C_ENTRY, index), PML_DRAIN, index, PML_FULL_ENTERED)
