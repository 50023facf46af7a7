"""Guest page-table entries under shadow paging: KVM maps clean ones read-only.

A large guest entry whose D bit is clear is mapped without W. So the first write faults and KVM sets
D in the guest's table (``FNAME(walk_addr)``, ``protect_clean_gpte``). A table of small sptes below
such an entry has a role without write access. When D is set, a table of another role takes its
place (``validate_direct_spte``). The old table stays hashed and unreachable until it is zapped.
Recordings of kernels showed this; the source of the domain reference does not mention it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mmusim.mmu.page_table import PageTable
from mmusim.mmu.slot import Which
from mmusim.mmu.spte import CHILD, LEAF, LEVEL_1G, NOT_LEAF, PRESENT, TABLE, TLB_READ, WRITABLE
from mmusim.vocabulary.counters import PAGES_4K, TABLES

READ_ONLY = LEAF ^ WRITABLE


def walk_guest(
    t: PageTable, dirty: Any, orphans: Any, shift: int, gfn: int, write: bool
) -> tuple[int, bool]:  # fmt: skip
    """Do the same as :meth:`GuestPdes.walk`, on its arrays; compiled code calls this.

    Parameters
    ----------
    t : PageTable
        Changed where a table is unlinked.
    dirty : array, shape (guest entries,), bool
        D bits of the guest's large entries; changed.
    orphans : array, shape (regions,), int64
        Number of present sptes in unlinked tables; changed.
    shift : int
        9 for guest entries of 2 MiB, 18 for 1 GiB: from a gfn to its entry.
    gfn, write : int, bool
        The access that faulted.

    Returns
    -------
    tuple of (int, bool)
        Permission bits of the spte to install, and whether a linked table was unlinked.
    """
    entry = gfn >> shift
    if dirty[entry]:
        return LEAF, False
    if not write:
        return READ_ONLY, False
    dirty[entry] = True
    linked = False
    for region in range(entry << shift - 9, min((entry + 1) << shift - 9, len(t.region))):
        linked = unlink(t, orphans, region) or linked
    if shift > 9 and t.giant[entry] & CHILD:
        t.giant[entry] &= ~(TABLE | CHILD) & 0xFF
        t.stat[TABLES] -= 1
    return LEAF, linked


def unlink(t: PageTable, orphans: Any, region: int) -> bool:
    """Unlink the table of a region, by index; its present sptes become orphans.

    Return whether it was linked: then TLBs may use it and the caller flushes.
    """
    entry = t.region[region]
    if not entry & CHILD:
        return False
    held = TLB_READ if entry & TABLE else 0
    for child in range(region << 9, min((region + 1) << 9, len(t.page))):
        byte = t.page[child]
        if byte & PRESENT:
            orphans[region] += 1
            t.page[child] = byte & NOT_LEAF | held
    t.region[region] = entry & ~(TABLE | CHILD) & 0xFF
    t.stat[TABLES] -= 1
    return bool(entry & TABLE)


class GuestPdes:
    """The D bits of a guest that maps its memory by large entries and never clears them.

    Its entries are as large as the host's pages, since a leaf is no larger than either: of 1 GiB
    on such backing, else of 2 MiB.
    """

    def __init__(self, regions: int, backing: int) -> None:
        """Nothing was written; `backing` is the level of the host's pages."""
        self.shift = 18 if backing == LEVEL_1G else 9
        self.dirty = np.zeros(-(-regions // (1 << self.shift - 9)), np.bool_)
        self.orphans = np.zeros(regions, np.int64)  # sptes in tables of the role without write

    def walk(self, t: PageTable, gfn: int, write: bool) -> tuple[int, bool]:
        """Walk the guest's tables for a fault, and set D for a write.

        Return the permissions of an spte to install, and whether a linked table was removed, so
        that the caller flushes.
        """
        return walk_guest(t, self.dirty, self.orphans, self.shift, gfn, write)

    def zap(self, t: PageTable, where: slice, chosen: Which | bool = True) -> None:
        """Zap the sptes of unlinked tables in the regions `where`.

        `chosen` says in which of them, shape (regions in `where`,); True means all.
        """
        orphans = self.orphans[where]
        gone = np.where(chosen, orphans, 0)
        orphans -= gone
        t.stat[PAGES_4K] -= int(gone.sum())
