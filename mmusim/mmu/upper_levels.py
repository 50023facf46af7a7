"""Entries above the leaves that are write-protected themselves: a bug of 2.6.37, an idea of 2017.

x86 looks at W on every level of a walk. The model keeps in each leaf the permission that a walk
ends with, so accesses need not look up here; what is here decides what faults do and cost.
"""

from __future__ import annotations

import numpy as np

from mmusim.mmu.page_table import PageTable
from mmusim.mmu.slot import MemSlot
from mmusim.mmu.spte import PRESENT, TABLE, WRITABLE
from mmusim.units import PAGES_PER_REGION


class UpperLevels:
    """Which upper entries lack W. Shapes: (roots,), (GiBs,), (regions,)."""

    def __init__(self, pages: int) -> None:
        """Nothing is protected."""
        regions = pages // PAGES_PER_REGION
        giants = -(-regions // PAGES_PER_REGION)
        self.region = np.zeros(regions, np.bool_)
        self.giant = np.zeros(giants, np.bool_)
        self.root = np.zeros(-(-giants // PAGES_PER_REGION), np.bool_)
        self.writable = np.zeros(regions, np.int64)  # small sptes with W when it was last cleared
        self.had_large = np.zeros(giants, np.bool_)  # its table once held a large spte

    def arm(self, t: PageTable, slot: MemSlot) -> None:
        """Clear W of the root's entries (Xiao, 2017); before the leaves are write-protected."""
        page = t.page[slot.pages]
        small = ((page & (PRESENT | WRITABLE)) == PRESENT | WRITABLE).reshape(-1, PAGES_PER_REGION)
        self.writable[slot.regions] += small.sum(axis=1)
        self.root[:] = True

    def armed(self, gfn: int) -> bool:
        """Tell whether an entry above the leaf of `gfn` lacks W."""
        return bool(self.root[gfn >> 27] or self.giant[gfn >> 18] or self.region[gfn >> 9])

    def push_down(self, t: PageTable, gfn: int) -> int:
        """Set W along the path to `gfn`; return of how many entries W was cleared for that.

        Before an entry gets W back, its children that may be writable lose it.
        """
        cleared = 0
        root, giant, region = gfn >> 27, gfn >> 18, gfn >> 9
        if self.root[root]:
            below = self.giant[root << 9 : (root + 1) << 9]
            cleared += int(np.count_nonzero(~below))
            below[:] = True
            self.root[root] = False
        if self.giant[giant]:
            first = giant << 9
            below = self.region[first : first + PAGES_PER_REGION]
            entries = t.region[first : first + PAGES_PER_REGION]
            there = (np.asarray(entries) & (PRESENT | TABLE)) != 0
            cleared += int(np.count_nonzero(there & ~below))
            below[:] = True
            self.giant[giant] = False
        if self.region[region]:
            cleared += int(self.writable[region])
            self.writable[region] = 0
            self.region[region] = False
        return cleared

    def protect_tables(self, t: PageTable, slot: MemSlot) -> None:
        """Clear W of entries that are tables, where their table once held a large spte.

        What the slot walk of 2.6.37 did by mistake (fixed by e49146dce8c3).
        """
        tables = (t.region[slot.regions] & TABLE) != 0
        suspect = np.repeat(self.had_large, PAGES_PER_REGION)[: len(self.region)]
        self.region[slot.regions] |= tables & suspect[slot.regions]
