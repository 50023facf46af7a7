"""Memory slots, and what the host's log ioctls do to all entries of one.

These walk whole slots and so work on the numpy arrays of a :class:`PageTable`, not on its views.
Each returns how many entries it saw and changed, from which the engine computes the time.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmusim.mmu.counters import PAGES_2M, PAGES_4K, TABLES
from mmusim.mmu.page_table import PageTable
from mmusim.mmu.spte import (
    CHILD,
    LEAF,
    LOGGED,
    MMU_WRITABLE,
    PRESENT,
    STALE,
    TABLE,
    TLB_READ,
    TLB_WRITE,
    WRITABLE,
    Edit,
)
from mmusim.units import PAGES_PER_REGION

Bytes = NDArray[np.uint8]
Gfns = NDArray[np.int64]

_TLB = TLB_READ | TLB_WRITE


class MemSlot(NamedTuple):
    """A range of guest memory with its own dirty log. Begins and ends on 2 MiB."""

    base_gfn: int
    npages: int

    @property
    def pages(self) -> slice:
        """The slot's part of ``PageTable.page``."""
        return slice(self.base_gfn, self.base_gfn + self.npages)

    @property
    def regions(self) -> slice:
        """The slot's part of ``PageTable.region``."""
        return slice(self.base_gfn >> 9, (self.base_gfn + self.npages) >> 9)


class Walk(NamedTuple):
    """What a walk met: the counts that cost formulas multiply by unit costs."""

    tables: int = 0  # shadow pages of the last level
    changed_4k: int = 0  # small sptes write-protected or zapped
    protected_2m: int = 0
    zapped_2m: int = 0

    @property
    def changed(self) -> bool:
        """Whether a TLB may now hold more than the tables allow."""
        return bool(self.changed_4k or self.protected_2m or self.zapped_2m)


def protect_slot(t: PageTable, slot: MemSlot, large: Edit) -> Walk:
    """Arm a slot: clear W on small leaves, apply `large` to large ones.

    kvm_mmu_slot_remove_write_access, kvm_mmu_slot_leaf... : unlinked tables are walked as well,
    because they are on the list of active shadow pages and in the rmap.
    """
    page, region = t.page[slot.pages], t.region[slot.regions]
    is_large = (region & PRESENT) != 0
    tables = int(np.count_nonzero(region & CHILD))
    small = write_protect(page)
    protected = zapped = 0
    if large == Edit.WRITE_PROTECT:
        protected = write_protect(region)
    elif large == Edit.ZAP:
        zapped = zap(region, is_large)
        t.stat[PAGES_2M] -= zapped
    return Walk(tables, small, protected, zapped)


def write_protect(entries: Bytes) -> int:
    """Clear W wherever it is set on a present leaf; return how often (spte_write_protect)."""
    armed = (entries & (PRESENT | WRITABLE)) == PRESENT | WRITABLE
    entries[armed] = entries[armed] & ~np.uint8(WRITABLE) | np.uint8(_TLB)
    return int(np.count_nonzero(armed))


def zap(entries: Bytes, where: NDArray[np.bool_]) -> int:
    """Make the chosen leaves non-present; return how many there were."""
    old = entries[where]
    stale = np.where(old & WRITABLE, _TLB, TLB_READ).astype(np.uint8)
    entries[where] = old & ~np.uint8(LEAF) | stale
    return int(np.count_nonzero(where))


def fetch_dirty(t: PageTable, slot: MemSlot) -> Gfns:
    """Return the gfns whose bit is set, ascending, and leave the bits alone."""
    return slot.base_gfn + np.flatnonzero(t.page[slot.pages] & LOGGED)


def clear_dirty(t: PageTable, gfns: Gfns) -> None:
    """Clear the bits of the snapshot (xchg or andnot on the bitmap's words)."""
    t.page[gfns] &= ~np.uint8(LOGGED)


def rearm(t: PageTable, gfns: Gfns) -> int:
    """Write-protect the 4 KiB leaves of `gfns` (kvm_mmu_write_protect_pt_masked)."""
    bytes_ = t.page[gfns]
    changed = write_protect(bytes_)
    t.page[gfns] = bytes_
    return changed


def protect_large_under(t: PageTable, gfns: Gfns) -> int:
    """Write-protect the large leaves over `gfns` and take their mmu_writable away.

    kvm_arch_mmu_enable_log_dirty_pt_masked in initially-all-set mode, which protects a large
    leaf the way a shadowed page would be protected.
    """
    regions = np.unique(gfns >> 9)
    entries = t.region[regions]
    changed = write_protect(entries)
    large = (entries & PRESENT) != 0
    entries[large] &= ~np.uint8(MMU_WRITABLE)
    t.region[regions] = entries
    return changed


def zap_collapsible(t: PageTable, slot: MemSlot, huge: bool) -> Walk:
    """Zap small leaves where a large one would be allowed (kvm_mmu_zap_collapsible_sptes, 4.1).

    The emptied tables stay linked, as in the kernel; the next fault replaces them.
    """
    region = t.region[slot.regions]
    tables = int(np.count_nonzero(region & CHILD))
    if not huge:
        return Walk(tables)
    allowed = t.disallow_lpage[slot.regions] == 0
    page = t.page[slot.pages]
    present = (page & PRESENT) != 0
    zapped = zap(page, present & np.repeat(allowed, PAGES_PER_REGION))
    t.stat[PAGES_4K] -= zapped
    return Walk(tables, changed_4k=zapped)


def zap_all(t: PageTable) -> Walk:
    """Zap every table of the VM (kvm_mmu_zap_all_fast: a slot was deleted)."""
    tables = int(np.count_nonzero(t.region & CHILD))
    small = zap(t.page, (t.page & PRESENT) != 0)
    large = zap(t.region, (t.region & PRESENT) != 0)
    np.bitwise_and(t.region, np.uint8(_TLB), out=t.region)
    t.stat[PAGES_4K] -= small
    t.stat[PAGES_2M] -= large
    t.stat[TABLES] -= tables
    return Walk(tables, changed_4k=small, zapped_2m=large)


def set_log(t: PageTable, slot: MemSlot, ones: bool) -> None:
    """Give the slot a fresh bitmap, all zeros or all ones."""
    page = t.page[slot.pages]
    if ones:
        page |= np.uint8(LOGGED)
    else:
        page &= ~np.uint8(LOGGED)


def copied(t: PageTable, gfns: Gfns) -> None:
    """The pages reach the destination as they are now."""
    t.page[gfns] &= ~np.uint8(STALE)


def flushed(t: PageTable, pages: slice | Gfns, regions: slice) -> None:
    """No TLB holds any more of these entries than the tables allow."""
    t.page[pages] &= ~np.uint8(_TLB)
    t.region[regions] &= ~np.uint8(_TLB)


def lost_writes(t: PageTable, slot: MemSlot) -> Gfns:
    """Pages whose newest content nobody will ever send: stale at the destination, not logged."""
    state = t.page[slot.pages] & (STALE | LOGGED)
    return slot.base_gfn + np.flatnonzero(state == STALE)


def illegal(t: PageTable, slot: MemSlot) -> Gfns:
    """Pages of a tracked slot that the guest can write unlogged (legality invariant A.4)."""
    region = np.repeat(t.region[slot.regions], PAGES_PER_REGION)
    page = t.page[slot.pages]
    need = PRESENT | WRITABLE
    small = ((region & TABLE) != 0) & ((page & need) == need)
    large = (region & need) == need
    return slot.base_gfn + np.flatnonzero((small | large) & ((page & LOGGED) == 0))
