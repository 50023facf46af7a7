"""The work of gets and clears under mmu_lock: take bits of the dirty log and re-arm their pages.

Sources: ``kvm_get_dirty_log_protect``, ``kvm_clear_dirty_log_protect``,
``kvm_arch_mmu_enable_log_dirty_pt_masked``; times by :mod:`mmusim.costs.log_operations`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import simpy
from numpy.typing import NDArray

from mmusim.costs import log_operations
from mmusim.costs.random_streams import Ints
from mmusim.engine.host.enable_disable import EVERYTHING, arm, unlock_and_flush
from mmusim.engine.host.host import Host
from mmusim.engine.host.lock_break import (
    PiecewisePayment,
    Rearmed,
    added,
    give_way,
    pieces_of,
    should_yield,
)
from mmusim.engine.state.vm import Steps, Vm
from mmusim.mmu import slot as mmu
from mmusim.mmu import walk as walks
from mmusim.mmu.slot import MemSlot
from mmusim.mmu.spte import CHILD, PRESENT
from mmusim.mmu.upper_levels import protect_tables
from mmusim.policies import GetWalk, Large, Reporting

Take = Callable[[MemSlot], Ints]
"""From a range to the pages in it whose bits are taken now."""


def among(gfns: Ints, part: MemSlot) -> Ints:
    """Return those of ascending `gfns` that lie in a range."""
    return gfns[slice(*np.searchsorted(gfns, [part.base_gfn, part.base_gfn + part.npages]))]


def take_and_rearm(
    vm: Vm, host: Host, slot: MemSlot, take: Take
) -> Generator[simpy.Event, Any, Ints]:
    """With mmu_lock held: do what a get does that clears; return the gfns that it reports.

    `take` takes the bits of a range. Old kernels exchanged the bitmap first and answered with a
    walk over the whole slot.
    """
    plan = vm.plan
    walk = plan.policy.get_walk or plan.kernel.get_walk()
    tables = int(np.count_nonzero(vm.table.region[slot.regions] & CHILD))
    dirty = 0 if walk is GetWalk.DIRTY else len(mmu.fetch_dirty(vm.table, slot))
    if log_operations.rearms_all(walk, slot.npages, tables, dirty):
        gfns = take(slot)
        mmu.clear_dirty(vm.table, gfns)
        host.armed += walks.mapped_pages(vm.table, slot)
        owed = log_operations.rearm_walk(
            plan.kernel, plan.choices, walk, slot.npages, tables, dirty
        )
        yield from rearm_everything(vm, host, slot, owed)
        return gfns

    def counted(piece: MemSlot) -> Ints:
        gfns = take(piece)
        host.armed += len(gfns)
        return gfns

    return (yield from clear_and_rearm(vm, host, slot, counted))


def clear_and_rearm(
    vm: Vm, host: Host, part: MemSlot, take: Take
) -> Generator[simpy.Event, Any, Ints]:
    """With mmu_lock held: clear the bits of a range, re-arm its pages, unlock and flush.

    Return the gfns. The kernel takes each word of the bitmap when it comes to it.
    """
    gfns, changed = yield from rearm_range(vm, host, part, take)
    needed = len(gfns) > 0 if vm.plan.kernel.flushes_by_bits() else changed
    yield from unlock_and_flush(vm, host, needed)
    return gfns


def rearm_range(
    vm: Vm, host: Host, part: MemSlot, take: Take
) -> Generator[simpy.Event, Any, tuple[Ints, bool]]:
    """Clear bits and re-arm piece by piece; return the gfns, and whether sptes changed.

    Each piece is processed in one step when the walk comes to it.
    """
    payment, whole, taken = PiecewisePayment(vm, host.spent), Rearmed(), []
    pages = 0
    for piece in pieces_of(vm, part):
        gfns = take(piece)
        done = rearm_some(vm, host, gfns)
        whole, pages = added(whole, done), pages + piece.npages
        if done.changed:
            vm.revoke(gfns, EVERYTHING)
        taken.append(gfns)
        owed = log_operations.rearm(
            vm.plan.kernel, vm.plan.choices, pages, whole.dirty, words=whole.words,
            unmapped=whole.unmapped,
            large=whole.large, split_2m=whole.split_2m, split_1g=whole.split_1g, fresh=whole.fresh,
        )  # fmt: skip
        yield vm.spend(payment.up_to(owed))
    return np.concatenate(taken), whole.changed


def splits_as_it_clears(vm: Vm) -> bool:
    """Tell whether the first clear of an all-set bitmap splits large sptes."""
    choices = vm.plan.choices
    return choices.reporting is Reporting.ALL_SET and choices.large is Large.EAGER_SPLIT


def clear_split_by_split(
    vm: Vm, host: Host, gfns: Ints, part: MemSlot
) -> Generator[simpy.Event, Any, Ints]:
    """With mmu_lock held: as :func:`clear_and_rearm`, but give the lock up before a split.

    Sources: kvm_arch_mmu_enable_log_dirty_pt_masked for each word of the bitmap,
    tdp_mmu_split_huge_pages_root. Since 6.11 the lock is dropped before each split, because the
    table page is allocated without it; before, where a walk would yield. A hold goes on up to the
    next split.
    """
    always, first = vm.plan.kernel.drops_lock_to_split(), part.base_gfn
    vm.scheduled_ns = vm.now
    splits = dict.fromkeys(np.unique(gfns[is_large(vm, gfns)] >> 9).tolist())
    starts = [max(first, region << 9) for region in splits]
    if not starts or starts[0] > first:
        starts.insert(0, first)
    for start, end in pairwise([*starts, first + part.npages]):
        region = start >> 9
        tables = 1 + bool(vm.table.giant[region >> 9] & PRESENT) if region in splits else 0
        for _ in range(tables):  # a leaf of 1 GiB needs one for each of two levels
            if always or should_yield(vm):
                yield from give_way(vm, host.spent, owed=False, shared=False)
        yield from rearm_range(vm, host, MemSlot(start, end - start), partial(among, gfns))
    yield from unlock_and_flush(vm, host, len(gfns) > 0)
    return gfns


def rearm_some(vm: Vm, host: Host, gfns: Ints) -> Rearmed:
    """Clear the bits of `gfns`, ascending, and re-arm their pages in one step; return the
    counts.
    """
    mmu.clear_dirty(vm.table, gfns)
    in_cache = not vm.tdp and host.follows("fresh-leaves")
    to_split = gfns[is_large(vm, gfns)] if in_cache else gfns[:0]
    large, split_1g, split_2m = arm_large_over(vm, gfns)
    fresh = int(np.count_nonzero(~is_large(vm, to_split)))
    unmapped = len(gfns) - walks.present(vm.table.page[gfns])
    small = mmu.rearm(vm.table, gfns, vm.pml)
    words = log_operations.dirty_words(gfns)
    return Rearmed(len(gfns), unmapped, large, split_2m, split_1g, fresh, small, words)


def is_large(vm: Vm, gfns: Ints) -> NDArray[np.bool_]:
    """Tell for each page whether a large leaf maps it, shape of `gfns`."""
    large = (vm.table.region[gfns >> 9] & PRESENT) | (vm.table.giant[gfns >> 18] & PRESENT)
    return np.asarray(large != 0)


def arm_large_over(vm: Vm, gfns: Ints) -> tuple[int, int, int]:
    """Arm the large sptes that the first clear of an all-set bitmap meets.

    Return how many were made read-only, and how many of 1 GiB and of 2 MiB were split.
    """
    plan = vm.plan
    split_1g = split_2m = 0
    if plan.choices.reporting is not Reporting.ALL_SET or plan.choices.large is Large.READ_ONLY:
        return 0, 0, 0
    if plan.choices.large is Large.EAGER_SPLIT:
        split_1g, split_2m = walks.split_slot(vm.table, plan.slot, gfns)
    keep = plan.driver.all_set_keeps_mmu_writable
    return mmu.protect_large_over(vm.table, gfns, keep), split_1g, split_2m


def rearm_everything(vm: Vm, host: Host, slot: MemSlot, counts: log_operations.Counts) -> Steps:
    """Clear W of every spte of a slot, as a get did up to 3.3, and spend `counts` on it."""
    if vm.plan.policy.protects_root:
        counts = log_operations.enable(
            vm.plan.policy, vm.plan.kernel, vm.plan.choices, slot.npages, walks.Walk()
        )
    payment, changed, pages, size = PiecewisePayment(vm, host.spent), False, 0, slot.npages
    for piece in pieces_of(vm, slot):
        changed |= arm(vm, piece, enabling=False).changed
        if vm.upper is not None and vm.plan.policy.protects_tables:
            protect_tables(vm.upper, vm.table, piece)
        pages += piece.npages
        yield vm.spend(payment.up_to({cost: n * pages / size for cost, n in counts.items()}))
    yield from unlock_and_flush(vm, host, changed)
