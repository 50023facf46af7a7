"""The page tables of one VM as arrays: one byte a page, one byte a 2 MiB region."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from mmusim.mmu.counters import NAMES
from mmusim.mmu.spte import CHILD, PRESENT, TABLE, TLB_READ, TLB_WRITE, WRITABLE
from mmusim.units import PAGES_PER_REGION


class PageTable(NamedTuple):
    """All entries of a direct MMU, by gfn. Fields are arrays, or memoryviews of the same memory.

    An unlinked child table keeps its sptes in ``page``; ``region`` says whether they are reachable.
    """

    page: Any  # (pages,) uint8: the 4 KiB spte and the page's dirty-log and truth bits
    region: Any  # (regions,) uint8: the 2 MiB entry
    disallow_lpage: Any  # (regions,) uint16: reasons against a large spte (lpage_info)
    stat: Any  # (len(counters.NAMES),) int64

    @classmethod
    def empty(cls, pages: int) -> PageTable:
        """Nothing is mapped. `pages` is a multiple of 512."""
        regions = pages // PAGES_PER_REGION
        return cls(
            np.zeros(pages, np.uint8),
            np.zeros(regions, np.uint8),
            np.zeros(regions, np.uint16),
            np.zeros(len(NAMES), np.int64),
        )

    def views(self) -> PageTable:
        """The same memory as memoryviews: scalar reads give plain ints, four times as fast."""
        return PageTable(*(memoryview(array) for array in self))


def hit_level(t: PageTable, gfn: int, write: bool, unflushed: bool) -> int:
    """Return the level of the translation a vCPU can use, or 0 if the access faults.

    A vCPU that has not flushed (`unflushed`) may still use what was taken back: its TLB is
    taken to hold every translation it could have held.
    """
    entry = t.region[gfn >> 9]
    if unflushed:
        stale = TLB_WRITE if write else TLB_READ
        if entry & stale:
            return 2
        if t.page[gfn] & stale:
            return 1
    need = PRESENT | WRITABLE if write else PRESENT
    if entry & need == need:
        return 2
    if entry & TABLE and t.page[gfn] & need == need:
        return 1
    return 0


def leaf(t: PageTable, gfn: int) -> tuple[int, int]:
    """Return level and byte of the leaf that a walk for `gfn` ends at; (1, 0) if none."""
    entry = t.region[gfn >> 9]
    if entry & PRESENT:
        return 2, entry
    if entry & TABLE:
        return 1, t.page[gfn]
    return 1, 0


def target_level(t: PageTable, gfn: int, tracked: bool, huge: bool) -> int:
    """Return the level at which a fault maps `gfn` (mapping_level, kvm_mmu_max_mapping_level)."""
    if tracked or not huge or t.disallow_lpage[gfn >> 9]:
        return 1
    return 2


def has_table(t: PageTable, region: int) -> bool:
    """Tell whether a child table exists for the region, linked or only hashed."""
    return bool(t.region[region] & (TABLE | CHILD))
