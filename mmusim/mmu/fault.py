"""What a page fault does to the tables of a direct MMU (EPT or NPT).

Sources: ``direct_map``/``__direct_map``, ``kvm_tdp_mmu_map``, ``drop_large_spte``,
``tdp_mmu_split_huge_page``, ``fast_page_fault``, ``direct_pte_prefetch`` of arch/x86/kvm/mmu;
``domain`` sections C.2 to C.4.
"""

from __future__ import annotations

from typing import Any

from mmusim.mmu.page_table import PageTable
from mmusim.mmu.spte import (
    CHILD,
    DIRTY,
    LEAF,
    LEVEL_1G,
    LOGGED,
    NOT_LEAF,
    NOT_TABLE,
    PRESENT,
    TABLE,
    TLB_READ,
    TLB_WRITE,
    WRITABLE,
)
from mmusim.vocabulary.counters import PAGES_1G, PAGES_2M, PAGES_4K, PF_FAST, PF_FIXED, TABLES

PREFETCH = 8  # PTE_PREFETCH_NUM


def fix_lockless(t: PageTable, gfn: int, level: int, tracked: bool) -> None:
    """Set W by compare-exchange and log the one faulting page (fast_pf_fix_direct_spte).

    D stays as it is: where PML has armed a small leaf, the write itself sets D and is logged again.
    """
    if level == 1:
        t.page[gfn] |= LEAF ^ DIRTY
    else:
        entries, index, _ = large_entry(t, gfn, level)
        entries[index] |= LEAF
    if tracked:
        t.page[gfn] |= LOGGED
    t.stat[PF_FIXED] += 1
    t.stat[PF_FAST] += 1


def large_entry(t: PageTable, gfn: int, level: int) -> tuple[Any, int, int]:
    """Return the array and index of the large entry over `gfn`, and the counter of its leaves.

    `level` is 2 or 3. The counter is an index into ``PageTable.stat``.
    """
    if level == LEVEL_1G:
        return t.giant, gfn >> 18, PAGES_1G
    return t.region, gfn >> 9, PAGES_2M


def drop_large(t: PageTable, gfn: int, level: int) -> None:
    """Zap the large spte of `level` 2 or 3 that blocks a lower level (drop_large_spte).

    A TLB may keep the translation until the caller flushes.
    """
    entries, index, counter = large_entry(t, gfn, level)
    entry = entries[index]
    stale = TLB_READ | TLB_WRITE if entry & WRITABLE else TLB_READ
    entries[index] = entry & NOT_LEAF | stale
    t.stat[counter] -= 1


def split_large(t: PageTable, gfn: int, level: int) -> None:
    """Replace a large spte by 512 entries of the level below with its permissions.

    ``tdp_mmu_split_huge_page``. No right is revoked, so no flush is necessary.
    """
    entries, index, counter = large_entry(t, gfn, level)
    below, lower = (t.region, PAGES_2M) if level == LEVEL_1G else (t.page, PAGES_4K)
    bits = entries[index] & LEAF
    for child in range(index << 9, (index + 1) << 9):
        below[child] = below[child] & NOT_LEAF | bits
    entries[index] = entries[index] & NOT_LEAF | TABLE | CHILD
    t.stat[counter] -= 1
    t.stat[lower] += 512
    t.stat[TABLES] += 1


def link_tables(t: PageTable, gfn: int, level: int) -> None:
    """Make the entries above `level` point to tables (kvm_mmu_get_page), allocated or found.

    A child table that a large spte replaced is still hashed. It returns with the sptes that it had.
    """
    if level < LEVEL_1G:
        _link(t, t.giant, gfn >> 18)
    if level == 1:
        _link(t, t.region, gfn >> 9)


def _link(t: PageTable, entries: Any, index: int) -> None:
    entry = entries[index]
    if not entry & TABLE:
        entries[index] = entry | TABLE | CHILD
        if not entry & CHILD:
            t.stat[TABLES] += 1


