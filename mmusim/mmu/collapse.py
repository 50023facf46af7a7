"""Large leaves in the place of small ones when logging ends: by a zap of what is in the way, or
in place.

Each function is the walk of one span of kernel releases (:class:`mmusim.policies.Disable` names
them). It works on the numpy arrays of a :class:`~mmusim.mmu.page_table.PageTable`.
"""

from __future__ import annotations

import numpy as np

from mmusim.base.units import PAGES_PER_REGION
from mmusim.mmu.page_table import PageTable
from mmusim.mmu.slot import Bytes, MemSlot, Which, reachable_pages, zap
from mmusim.mmu.spte import CHILD, LEAF, LEVEL_1G, PRESENT, TABLE
from mmusim.mmu.walk import Walk, present
from mmusim.vocabulary.counters import PAGES_1G, PAGES_2M, PAGES_4K, TABLES


def zap_collapsible(t: PageTable, slot: MemSlot, backing: int) -> Walk:
    """Zap leaves where a larger one would be allowed (kvm_mmu_zap_collapsible_sptes, 4.1).

    The empty tables stay linked, as in the kernel. The next fault replaces them. `backing` is the
    level of the host's mapping; at 1 nothing is zapped.
    """
    page, region = t.page[slot.pages], t.region[slot.regions]
    tables = int(np.count_nonzero(region & CHILD))
    if backing == 1:
        return Walk(tables, leaves=present(page))
    allowed = np.repeat(may_be_large(t, slot, backing), PAGES_PER_REGION)
    small = zap(page, ((page & PRESENT) != 0) & allowed, reachable_pages(t, slot))
    t.stat[PAGES_4K] -= small
    large = 0
    if backing == LEVEL_1G:
        large = zap(region, ((region & PRESENT) != 0) & may_be_giant(t, slot))
        t.stat[PAGES_2M] -= large
    leaves = present(page) + present(region) + present(t.giant[slot.giants])
    return Walk(tables, leaves, zapped_4k=small, zapped_large=large)


def may_be_giant(t: PageTable, slot: MemSlot) -> Which:
    """Tell for each region whether it may lie in a 1 GiB leaf; shape (regions of the slot,)."""
    allowed = np.repeat(t.disallow_1g[slot.giants] == 0, PAGES_PER_REGION)
    regions: Which = allowed[: slot.npages // PAGES_PER_REGION]
    return regions


def may_be_large(t: PageTable, slot: MemSlot, backing: int) -> Which:
    """Tell for each region whether a leaf above 4 KiB may map it; shape (regions of the slot,)."""
    allowed: Which = t.disallow_lpage[slot.regions] == 0
    return allowed | may_be_giant(t, slot) if backing == LEVEL_1G else allowed


def zap_tables(t: PageTable, slot: MemSlot, backing: int) -> Walk:
    """Zap whole tables where a large leaf would be allowed (zap_collapsible_spte_range, 5.19).

    Return the counts; each zapped table needs a flush. `backing` is the level of the host's
    mapping.
    """
    return _replace_tables(t, slot, backing, by=0)


def recover_large(t: PageTable, slot: MemSlot, backing: int) -> Walk:
    """Replace tables by large leaves in place (recover_huge_pages_range, 6.13); return the counts.

    A table is replaced if anything below it is mapped. Empty tables stay. The large leaf takes the
    permissions and D of the first leaf below it (tdp_mmu_make_huge_spte). So the large leaf is
    read-only where that leaf is armed. `backing` is the level of the host's mapping.
    """
    return _replace_tables(t, slot, backing, by=LEAF)


def _first_leaves(page: Bytes, region: Bytes) -> Bytes:
    """Return permissions and D of the first leaf below each region, shape (regions,); 0: none.

    A region that is a leaf itself stands for itself.
    """
    below = (page & PRESENT).reshape(-1, PAGES_PER_REGION) != 0
    first = page.reshape(-1, PAGES_PER_REGION)[np.arange(len(region)), below.argmax(axis=1)]
    found = np.where(below.any(axis=1) & ((region & TABLE) != 0), first & LEAF, 0)
    return np.where((region & PRESENT) != 0, region & LEAF, found).astype(np.uint8)


def _replace_tables(t: PageTable, slot: MemSlot, backing: int, by: int) -> Walk:
    page, region, giant = t.page[slot.pages], t.region[slot.regions], t.giant[slot.giants]
    if backing == 1:
        return Walk(int(np.count_nonzero(region & TABLE)))
    linked = (region & TABLE) != 0
    mapped = ((page & PRESENT) != 0).reshape(-1, PAGES_PER_REGION).any(axis=1) & linked
    whole = np.zeros(len(giant), np.bool_)  # tables of a GiB that are replaced with all below
    if backing == LEVEL_1G:
        whole = ((giant & TABLE) != 0) & (t.disallow_1g[slot.giants] == 0)
        if by:
            firsts = np.arange(0, len(region), PAGES_PER_REGION)
            whole &= np.logical_or.reduceat(mapped | ((region & PRESENT) != 0), firsts)
    covered = np.repeat(whole, PAGES_PER_REGION)[: len(region)]
    chosen = (mapped if by else linked) & (t.disallow_lpage[slot.regions] == 0) & ~covered
    gone = chosen | covered
    tables = int(np.count_nonzero(linked & ~covered)) + int(np.count_nonzero(giant & TABLE))
    giants, larges = int(np.count_nonzero(whole)), int(np.count_nonzero(chosen))

    leaves = _first_leaves(page, region) if by else np.zeros(len(region), np.uint8)
    small = zap(page, ((page & PRESENT) != 0) & np.repeat(gone & linked, PAGES_PER_REGION))
    large = zap(region, ((region & PRESENT) != 0) & covered)
    region[gone] &= np.uint8(0xFF ^ (TABLE | CHILD))
    region[chosen] |= leaves[chosen]
    if whole.any():  # where the backing is 1 GiB: slots begin at multiples of that
        giant[whole] = giant[whole] & np.uint8(0xFF ^ (TABLE | CHILD)) | _first_of(leaves)[whole]
    t.stat[TABLES] -= int(np.count_nonzero(gone & linked)) + giants
    t.stat[PAGES_4K] -= small
    t.stat[PAGES_2M] += (larges if by else 0) - large
    t.stat[PAGES_1G] += giants if by else 0
    return Walk(tables, zapped_4k=small, zapped_large=large, zapped_tables=giants + larges)


def _first_of(leaves: Bytes) -> Bytes:
    """Return the first leaf of each GiB from those of its regions, shape (GiB,)."""
    padded = np.zeros(-(-len(leaves) // PAGES_PER_REGION) * PAGES_PER_REGION, np.uint8)
    padded[: len(leaves)] = leaves
    rows = padded.reshape(-1, PAGES_PER_REGION)
    return np.asarray(rows[np.arange(len(rows)), (rows != 0).argmax(axis=1)])
