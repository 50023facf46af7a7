"""Walks of the host's log operations over all entries of a slot.

Each walk returns counts, from which :mod:`mmusim.costs.log_operations` computes the time. The
functions work on the numpy arrays of a :class:`~mmusim.mmu.page_table.PageTable`, not on its views.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from mmusim.base.units import PAGES_PER_REGION
from mmusim.mmu.page_table import PageTable
from mmusim.mmu.slot import (
    TLB,
    Bytes,
    Gfns,
    MemSlot,
    clear_d,
    parts_of,
    reachable_pages,
    stale,
    write_protect,
    zap,
)
from mmusim.mmu.spte import (
    CHILD,
    DIRTY,
    LEAF,
    LEVEL_1G,
    NOT_LEAF,
    PRESENT,
    TABLE,
    Edit,
)
from mmusim.vocabulary.counters import PAGES_1G, PAGES_2M, PAGES_4K, TABLES

BLOCK: Final = 1 << 12
"""Large leaves that are split at once."""


class Walk(NamedTuple):
    """The counts of a walk, which cost formulas multiply by unit costs."""

    tables: int = 0  # last-level page tables; those of a GiB too where they may be replaced
    leaves: int = 0  # present leaves of the levels that are walked, as the walk leaves them
    protected_4k: int = 0  # small sptes that lost W
    cleared_d: int = 0  # sptes that lost D
    protected_large: int = 0
    zapped_4k: int = 0
    zapped_large: int = 0
    zapped_tables: int = 0
    split_2m: int = 0  # includes those from 1 GiB leaves
    split_1g: int = 0

    @property
    def changed(self) -> bool:
        """Whether a TLB may now hold more than the tables allow."""
        return bool(sum(self[2:]))


def protect_slot(t: PageTable, slot: MemSlot, large: Edit, pml: bool, tdp: bool = False) -> Walk:
    """Arm a slot: clear W, or D under PML, of small leaves; treat large leaves as `large` says.

    Sources: kvm_mmu_slot_remove_write_access, kvm_mmu_slot_leaf_clear_dirty. The walk visits
    unlinked tables too, because they are on the list of active shadow pages and in the rmap. Under
    PML the TDP MMU clears D of leaves of every level (clear_dirty_gfn_range), so what they are
    split into is armed.

    Parameters
    ----------
    t : PageTable
        Changed in place. TLBs may keep the old rights until the caller flushes.
    slot : MemSlot
        The range; whole 2 MiB regions but for its end.
    large : Edit
        What becomes of large leaves: split, made read-only, zapped, or kept.
    pml : bool
        Whether the processor logs writes, so that D is cleared instead of W.
    tdp : bool
        Whether the MMU is the TDP MMU.
    """
    page, region, giant = t.page[slot.pages], t.region[slot.regions], t.giant[slot.giants]
    protected = zapped = split_1g = split_2m = cleared = 0
    if large == Edit.SPLIT:
        split_1g, split_2m = split_slot(t, slot)
    elif large == Edit.WRITE_PROTECT:
        protected = protect_large(t, slot).protected_large
        for entries in (region, giant) if pml and tdp else ():
            armed = (entries & (PRESENT | DIRTY)) == PRESENT | DIRTY
            entries[armed] &= np.uint8(0xFF ^ DIRTY)  # TLBs hold what they held when W went
            cleared += int(np.count_nonzero(armed))
    elif large == Edit.ZAP:
        zapped = zap_large(t, slot)
    reach = reachable_pages(t, slot)
    small = clear_d(page, reach) if pml else write_protect(page, reach)
    return Walk(
        tables=int(np.count_nonzero(region & CHILD)),
        leaves=present(page) + present(region) + present(giant),
        protected_4k=0 if pml else small,
        cleared_d=cleared + (small if pml else 0),
        protected_large=protected,
        zapped_large=zapped,
        split_2m=split_2m,
        split_1g=split_1g,
    )


def protect_large(t: PageTable, slot: MemSlot) -> Walk:
    """Clear W of the large leaves of a slot (kvm_mmu_slot_largepage_remove_write_access).

    Return the counts. TLBs may keep the right to write until the caller flushes.
    """
    region, giant = t.region[slot.regions], t.giant[slot.giants]
    return Walk(
        tables=int(np.count_nonzero(region & CHILD)),
        leaves=present(region) + present(giant),
        protected_large=write_protect(region) + write_protect(giant),
    )


def present(entries: Bytes) -> int:
    """Return the number of present leaves in an array of entries."""
    return int(np.count_nonzero(entries & PRESENT))


def mapped_pages(t: PageTable, slot: MemSlot) -> int:
    """Return how many of the slot's pages of 4 KiB a leaf of any size maps."""
    page, reach = t.page[slot.pages] & PRESENT, reachable_pages(t, slot)
    small = int(np.count_nonzero(page if reach is None else page[reach]))
    large = present(t.region[slot.regions]) * PAGES_PER_REGION
    return min(slot.npages, small + large + present(t.giant[slot.giants]) * PAGES_PER_REGION**2)


