"""Unmapping guest memory because the host changes its own mapping (an MMU notifier)."""

from __future__ import annotations

from mmusim.mmu.page_table import PageTable
from mmusim.mmu.slot import MemSlot, reachable_pages, zap
from mmusim.mmu.spte import PRESENT, TABLE
from mmusim.mmu.walk import Walk, zap_large
from mmusim.vocabulary.counters import PAGES_4K


def zap_leaves(t: PageTable, slot: MemSlot) -> Walk:
    """Zap every leaf of a range of whole regions (kvm_tdp_mmu_unmap_gfn_range); return the counts.

    Tables stay. TLBs may keep the translations until the caller flushes.
    """
    page = t.page[slot.pages]
    small = zap(page, (page & PRESENT) != 0, reachable_pages(t, slot))
    t.stat[PAGES_4K] -= small
    return Walk(zapped_4k=small, zapped_large=zap_large(t, slot))


def zap_page(t: PageTable, gfn: int) -> Walk:
    """Zap the small leaf over a page, if there is one, below a linked table; return the counts.

    The large leaf over the page, if any, stays. The caller flushes.
    """
    if not t.region[gfn >> 9] & TABLE:
        return Walk()
    page = t.page[gfn : gfn + 1]
    small = zap(page, (page & PRESENT) != 0)
    t.stat[PAGES_4K] -= small
    return Walk(zapped_4k=small)
