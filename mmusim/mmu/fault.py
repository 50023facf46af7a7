"""What a page fault does to the tables of the direct legacy MMU (EPT or NPT, before the TDP MMU).

Sources: ``direct_map``/``__direct_map``, ``drop_large_spte``, ``fast_page_fault``,
``direct_pte_prefetch`` of arch/x86/kvm/mmu; ``domain`` sections C.2 to C.4.
"""

from __future__ import annotations

from mmusim.mmu.counters import PAGES_2M, PAGES_4K, PF_FAST, PF_FIXED, TABLES
from mmusim.mmu.page_table import PageTable
from mmusim.mmu.spte import (
    CHILD,
    LEAF,
    LOGGED,
    NOT_LEAF,
    NOT_TABLE,
    PRESENT,
    TABLE,
    TLB_READ,
    TLB_WRITE,
    WRITABLE,
)

PREFETCH = 8  # PTE_PREFETCH_NUM


def fix_lockless(t: PageTable, gfn: int, level: int, tracked: bool) -> None:
    """Set W by compare-exchange and log the one faulting page (fast_pf_fix_direct_spte)."""
    if level == 2:
        t.region[gfn >> 9] |= LEAF
    else:
        t.page[gfn] |= LEAF
    if tracked:
        t.page[gfn] |= LOGGED
    t.stat[PF_FIXED] += 1
    t.stat[PF_FAST] += 1


def drop_large(t: PageTable, region: int) -> None:
    """Zap the large spte that blocks a lower level (drop_large_spte). The caller flushes."""
    entry = t.region[region]
    stale = TLB_READ | TLB_WRITE if entry & WRITABLE else TLB_READ
    t.region[region] = entry & NOT_LEAF | stale
    t.stat[PAGES_2M] -= 1


def link_table(t: PageTable, region: int) -> bool:
    """Make the region's entry point to a table (kvm_mmu_get_page); True if one was allocated.

    A child table that an installed large spte had unlinked is still hashed and comes back with
    the sptes it had.
    """
    entry = t.region[region]
    t.region[region] = entry | TABLE | CHILD
    if entry & (TABLE | CHILD):
        return False
    t.stat[TABLES] += 1
    return True


def map_small(t: PageTable, gfn: int, tracked: bool) -> None:
    """Install a writable 4 KiB spte, for reads too, and log the page in a tracked slot."""
    byte = t.page[gfn]
    if not byte & PRESENT:
        t.stat[PAGES_4K] += 1
    t.page[gfn] = byte | LEAF | LOGGED if tracked else byte | LEAF
    t.stat[PF_FIXED] += 1


def map_large(t: PageTable, region: int, keep_child: bool) -> bool:
    """Install a writable 2 MiB spte; True if that unlinked a table, so that the caller flushes.

    `keep_child`: the unlinked table stays hashed, as in every legacy MMU; otherwise it is freed.
    """
    entry = t.region[region]
    if not entry & PRESENT:
        t.stat[PAGES_2M] += 1
    unlinked = bool(entry & TABLE)
    entry = entry & NOT_TABLE | LEAF
    if unlinked and not keep_child:
        entry ^= CHILD
        free_table(t, region)
    t.region[region] = entry
    t.stat[PF_FIXED] += 1
    return unlinked


def free_table(t: PageTable, region: int) -> None:
    """Zap the 512 sptes of a table that is freed."""
    for gfn in range(region << 9, (region + 1) << 9):
        byte = t.page[gfn]
        if byte & PRESENT:
            t.stat[PAGES_4K] -= 1
            stale = TLB_READ | TLB_WRITE if byte & WRITABLE else TLB_READ
            t.page[gfn] = byte & NOT_LEAF | stale
    t.stat[TABLES] -= 1


def prefetch_small(t: PageTable, gfn: int) -> None:
    """Map the non-present neighbours in the aligned group of eight (direct_pte_prefetch).

    Only where the slot is not tracked: writable sptes are never prefetched under dirty logging.
    """
    first = gfn & ~(PREFETCH - 1)
    for neighbour in range(first, first + PREFETCH):
        byte = t.page[neighbour]
        if not byte & PRESENT:
            t.page[neighbour] = byte | LEAF
            t.stat[PAGES_4K] += 1
