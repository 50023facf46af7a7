"""Guest page-table entries under shadow paging: KVM maps clean ones read-only.

A large guest PDE whose D bit is clear is mapped without W. So the first write faults and KVM sets D
in the guest's table (``FNAME(walk_addr)``, ``protect_clean_gpte``). A table of small sptes below
such an entry has a role without write access. When D is set, a table of another role takes its
place (``validate_direct_spte``). The old table stays hashed and unreachable until it is zapped.
Recordings of kernels showed this; the source of the domain reference does not mention it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mmusim.mmu.page_table import PageTable
from mmusim.mmu.slot import Which
from mmusim.mmu.spte import CHILD, LEAF, NOT_LEAF, PRESENT, TABLE, TLB_READ, WRITABLE
from mmusim.vocabulary.counters import PAGES_4K, TABLES

READ_ONLY = LEAF ^ WRITABLE


def walk_guest(
    t: PageTable, dirty: Any, orphans: Any, gfn: int, write: bool
) -> tuple[int, bool]:  # fmt: skip
    """Do the same as :meth:`GuestPdes.walk`, on its arrays."""
    region = gfn >> 9
    if dirty[region]:
        return LEAF, False
    if not write:
        return READ_ONLY, False
    dirty[region] = True
    entry = t.region[region]
    if not entry & CHILD:
        return LEAF, False
    held = TLB_READ if entry & TABLE else 0
    for child in range(region << 9, min((region + 1) << 9, len(t.page))):
        byte = t.page[child]
        if byte & PRESENT:
            orphans[region] += 1
            t.page[child] = byte & NOT_LEAF | held
    t.region[region] = entry & ~(TABLE | CHILD) & 0xFF
    t.stat[TABLES] -= 1
    return LEAF, bool(entry & TABLE)


class GuestPdes:
    """The D bits of a guest that maps its memory by 2 MiB entries and never clears them."""

    def __init__(self, regions: int) -> None:
        """Nothing was written."""
        self.dirty = np.zeros(regions, np.bool_)
        self.orphans = np.zeros(regions, np.int64)  # sptes in tables of the role without write

    def walk(self, t: PageTable, gfn: int, write: bool) -> tuple[int, bool]:
        """Walk the guest's tables for a fault, and set D for a write.

        Return the permissions of an spte to install, and whether a linked table was removed, so
        that the caller flushes.
        """
        return walk_guest(t, self.dirty, self.orphans, gfn, write)

    def zap(self, t: PageTable, where: slice, chosen: Which | bool = True) -> None:
        """Zap the sptes of unreachable tables in the regions `where`, or in the chosen ones."""
        orphans = self.orphans[where]
        gone = np.where(chosen, orphans, 0)
        orphans -= gone
        t.stat[PAGES_4K] -= int(gone.sum())
