"""Installing a mapping under mmu_lock, as ``map_page`` of processes/page_fault.py.

What comes behind it, the unlock, is the caller's: places here end in `UNLOCKS`.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from mmusim.engine.compiled.chance import cost
from mmusim.engine.compiled.events import wait
from mmusim.engine.compiled.fields import PUSH_DOWN
from mmusim.engine.compiled.guest_mode import mark_dirty
from mmusim.engine.compiled.jit import jit
from mmusim.engine.compiled.kicks import flush_remote, replan, revoke
from mmusim.engine.compiled.mechanism import (
    drop_large,
    lacks_tables,
    leaf,
    link_tables,
    map_large,
    map_small,
    permits,
    prefetch_small,
    push_down,
    split_large,
    target_level,
    walk_guest,
)
from mmusim.engine.compiled.places import (
    DROPPED,
    DROPPING,
    GUEST_TABLE_FLUSHED,
    MAPPED,
    MET_FROZEN,
    READ_BEFORE_DROP,
    RING_OVERFLOWS,
    ROOM_MADE,
    SPLIT,
    UNLOCKS,
)
from mmusim.engine.compiled.recording import book
from mmusim.engine.compiled.runs import settle
from mmusim.engine.processes.page_fault import LOST_RACE, SLOW, SPURIOUS
from mmusim.mmu.spte import LEAF, LEVEL_1G, PRESENT, WRITABLE
from mmusim.vocabulary.causes import DROP_LARGE, FAULT_SLOW, SPLIT_LARGE, TABLE_ALLOC
from mmusim.vocabulary.counters import NX_LPAGE_SPLITS, PF_SPURIOUS
from mmusim.vocabulary.guest_costs import C_ALLOC_TABLE, C_SPLIT_1G, C_TDP_SPLIT_2M, C_ZAP_LARGE

NOT_WRITABLE: Final = 0xFF ^ WRITABLE


@jit
def frozen(s: Any, gfn: int) -> bool:
    """Tell whether another vCPU is replacing an entry over `gfn` (REMOVED_SPTE, FROZEN_SPTE)."""
    return s.frozen_n > 0 and (s.frozen_region[gfn >> 9] or s.frozen_giant[gfn >> 18])


@jit
def freeze(s: Any, gfn: int, level: int, on: int) -> None:
    """An entry is being replaced, or no longer."""
    if level == LEVEL_1G:
        s.frozen_giant[gfn >> 18] = on
    else:
        s.frozen_region[gfn >> 9] = on
    s.frozen_n += 1 if on else -1


@jit
def blocking_level(s: Any, gfn: int, level: int) -> int:
    """Return the highest level above `level` with a leaf over `gfn`, or 0."""
    if level < LEVEL_1G and s.giant[gfn >> 18] & PRESENT:
        return LEVEL_1G
    return 2 if level == 1 and s.region[gfn >> 9] & PRESENT else 0


@jit
def first_under(s: Any, gfn: int, level: int) -> int:
    """Return the first page below the large entry over `gfn`."""
    return gfn & -(512 ** (level - 1))


@jit
def end_under(s: Any, gfn: int, level: int) -> int:
    """Return the page behind the last below the large entry over `gfn`."""
    return min(first_under(s, gfn, level) + 512 ** (level - 1), s.pages)


@jit
def map_page(s: Any, v: int) -> int:
    """Begin, with mmu_lock held."""
    gfn = s.gfn[v]
    if frozen(s, gfn):
        book(s, v, FAULT_SLOW, max(1, s.locked[v]))
        return wait(s, v, max(1, s.locked[v]), MET_FROZEN)
    s.level[v] = target_level(s, gfn, s.slot_logs[v] != 0, s.backing)
    s.bits[v] = LEAF
    if s.has_guest:
        bits, unlinked = walk_guest(s, s.guest_dirty, s.guest_orphans, gfn, s.write[v] != 0)
        s.bits[v] = bits
        if unlinked:
            revoke(s, first_under(s, gfn, 2), end_under(s, gfn, 2), 0, 0)
            return flush_remote(s, v, GUEST_TABLE_FLUSHED)
    return makes_room(s, v)


@jit
def met_frozen(s: Any, v: int) -> int:
    """Somebody else is replacing the entry: try again."""
    s.outcome[v] = LOST_RACE
    return UNLOCKS


@jit
def makes_room(s: Any, v: int) -> int:
    """Drop or split the large sptes that are in the way."""
    gfn = s.gfn[v]
    blocking = blocking_level(s, gfn, s.level[v])
    if blocking == 0:
        return pays_for_map(s, v)
    s.blocking[v] = blocking
    if s.blocked_splits:
        s.spte[v] = leaf(s, gfn)[1] & LEAF
        ns = cost(s, v, C_SPLIT_1G if blocking == LEVEL_1G else C_TDP_SPLIT_2M, s.index[v])
        book(s, v, SPLIT_LARGE, ns)
        return wait(s, v, ns, SPLIT)
    freeze(s, gfn, blocking, 1)
    ns = cost(s, v, C_ZAP_LARGE, s.index[v])
    book(s, v, DROP_LARGE, ns)
    return wait(s, v, ns, DROPPING)


@jit
def split(s: Any, v: int) -> int:
    """Put a table of 512 small sptes in the place of a large one, unless it has changed."""
    level, entry = leaf(s, s.gfn[v])
    if level != s.blocking[v] or entry & LEAF != s.spte[v]:
        s.outcome[v] = LOST_RACE
        return UNLOCKS
    if s.bundles:
        settle(s)
    split_large(s, s.gfn[v], s.blocking[v])
    replan(s, v)
    return makes_room(s, v)


@jit
def room_made(s: Any, v: int) -> int:
    """A large spte is dropped and flushed; there may be another below it."""
    freeze(s, s.gfn[v], s.blocking[v], 0)
    return makes_room(s, v)


@jit
def dropping(s: Any, v: int) -> int:
    """Zap the large spte over the faulting page and flush at once, under mmu_lock."""
    if len(s.touched) and s.recorder[v] == s.measured_books:
        s.at[v] = DROPPED
        return READ_BEFORE_DROP
    return dropped(s, v)


@jit
def dropped(s: Any, v: int) -> int:
    """Zap and flush."""
    gfn, level = s.gfn[v], s.blocking[v]
    if s.bundles:
        settle(s)
    drop_large(s, gfn, level)
    revoke(s, 0, 0, first_under(s, gfn, level) >> 9, end_under(s, gfn, level) >> 9)
    return flush_remote(s, v, ROOM_MADE)


@jit
def pays_for_map(s: Any, v: int) -> int:
    """Pay for new tables and for the section under the lock."""
    gfn, level = s.gfn[v], s.level[v]
    missing = lacks_tables(s, gfn, level)
    alloc_ns = 0
    if missing or s.by_occurrence:  # where payments are counted, nothing is drawn for nothing
        alloc_ns = missing * cost(s, v, C_ALLOC_TABLE, s.index[v])
    ns = s.locked[v]
    if s.has_upper and s.write[v] and s.protects_root:
        ns += np.int64(np.rint(s.reals[PUSH_DOWN] * push_down(s.upper, s, gfn)))
    if alloc_ns:
        book(s, v, TABLE_ALLOC, alloc_ns)
    book(s, v, FAULT_SLOW, ns)
    return wait(s, v, alloc_ns + ns, MAPPED)


@jit
def mapped(s: Any, v: int) -> int:
    """Install the spte, unless what others did meanwhile is in the way."""
    gfn, level, bits = s.gfn[v], s.level[v], s.bits[v]
    if s.is_tdp:
        if permits(s, gfn, s.write[v] != 0):
            s.stat[PF_SPURIOUS] += 1
            s.outcome[v] = SPURIOUS
            return UNLOCKS
        if frozen(s, gfn) or blocking_level(s, gfn, level):
            s.outcome[v] = LOST_RACE
            return UNLOCKS
    s.outcome[v] = SLOW
    if len(s.resident) and not s.resident[gfn]:
        for page in range(first_under(s, gfn, s.backing), end_under(s, gfn, s.backing)):
            s.resident[page] = 1
    if s.bundles and level > 1:
        settle(s)
    link_tables(s, gfn, level)
    if level > 1:
        if s.has_upper:
            s.upper.had_large[gfn >> 18] = True
        if map_large(s, gfn, level, s.keep_child != 0, bits):
            first, end = first_under(s, gfn, level), end_under(s, gfn, level)
            revoke(s, first, end, first >> 9, end >> 9)
            return flush_remote(s, v, UNLOCKS)
        return UNLOCKS
    tracked = s.slot_logs[v] != 0
    if map_small(s, gfn, tracked, bits):
        if not mark_dirty(s, v, gfn):
            return RING_OVERFLOWS
    elif not s.is_tdp and s.postcopy == 0:
        prefetch_small(s, gfn, s.resident, bits)
    region = gfn >> 9
    if s.has_upper and s.protects_tables and s.upper.region[region]:
        s.page[gfn] &= NOT_WRITABLE  # the leaf is in order, the entry above it is not
    if len(s.nx_small) and s.nx_small[region] and s.backing > 1 and not tracked:
        s.nx_small[region] = 0
        s.stat[NX_LPAGE_SPLITS] += 1
    return UNLOCKS
