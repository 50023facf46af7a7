"""A page fault of a vCPU up to mmu_lock and behind it, as in processes/page_fault.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmusim.engine.compiled.chance import cost
from mmusim.engine.compiled.events import wait, wait_for_somebody
from mmusim.engine.compiled.fields import (
    FAST_AFTER_EXIT,
    FAST_ENTRY,
    SLOW_AFTER_EXIT,
    SLOW_ENTRY,
    SLOW_LOCKED,
    WAITS_EXCLUSIVE,
)
from mmusim.engine.compiled.guest_mode import (
    drain_pml,
    enter_guest,
    left_guest,
    mark_dirty,
    tracks,
)
from mmusim.engine.compiled.jit import jit
from mmusim.engine.compiled.lock import acquire, count_readers, release
from mmusim.engine.compiled.machine_load import memory_waits, runs, work
from mmusim.engine.compiled.mapping import map_page
from mmusim.engine.compiled.mechanism import armed, fix_lockless, leaf, permits, target_level
from mmusim.engine.compiled.places import (
    COUNTED,
    END_GRACE,
    FAST_FIXED,
    FAULT_DRAINED,
    FAULT_EXITED,
    FAULT_OVER,
    FOUND_STALE,
    GRACE_ENDED,
    GRANTED,
    HAS_MEMORY,
    HAS_PAGE,
    LEFT_LOCK,
    POSTCOPY_FAULT,
    PREPARED,
    RING_OVERFLOWS,
)
from mmusim.engine.compiled.recording import book, tally
from mmusim.engine.compiled.runs import GFN, WRITE_BIT, code_of
from mmusim.engine.processes.page_fault import FAST, LOST_RACE, SPURIOUS
from mmusim.mmu.spte import ACCESS, LEAF, PRESENT, WRITABLE
from mmusim.vocabulary.causes import CLEAR_WAIT, FAULT_FAST, FAULT_SLOW, MMAP_WAIT, MMU_LOCK_WAIT
from mmusim.vocabulary.counters import PF_SPURIOUS, PF_TAKEN
from mmusim.vocabulary.guest_costs import C_EXIT, C_FAULT_FAST, C_FAULT_SLOW, C_WALK_GUEST


@jit
def rounded(ns: float) -> int:
    """Round as Python does: to the nearest whole number, halves to even."""
    return np.int64(np.rint(ns))


@jit
def fault(s: Any, v: int) -> int:
    """Exit because of access k."""
    code = code_of(s, v, s.k[v])
    gfn = code & GFN
    s.gfn[v], s.write[v], s.index[v] = gfn, code >> WRITE_BIT, s.first[v] + s.k[v]
    seen_present = leaf(s, gfn)[1] & PRESENT  # the error code of the fault
    s.tries_fast[v] = s.write[v] and seen_present and s.fast_faults
    left_guest(s, v)
    s.handling[v] = 1
    s.stat[PF_TAKEN] += 1
    if s.pml_n[v]:
        return drain_pml(s, v, s.index[v], FAULT_DRAINED)
    return fault_drained(s, v)


@jit
def fault_drained(s: Any, v: int) -> int:
    """Pay for the exit, and if it is known to be a slow fault, for what comes before the lock."""
    exit_ns = cost(s, v, C_EXIT, s.index[v])
    if s.tries_fast[v]:
        s.fault_began[v] = s.now
        return wait(s, v, exit_ns, FAULT_EXITED)
    outside = slow_parts(s, v)
    book(s, v, FAULT_SLOW, exit_ns + outside)
    return wait(s, v, exit_ns + outside, PREPARED)


@jit
def slow_parts(s: Any, v: int) -> int:
    """Part the draw of a slow fault; return what comes before mmu_lock."""
    whole = cost(s, v, C_FAULT_SLOW, s.index[v])
    locked, entry = np.int64(whole * s.reals[SLOW_LOCKED]), np.int64(whole * s.reals[SLOW_ENTRY])
    outside = max(0, rounded(whole * s.reals[SLOW_AFTER_EXIT]) - locked - entry)
    outside, entry = work(s, outside), work(s, entry)
    if s.has_guest:
        outside += cost(s, v, C_WALK_GUEST, s.index[v])
    s.locked[v], s.entry[v] = locked, entry
    s.slot_logs[v] = tracks(s, s.gfn[v])  # the memslot is looked up once
    return outside


@jit
def fault_exited(s: Any, v: int) -> int:
    """Restore W by compare-exchange, without mmu_lock, where allowed."""
    gfn = s.gfn[v]
    level, entry = leaf(s, gfn)
    tracked = np.int64(tracks(s, gfn))
    allowed = entry & (PRESENT | WRITABLE) == PRESENT | WRITABLE
    if not allowed:
        slow = not s.fast_path[tracked, np.int64(level > 1), entry & ACCESS]
        if not slow and s.fast_at_target_only:
            slow = level < target_level(s, gfn, tracked != 0, s.backing)
        if not slow and s.has_upper:
            slow = armed(s.upper, gfn)
        if slow:
            outside = slow_parts(s, v)
            book(s, v, FAULT_SLOW, s.now - s.fault_began[v])
            book(s, v, FAULT_SLOW, outside)
            return wait(s, v, outside, PREPARED)
    whole = cost(s, v, C_FAULT_FAST, s.index[v])
    entry_ns = np.int64(whole * s.reals[FAST_ENTRY])
    handler = max(0, rounded(whole * s.reals[FAST_AFTER_EXIT]) - entry_ns)
    s.level[v], s.spte[v], s.slot_logs[v], s.entry[v] = level, entry, tracked, entry_ns
    s.outcome[v] = SPURIOUS if allowed else FAST
    book(s, v, FAULT_FAST, s.now - s.fault_began[v])
    book(s, v, FAULT_FAST, handler)
    return wait(s, v, handler, FAST_FIXED)


@jit
def grace_ended(s: Any, v: int) -> int:
    """Enter again."""
    return enter_guest(s, v, s.entry[v], s.entry_cause[v], s.index[v], FAULT_OVER)


@jit
def leave_handler(s: Any, v: int, cause: int) -> int:
    """Enter again, when whoever waits for a grace period has been told."""
    s.handling[v] = 0
    s.entry_cause[v] = cause
    if s.graces[v]:
        s.at[v] = GRACE_ENDED
        return END_GRACE
    return grace_ended(s, v)


@jit
def fast_fixed(s: Any, v: int) -> int:
    """Set W if the spte is what it was."""
    gfn = s.gfn[v]
    if s.outcome[v] == SPURIOUS:
        s.stat[PF_SPURIOUS] += 1
    else:
        level, entry = leaf(s, gfn)
        if level == s.level[v] and entry & LEAF == s.spte[v] & LEAF:
            fix_lockless(s, gfn, level, s.slot_logs[v] != 0)
            if s.slot_logs[v] and not mark_dirty(s, v, gfn):
                return RING_OVERFLOWS
        else:
            s.outcome[v] = LOST_RACE
    return leave_handler(s, v, FAULT_FAST)


@jit
def prepared(s: Any, v: int) -> int:
    """Have a page; after a migration it may have to be fetched."""
    if s.postcopy:
        s.at[v] = HAS_PAGE
        return POSTCOPY_FAULT
    return has_page(s, v)


@jit
def has_page(s: Any, v: int) -> int:
    """Let the host find and clear memory for a page that has none."""
    if s.touches and not s.resident[s.gfn[v]]:
        count, clear = memory_waits(s)
        if count + clear:
            runs(s, v, 0)
            book(s, v, MMAP_WAIT, count)
            book(s, v, CLEAR_WAIT, clear)
            return wait(s, v, count + clear, HAS_MEMORY)
    return has_memory(s, v)


@jit
def has_memory(s: Any, v: int) -> int:
    """Get the cache line of the reader count."""
    runs(s, v, 1)
    if s.shares:
        waits = count_readers(s)
        if waits:
            runs(s, v, 0)
            book(s, v, MMU_LOCK_WAIT, waits)
            return wait(s, v, waits, COUNTED)
    return counted(s, v)


@jit
def counted(s: Any, v: int) -> int:
    """Take mmu_lock."""
    runs(s, v, 1)
    if acquire(s, v, s.is_tdp, -1):
        return locked(s, v)
    runs(s, v, 0)
    s.asked_ns[v] = s.now
    return wait_for_somebody(s, v, GRANTED)


@jit
def granted(s: Any, v: int) -> int:
    """The lock has come."""
    runs(s, v, 1)
    waited = s.now - s.asked_ns[v]
    tally(s, WAITS_EXCLUSIVE + (s.is_tdp and s.shareable), waited)
    book(s, v, MMU_LOCK_WAIT, waited)
    return locked(s, v)


@jit
def locked(s: Any, v: int) -> int:
    """Map the page, unless another vCPU was faster."""
    if permits(s, s.gfn[v], s.write[v] != 0):
        book(s, v, FAULT_SLOW, s.locked[v])
        return wait(s, v, s.locked[v], FOUND_STALE)
    return map_page(s, v)


@jit
def found_stale(s: Any, v: int) -> int:
    """It is there."""
    s.stat[PF_SPURIOUS] += 1
    s.outcome[v] = SPURIOUS
    return unlock(s, v)


@jit
def unlock(s: Any, v: int) -> int:
    """Release mmu_lock and leave the handler."""
    release(s, v)
    if s.shares:
        waits = count_readers(s)
        if waits:
            runs(s, v, 0)
            book(s, v, MMU_LOCK_WAIT, waits)
            return wait(s, v, waits, LEFT_LOCK)
    return left_lock(s, v)


@jit
def left_lock(s: Any, v: int) -> int:
    """The fault is handled."""
    runs(s, v, 1)
    return leave_handler(s, v, FAULT_SLOW)