def split_slot(t: PageTable, slot: MemSlot, gfns: Gfns | None = None) -> tuple[int, int]:
    """Split the large leaves of the slot, or those over `gfns`, down to 4 KiB.

    kvm_mmu_slot_try_split_huge_pages. TLBs keep the large translation until the next flush. Return
    how many 1 GiB and how many 2 MiB leaves were split.
    """
    if gfns is None:
        giants, regions = np.arange(*slot.giants.indices(len(t.giant))), None
    else:
        giants, regions = np.unique(gfns >> 18), np.unique(gfns >> 9)
    giants = giants[(t.giant[giants] & PRESENT) != 0]
    split(t, giants, LEVEL_1G)
    if regions is None:
        regions = np.arange(*slot.regions.indices(len(t.region)))
    regions = regions[(t.region[regions] & PRESENT) != 0]
    split(t, regions, 2)
    return len(giants), len(regions)


def split(t: PageTable, where: Gfns, level: int) -> None:
    """Replace large leaves by 512 entries of the level below with their permissions.

    `where` has their indices, ascending, and `level` is 2 or 3. The walk finds an unlinked child
    table again and keeps what it maps (shadow_mmu_split_huge_page). It works in blocks, so that it
    takes little memory.
    """
    for first in range(0, len(where), BLOCK):
        _split(t, where[first : first + BLOCK], level)


def _split(t: PageTable, where: Gfns, level: int) -> None:
    entries, below = (t.giant, t.region) if level == LEVEL_1G else (t.region, t.page)
    old = entries[where]
    children: Gfns | slice
    if where[-1] - where[0] == len(where) - 1:  # neighbours
        children = slice(where[0] * PAGES_PER_REGION, (where[-1] + 1) * PAGES_PER_REGION)
    else:
        children = ((where * PAGES_PER_REGION)[:, None] + np.arange(PAGES_PER_REGION)).ravel()
    bits = np.repeat(old & np.uint8(LEAF), PAGES_PER_REGION)
    kept = PRESENT | TABLE if level == LEVEL_1G else PRESENT
    bytes_ = below[children]
    new = (bytes_ & kept) == 0
    below[children] = np.where(new, bytes_ & np.uint8(NOT_LEAF) | bits, bytes_)
    entries[where] = old & np.uint8(NOT_LEAF) | np.uint8(TABLE | CHILD) | stale(old)
    upper, lower = (PAGES_1G, PAGES_2M) if level == LEVEL_1G else (PAGES_2M, PAGES_4K)
    t.stat[upper] -= len(where)
    t.stat[lower] += int(np.count_nonzero(new))
    t.stat[TABLES] += int(np.count_nonzero((old & CHILD) == 0))


def zap_large(t: PageTable, slot: MemSlot) -> int:
    """Zap the large leaves of the slot, of both sizes; return their number. The caller flushes."""
    zapped = 0
    for entries, counter in ((t.region[slot.regions], PAGES_2M), (t.giant[slot.giants], PAGES_1G)):
        count = zap(entries, (entries & PRESENT) != 0)
        t.stat[counter] -= count
        zapped += count
    return zapped


def zap_all(t: PageTable, backing: int) -> Walk:
    """Zap every table of the VM (kvm_mmu_zap_all_fast: a slot was deleted); return the counts.

    `backing` is the level of the host's mapping: at 3 the tables of 2 MiB entries go too.
    """
    tables = int(np.count_nonzero(t.region & CHILD))
    small = 0
    for part in parts_of(MemSlot(0, len(t.page))):
        page = t.page[part.pages]
        small += zap(page, (page & PRESENT) != 0, reachable_pages(t, part))
    regions = zap(t.region, (t.region & PRESENT) != 0)
    giants = zap(t.giant, (t.giant & PRESENT) != 0)
    np.bitwise_and(t.region, np.uint8(TLB), out=t.region)
    if backing == LEVEL_1G:
        tables += int(np.count_nonzero(t.giant & CHILD))
        np.bitwise_and(t.giant, np.uint8(TLB), out=t.giant)
    t.stat[PAGES_4K] -= small
    t.stat[PAGES_2M] -= regions
    t.stat[PAGES_1G] -= giants
    t.stat[TABLES] -= tables
    return Walk(tables, zapped_4k=small, zapped_large=regions + giants)