def map_small(t: PageTable, gfn: int, tracked: bool, bits: int = LEAF) -> bool:
    """Install a 4 KiB spte; return True if the page was logged.

    The spte is writable for reads too, unless `bits` are those of a clean guest mapping. In a
    tracked slot a writable spte is logged.
    """
    byte = t.page[gfn]
    if not byte & PRESENT:
        t.stat[PAGES_4K] += 1
    logged = tracked and bool(bits & WRITABLE)
    t.page[gfn] = byte | bits | LOGGED if logged else byte | bits
    t.stat[PF_FIXED] += 1
    return logged


def map_large(t: PageTable, gfn: int, level: int, keep_child: bool, bits: int = LEAF) -> bool:
    """Install a large spte; return True if this unlinked a table, so that the caller flushes.

    `bits` are its permissions. With `keep_child` the unlinked table stays hashed, as in every MMU
    with an rmap. Otherwise it is freed with all tables below it.
    """
    entries, index, counter = large_entry(t, gfn, level)
    entry = entries[index]
    if not entry & PRESENT:
        t.stat[counter] += 1
    unlinked = bool(entry & TABLE)
    if unlinked and not keep_child:
        entry ^= CHILD
        free_table(t, index, level)
    entries[index] = entry & NOT_TABLE | bits
    t.stat[PF_FIXED] += 1
    return unlinked


def free_table(t: PageTable, index: int, level: int) -> None:
    """Zap the 512 entries of a table that is freed, and everything below (handle_removed_pt).

    `index` and `level`, 2 or 3, are those of the entry that pointed to the table. TLBs may keep the
    translations until the caller flushes.
    """
    if level == LEVEL_1G:
        for child in range(index << 9, (index + 1) << 9):
            entry = t.region[child]
            if entry & (TABLE | CHILD) and not entry & PRESENT:
                _free_entries(t, t.page, child, PAGES_4K)
                t.region[child] = entry & NOT_TABLE & ~CHILD & 0xFF
        _free_entries(t, t.region, index, PAGES_2M)
    else:
        _free_entries(t, t.page, index, PAGES_4K)


def _free_entries(t: PageTable, below: Any, index: int, counter: int) -> None:
    t.stat[TABLES] -= 1
    for child in range(index << 9, (index + 1) << 9):
        byte = below[child]
        if byte & PRESENT:
            t.stat[counter] -= 1
            stale = TLB_READ | TLB_WRITE if byte & WRITABLE else TLB_READ
            below[child] = byte & NOT_LEAF | stale


def prefetch_small(t: PageTable, gfn: int, resident: Any, bits: int = LEAF) -> None:
    """Map the non-present neighbours in the aligned group of eight (direct_pte_prefetch).

    The kernel prefetches no writable spte in a tracked slot. It prefetches no page that is not
    `resident` (empty: all are), because a prefetch does not make the host find memory
    (get_user_page_fast_only). It leaves out the neighbours that follow the last present one where
    the group reaches beyond the end of memory (gfn_to_page_many_atomic).
    """
    first = gfn & ~(PREFETCH - 1)
    end = first + PREFETCH
    if end > len(t.page):
        end = len(t.page)
        while not t.page[end - 1] & PRESENT:
            end -= 1
    for neighbour in range(first, end):
        byte = t.page[neighbour]
        if not byte & PRESENT and (not len(resident) or resident[neighbour]):
            t.page[neighbour] = byte | bits
            t.stat[PAGES_4K] += 1


def set_dirty(t: PageTable, gfn: int) -> bool:
    """Set D of the writable leaf over `gfn` as the processor does; True if a small one's was clear.

    A small leaf of which D was clear is armed for PML: the write that sets it is logged. A writable
    large leaf lies in no slot that logs.
    """
    if t.giant[gfn >> 18] & PRESENT:
        t.giant[gfn >> 18] |= DIRTY
        return False
    if t.region[gfn >> 9] & PRESENT:
        t.region[gfn >> 9] |= DIRTY
        return False
    byte = t.page[gfn]
    if byte & (PRESENT | DIRTY) == PRESENT:
        t.page[gfn] = byte | DIRTY
        return True
    return False
