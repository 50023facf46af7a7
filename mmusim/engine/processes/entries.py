"""Entries over a faulting page: which pages they cover, who is in the way, who replaces them."""

from __future__ import annotations

from mmusim.base.units import PAGES_PER_REGION
from mmusim.engine.state.vm import Vcpu, Vm
from mmusim.mmu.spte import LEVEL_1G, PRESENT

NO_ENTRIES = slice(0, 0)


def under(vm: Vm, gfn: int, level: int) -> slice:
    """Return the pages below the large entry of `level` 2 or 3 over `gfn`, as a slice of gfns."""
    size = PAGES_PER_REGION ** (level - 1)
    first = gfn & -size
    return slice(first, min(first + size, vm.plan.pages))


def regions_under(vm: Vm, gfn: int, level: int) -> slice:
    """Return the regions of 2 MiB below the large entry of `level` 2 or 3 over `gfn`, as a
    slice.
    """
    pages = under(vm, gfn, level)
    return slice(pages.start >> 9, pages.stop >> 9)


def make_resident(vm: Vm, gfn: int) -> None:
    """Note that the host has memory for a page now, and for all that its own page there backs."""
    pages = under(vm, gfn, vm.plan.backing)
    vm.resident[pages] = bytes([1]) * (pages.stop - pages.start)


def frozen(vm: Vm, gfn: int) -> bool:
    """Tell whether another thread is replacing an entry over `gfn` (REMOVED_SPTE, FROZEN_SPTE)."""
    return (2, gfn >> 9) in vm.frozen or (LEVEL_1G, gfn >> 18) in vm.frozen


def blocking_level(vm: Vm, gfn: int, level: int) -> int:
    """Return the highest level above `level` with a leaf over `gfn`, or 0."""
    if level < LEVEL_1G and vm.view.giant[gfn >> 18] & PRESENT:
        return LEVEL_1G
    return 2 if level == 1 and vm.view.region[gfn >> 9] & PRESENT else 0


def count_reads_before_drop(vm: Vm, v: Vcpu, gfn: int, level: int) -> None:
    """Record how many pages were touched through a large spte before its drop, where that is
    counted.
    """
    if v.recorder.touched is not None:
        vm.settle()
        touched = v.recorder.touched[under(vm, gfn, level)]
        v.recorder.read_before_drop.append(int(touched.sum()))
