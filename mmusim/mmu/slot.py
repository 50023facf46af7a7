"""Memory slots and their dirty log: which pages are dirty, armed, stale, lost.

The functions work on the numpy arrays of a :class:`~mmusim.mmu.page_table.PageTable`, not on its
views.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmusim.base.units import PAGES_PER_REGION
from mmusim.mmu.page_table import PageTable
from mmusim.mmu.spte import (
    CHILD,
    DIRTY,
    LEAF,
    LOGGED,
    MMU_WRITABLE,
    PRESENT,
    STALE,
    TABLE,
    TLB_READ,
    TLB_WRITE,
    WRITABLE,
)

Bytes = NDArray[np.uint8]
Gfns = NDArray[np.int64]
Which = NDArray[np.bool_]

TLB = TLB_READ | TLB_WRITE
AT_ONCE: Final = 1 << 20
"""Pages of a slot that are looked through in one step, so that little memory is needed."""


class MemSlot(NamedTuple):
    """A range of guest memory with its own dirty log. It begins at a multiple of 2 MiB."""

    base_gfn: int
    npages: int

    @property
    def pages(self) -> slice:
        """The slot's part of ``PageTable.page``."""
        return slice(self.base_gfn, self.base_gfn + self.npages)

    @property
    def regions(self) -> slice:
        """The slot's part of ``PageTable.region``."""
        return slice(self.base_gfn >> 9, -(-(self.base_gfn + self.npages) >> 9))

    @property
    def giants(self) -> slice:
        """The slot's part of ``PageTable.giant``."""
        return slice(self.base_gfn >> 18, -(-(self.base_gfn + self.npages) >> 18))

    def part(self, number: int, among: int) -> tuple[int, int]:
        """Return first gfn and pages of the part of vCPU `number`, from 0, of `among`.

        Parts are whole 2 MiB regions if the slot is and there is one for each vCPU, else whole
        pages. They differ by at most one such unit; the first vCPUs have the larger parts.
        """
        regions, rest = divmod(self.npages, PAGES_PER_REGION)
        unit = PAGES_PER_REGION if regions >= among and not rest else 1
        units, larger = divmod(self.npages // unit, among)
        first = number * units + min(number, larger)
        return self.base_gfn + first * unit, (units + (number < larger)) * unit

    def within(self, part: MemSlot) -> slice:
        """Return the places of a part of the slot in an array over the slot's pages, shape
        (npages,).
        """
        first = part.base_gfn - self.base_gfn
        return slice(first, first + part.npages)

    def offsets(self, gfns: Gfns) -> Gfns:
        """Return the places of pages (gfns) in the slot, from 0; the same array where the slot
        begins at 0.
        """
        return gfns - self.base_gfn if self.base_gfn else gfns

    def gfns(self, offsets: Gfns) -> Gfns:
        """Return the gfns of places in the slot, from 0; the same array where the slot begins
        at 0.
        """
        return offsets + self.base_gfn if self.base_gfn else offsets

    def __contains__(self, gfn: object) -> bool:
        return isinstance(gfn, int) and self.base_gfn <= gfn < self.base_gfn + self.npages


def parts_of(whole: MemSlot, size: int = AT_ONCE) -> list[MemSlot]:
    """Divide a range into parts, in ascending order, that end at multiples of `size` pages."""
    first, end = whole.base_gfn, whole.base_gfn + whole.npages
    cuts = [first, *range((first // size + 1) * size, end, size), end]
    return [MemSlot(a, b - a) for a, b in pairwise(cuts)]


def slices(count: int) -> Iterator[slice]:
    """Yield the parts of an array of `count` entries that are processed in one step: up to
    `AT_ONCE`.
    """
    for first in range(0, count, AT_ONCE):
        yield slice(first, min(first + AT_ONCE, count))


def leaves_over(t: PageTable, slot: MemSlot) -> int:
    """Return the number of present leaves, of every level, that map a page of the range."""
    levels = (t.page[slot.pages], t.region[slot.regions], t.giant[slot.giants])
    return sum(int(np.count_nonzero(entries & PRESENT)) for entries in levels)


def write_protect(entries: Bytes, reachable: Which | None = None) -> int:
    """Clear W of every present leaf that has it; return the number (spte_write_protect).

    TLBs may still hold what was `reachable`: everything (None), or no sptes of unlinked tables.
    """
    return _clear(entries, WRITABLE, PRESENT | WRITABLE, reachable)


def clear_d(entries: Bytes, reachable: Which | None = None) -> int:
    """Clear D of every writable leaf that has it; return the number (spte_clear_dirty).

    A TLB that has cached D lets writes pass unlogged until it is flushed.
    """
    return _clear(entries, DIRTY, PRESENT | WRITABLE | DIRTY, reachable)


def _clear(entries: Bytes, bit: int, need: int, reachable: Which | None) -> int:
    cleared = 0
    for part in slices(len(entries)):
        some = entries[part]
        armed = (some & need) == need
        if not armed.any():
            continue
        stale = armed if reachable is None else armed & reachable[part]
        # A TLB that has cached D as clear walks again before it writes, and meets the new entry.
        held = np.where(some[stale] & np.uint8(DIRTY), np.uint8(TLB), np.uint8(TLB_READ))
        some[armed] &= np.uint8(0xFF ^ bit)
        some[stale] |= held
        cleared += int(np.count_nonzero(armed))
    return cleared


def stale(entries: Bytes) -> Bytes:
    """Return the bits for what TLBs may hold of revoked leaves, shape of `entries`: a read, or a
    write too.
    """
    return np.where(entries & WRITABLE, np.uint8(TLB), np.uint8(TLB_READ))


def zap(entries: Bytes, where: Which, reachable: Which | None = None) -> int:
    """Make the leaves `where` non-present, in place; return their number.

    `entries`, `where` and `reachable` have one shape. TLBs may still hold what was `reachable`
    (None: everything).
    """
    for part in slices(len(entries)):
        some = where[part]
        if not some.any():
            continue
        old = entries[part][some]
        held = stale(old) if reachable is None else stale(old) * reachable[part][some]
        entries[part][some] = old & ~np.uint8(LEAF) | held
    return int(np.count_nonzero(where))


def reachable_pages(t: PageTable, slot: MemSlot) -> Which | None:
    """Tell which pages of the slot lie in linked tables, shape (npages,); None if all do."""
    region = t.region[slot.regions]
    if not ((region & (TABLE | CHILD)) == CHILD).any():
        return None
    return np.repeat((region & TABLE) != 0, PAGES_PER_REGION)[: slot.npages]


def set_log(t: PageTable, slot: MemSlot, ones: bool) -> None:
    """Give the slot a new dirty bitmap: all ones (initially-all-set), or all zeros."""
    page = t.page[slot.pages]
    if ones:
        page |= np.uint8(LOGGED)
    else:
        page &= ~np.uint8(LOGGED)


def log_of(t: PageTable, slot: MemSlot) -> Which:
    """Return a copy of the slot's dirty bitmap, shape (npages,)."""
    return np.asarray((t.page[slot.pages] & LOGGED) != 0)


def fetch_dirty(t: PageTable, slot: MemSlot) -> Gfns:
    """Return the gfns whose dirty bit is set, ascending, shape (dirty pages,). The bits stay
    set.
    """
    return np.concatenate([p.gfns(np.flatnonzero(log_of(t, p))) for p in parts_of(slot)])


def clear_dirty(t: PageTable, gfns: Gfns) -> None:
    """Clear the dirty bits of `gfns`, shape (pages,): xchg or andnot on the bitmap's words in the
    kernel.
    """
    t.page[gfns] &= ~np.uint8(LOGGED)


def rearm(t: PageTable, gfns: Gfns, pml: bool) -> int:
    """Arm the 4 KiB leaves of `gfns` again; return the number of changed leaves.

    ``kvm_mmu_write_protect_pt_masked``, or ``kvm_mmu_clear_dirty_pt_masked`` under PML. A read-only
    leaf stays read-only.
    """
    bytes_, linked = t.page[gfns], (t.region[gfns >> 9] & TABLE) != 0
    changed = clear_d(bytes_, linked) if pml else write_protect(bytes_, linked)
    t.page[gfns] = bytes_
    return changed


def protect_large_over(t: PageTable, gfns: Gfns, keep_mmu_writable: bool) -> int:
    """Write-protect the large leaves over `gfns` as the first clear of an all-set bitmap does.

    ``kvm_mmu_slot_gfn_write_protect(PG_LEVEL_2M)`` in ``kvm_arch_mmu_enable_log_dirty_pt_masked``
    treats them as it would treat a shadowed page. It clears mmu_writable too, unless told
    otherwise.
    """
    changed = 0
    for entries, shift in ((t.region, 9), (t.giant, 18)):
        where = np.unique(gfns >> shift)
        bytes_ = entries[where]
        changed += write_protect(bytes_)
        if not keep_mmu_writable:
            bytes_[(bytes_ & PRESENT) != 0] &= ~np.uint8(MMU_WRITABLE)
        entries[where] = bytes_
    return changed


def copied(t: PageTable, gfns: slice | Gfns) -> None:
    """Record that the destination received the pages in their present state: clear STALE of
    gfns.
    """
    t.page[gfns] &= ~np.uint8(STALE)


def flushed(t: PageTable, pages: slice | Gfns, regions: slice) -> None:
    """Record that TLBs hold no more than the tables allow of these pages and regions, and of any
    GiB.
    """
    t.page[pages] &= ~np.uint8(TLB)
    t.region[regions] &= ~np.uint8(TLB)
    t.giant[:] &= ~np.uint8(TLB)


def lost_writes(t: PageTable, slot: MemSlot) -> Gfns:
    """Return the gfns whose newest content will not be sent, ascending: stale there, and not
    logged.
    """
    lost = [
        part.gfns(np.flatnonzero((t.page[part.pages] & (STALE | LOGGED)) == STALE))
        for part in parts_of(slot)
    ]
    return np.concatenate(lost)


def illegal(t: PageTable, slot: MemSlot) -> Gfns:
    """Return the pages of a tracked slot that the guest can write unlogged (legality rule, A.4).

    A leaf that PML has armed is writable and its write is logged: D is clear.
    """
    return np.concatenate([_illegal(t, part) for part in parts_of(slot)])


def _illegal(t: PageTable, slot: MemSlot) -> Gfns:
    need = PRESENT | WRITABLE | DIRTY
    linked = np.repeat((t.giant[slot.giants] & TABLE) != 0, PAGES_PER_REGION)
    entry = t.region[slot.regions]
    linked = linked[: len(entry)]
    giant = np.repeat((t.giant[slot.giants] & need) == need, PAGES_PER_REGION)[: len(entry)]
    large = giant | (linked & ((entry & need) == need))
    page = t.page[slot.pages]
    table = np.repeat(linked & ((entry & TABLE) != 0), PAGES_PER_REGION)[: len(page)]
    covered = np.repeat(large, PAGES_PER_REGION)[: len(page)]
    writable = covered | (table & ((page & need) == need))
    return slot.base_gfn + np.flatnonzero(writable & ((page & LOGGED) == 0))
