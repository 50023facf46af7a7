"""The page tables of one VM as arrays: one byte per page, per 2 MiB region, and per GiB."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmusim.base.units import PAGES_PER_REGION
from mmusim.mmu.spte import (
    CHILD,
    LEVEL_1G,
    PRESENT,
    TABLE,
    TLB_READ,
    TLB_WRITE,
    TO_READ,
    TO_WRITE,
    WRITABLE,
)
from mmusim.vocabulary.counters import COUNTERS


class PageTable(NamedTuple):
    """All entries of a direct MMU, by gfn. Fields are arrays, or memoryviews of the same memory.

    An unlinked child table keeps its sptes; the entry above says whether they are reachable. In a
    VM without 1 GiB mappings the tables of 2 MiB entries exist from the start.
    """

    page: Any  # (pages,) uint8: the 4 KiB spte and the page's dirty bit and its STALE bit
    region: Any  # (regions,) uint8: the 2 MiB entry
    giant: Any  # (GiBs, rounded up) uint8: the 1 GiB entry
    disallow_lpage: Any  # (regions,) uint16: reasons against a large spte (lpage_info)
    disallow_1g: Any  # (GiBs, rounded up) uint16: the same for a 1 GiB one
    stat: Any  # (len(COUNTERS),) int64

    @classmethod
    def empty(cls, pages: int, level: int = 2) -> PageTable:
        """Return tables that map nothing, for a memory of `pages` pages of 4 KiB.

        `level` is the largest possible level of a leaf, 2 or 3.
        """
        regions = -(-pages // PAGES_PER_REGION)
        giants = -(-regions // PAGES_PER_REGION)
        table = cls(
            np.zeros(pages, np.uint8),
            np.zeros(regions, np.uint8),
            np.full(giants, 0 if level == LEVEL_1G else TABLE | CHILD, np.uint8),
            np.zeros(regions, np.uint16),
            np.zeros(giants, np.uint16),
            np.zeros(len(COUNTERS), np.int64),
        )
        if pages % PAGES_PER_REGION:
            table.disallow_lpage[-1] += 1  # the tail of the slot does not fill the last region
        if pages % PAGES_PER_REGION**2:
            table.disallow_1g[-1] += 1  # nor the last GiB
        return table

    def views(self) -> PageTable:
        """Return the same memory as memoryviews: scalar reads give plain ints, four times as
        fast.
        """
        return PageTable(*(memoryview(array) for array in self))


def hit_level(t: PageTable, gfn: int, write: bool, unflushed: bool) -> int:
    """Return the level of the translation that a vCPU can use at once, or 0.

    A vCPU that has not flushed (`unflushed`) may still use revoked entries: its TLB holds every
    translation that it could have held. 0 means an access that faults, or a write that sets D of an
    armed leaf and so makes an entry in the PML buffer.
    """
    giant, entry = t.giant[gfn >> 18], t.region[gfn >> 9]
    if unflushed:
        stale = TLB_WRITE if write else TLB_READ
        if giant & stale:
            return LEVEL_1G
        if entry & stale:
            return 2
        if t.page[gfn] & stale:
            return 1
    need = TO_WRITE if write else TO_READ
    if giant & TABLE:
        if entry & need == need:
            return 2
        if entry & TABLE and t.page[gfn] & need == need:
            return 1
    elif giant & need == need:
        return LEVEL_1G
    return 0


def hit_levels(
    t: PageTable, gfn: NDArray[np.int64], write: NDArray[np.bool_], unflushed: bool
) -> NDArray[np.int8]:
    """Return :func:`hit_level` of many accesses at once, shape (accesses,), values 0 to 3.

    `gfn` and `write` have that shape too.
    """
    giant, entry, byte = t.giant[gfn >> 18], t.region[gfn >> 9], t.page[gfn]
    need = np.where(write, TO_WRITE, TO_READ).astype(np.uint8)
    linked = (giant & TABLE) != 0
    small = linked & ((entry & TABLE) != 0) & ((byte & need) == need)
    levels = np.where(linked & ((entry & need) == need), 2, small).astype(np.int8)
    levels[~linked & ((giant & need) == need)] = LEVEL_1G
    if unflushed:
        stale = np.where(write, TLB_WRITE, TLB_READ).astype(np.uint8)
        levels[(byte & stale) != 0] = 1
        levels[(entry & stale) != 0] = 2
        levels[(giant & stale) != 0] = LEVEL_1G
    return levels


def leaf(t: PageTable, gfn: int) -> tuple[int, int]:
    """Return level (1 to 3) and byte of the leaf at the end of a walk for `gfn`; (1, 0) if none is
    there.
    """
    giant, entry = t.giant[gfn >> 18], t.region[gfn >> 9]
    if giant & PRESENT:
        return LEVEL_1G, giant
    if giant & TABLE:
        if entry & PRESENT:
            return 2, entry
        if entry & TABLE:
            return 1, t.page[gfn]
    return 1, 0


def permits(t: PageTable, gfn: int, write: bool) -> bool:
    """Tell whether the tables allow the access, whether PML has armed the leaf or not."""
    need = PRESENT | WRITABLE if write else PRESENT
    return leaf(t, gfn)[1] & need == need


def target_level(t: PageTable, gfn: int, tracked: bool, backing: int) -> int:
    """Return the level at which a fault maps `gfn` (mapping_level, kvm_mmu_max_mapping_level).

    `backing` is the level of the host's own mapping. In a slot that logs, the level is always 1.
    """
    if tracked or backing == 1:
        return 1
    if backing == LEVEL_1G and not t.disallow_1g[gfn >> 18]:
        return LEVEL_1G
    return 1 if t.disallow_lpage[gfn >> 9] else 2


def lacks_tables(t: PageTable, gfn: int, level: int) -> int:
    """Return the number of tables, 0 to 2, that mapping `gfn` at `level` must allocate."""
    missing = 0
    if level < LEVEL_1G and not t.giant[gfn >> 18] & (TABLE | CHILD):
        missing += 1
    if level == 1 and not t.region[gfn >> 9] & (TABLE | CHILD):
        missing += 1
    return missing
