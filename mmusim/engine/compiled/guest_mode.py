"""Changes of a vCPU's state by the processes of :mod:`mmusim.engine.processes.guest_mode`."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmusim.engine.compiled.fields import REFILL_LARGE, REFILL_SMALL
from mmusim.engine.compiled.jit import jit
from mmusim.engine.compiled.recording import stalled
from mmusim.engine.compiled.working_set import refill
from mmusim.mmu.spte import LOGGED


@jit
def walk_again(s: Any, v: int, index: int) -> int:
    """Return what it takes, in ns, to walk again for the mappings in use; paid at once, at the
    entry.
    """
    if s.refills == 0 or s.repeats[v] == 0:
        return 0
    small, large = refill(s, v, index - s.first[v])
    return np.int64(np.rint(small * s.reals[REFILL_SMALL] + large * s.reals[REFILL_LARGE]))


@jit
def left_guest(s: Any, v: int) -> None:
    """Begin a stall of a vCPU."""
    s.in_guest[v] = 0
    s.left_ns[v] = s.now


@jit
def in_guest_again(s: Any, v: int) -> None:
    """End a stall of a vCPU."""
    s.in_guest[v] = 1
    stalled(s, v, s.left_ns[v], s.now)


@jit
def halts(s: Any, v: int) -> None:
    """Let a vCPU rest outside the guest, because the guest has nothing to do: no stall."""
    s.halted[v] = 1
    stalled(s, v, s.left_ns[v], s.now)


@jit
def wakes(s: Any, v: int) -> None:
    """Begin a stall of a vCPU that rested."""
    s.halted[v] = 0
    s.left_ns[v] = s.now
    s.stolen_ns[v] += max(0, s.taken_until_ns[v] - s.now)


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
def log_drained(s: Any, v: int) -> bool:
    """Set the dirty bits of the gfns in the PML buffer, and empty it; return False if a ring is
    full.
    """
    n = s.pml_n[v]
    s.pml_n[v] = 0
    for i in range(n):
        gfn = s.buffered[v, i]
        if tracks(s, gfn):
            s.page[gfn] |= LOGGED
            if not mark_dirty(s, v, gfn):
                return False
    return True


@jit
def flushes_tlb(s: Any, v: int) -> None:
    """Forget all translations of a vCPU's TLB."""
    s.tlb_live[v], s.flushed_at[v] = 0, s.accesses[v]


@jit
def leave_handler(s: Any, v: int) -> bool:
    """End the SRCU read section of a fault; return False if somebody waits for its end."""
    s.handling[v] = 0
    return s.graces[v] == 0
