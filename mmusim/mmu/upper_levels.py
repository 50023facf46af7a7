"""Write-protected entries above the leaves: a bug of 2.6.37, a proposal of 2017.

x86 checks W on every level of a walk. The model keeps in each leaf the permission at the end of a
walk, so accesses need not look here. This state decides what faults do and cost.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from mmusim.base.units import PAGES_PER_REGION
from mmusim.mmu.page_table import PageTable
from mmusim.mmu.slot import MemSlot
from mmusim.mmu.spte import PRESENT, TABLE, WRITABLE


class UpperLevels(NamedTuple):
    """Which upper entries lack W."""

    region: Any  # (regions,) bool
    giant: Any  # (GiBs,) bool
    root: Any  # (roots,) bool
    writable: Any  # (regions,) int64: small sptes with W when it was last cleared
    had_large: Any  # (GiBs,) bool: its table once held a large spte

    @classmethod
    def empty(cls, pages: int) -> UpperLevels:
        """Return the state of a VM with `pages` pages of 4 KiB in which no upper entry is
        protected.
        """
        regions = -(-pages // PAGES_PER_REGION)
        giants = -(-regions // PAGES_PER_REGION)
        return cls(
            np.zeros(regions, np.bool_),
            np.zeros(giants, np.bool_),
            np.zeros(-(-giants // PAGES_PER_REGION), np.bool_),
            np.zeros(regions, np.int64),
            np.zeros(giants, np.bool_),
        )


def forget(u: UpperLevels) -> None:
    """Note that no upper entry is protected any more, because other tables are in use."""
    for array in u:
        array[:] = 0


def arm(u: UpperLevels, t: PageTable, slot: MemSlot) -> None:
    """Clear W of all entries of the root (Xiao, 2017), before the leaves of the slot are
    write-protected.

    It counts the writable small sptes of each region, for the cost of :func:`push_down`.
    """
    small = (t.page[slot.pages] & (PRESENT | WRITABLE)) == PRESENT | WRITABLE
    firsts = np.arange(0, slot.npages, PAGES_PER_REGION)
    u.writable[slot.regions] += np.add.reduceat(small, firsts, dtype=np.int64)
    u.root[:] = True


def armed(u: UpperLevels, gfn: int) -> bool:
    """Tell whether an entry above the leaf of `gfn` lacks W, so that a write faults."""
    return bool(u.root[gfn >> 27] or u.giant[gfn >> 18] or u.region[gfn >> 9])


def push_down(u: UpperLevels, t: PageTable, gfn: int) -> int:
    """Set W along the path to `gfn`; return how many entries lost W for that.

    Before an entry gets W back, its children that may be writable lose it.
    """
    cleared = 0
    root, giant, region = gfn >> 27, gfn >> 18, gfn >> 9
    if u.root[root]:
        for child in range(root << 9, min((root + 1) << 9, len(u.giant))):
            cleared += not u.giant[child]
            u.giant[child] = True
        u.root[root] = False
    if u.giant[giant]:
        for child in range(giant << 9, min((giant + 1) << 9, len(u.region))):
            cleared += bool(t.region[child] & (PRESENT | TABLE)) and not u.region[child]
            u.region[child] = True
        u.giant[giant] = False
    if u.region[region]:
        cleared += int(u.writable[region])
        u.writable[region] = 0
        u.region[region] = False
    return cleared


def protect_tables(u: UpperLevels, t: PageTable, slot: MemSlot) -> None:
    """Clear W of table entries whose table once held a large spte.

    The slot walk of 2.6.37 did this by mistake (fixed by e49146dce8c3).
    """
    tables = (t.region[slot.regions] & TABLE) != 0
    suspect = np.repeat(u.had_large, PAGES_PER_REGION)[: len(u.region)]
    u.region[slot.regions] |= tables & suspect[slot.regions]
