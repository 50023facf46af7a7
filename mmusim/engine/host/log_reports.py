"""Reports of dirty pages: KVM_GET_DIRTY_LOG, KVM_CLEAR_DIRTY_LOG, the dirty rings.

Sources: ``kvm_get_dirty_log_protect``, ``kvm_clear_dirty_log_protect``,
``kvm_arch_mmu_enable_log_dirty_pt_masked``; times by :mod:`mmusim.costs.log_operations`.
"""

from __future__ import annotations

from collections.abc import Generator
from itertools import pairwise
from typing import Any

import numpy as np
import simpy
from numpy.typing import NDArray

from mmusim.base.units import PAGE
from mmusim.config.driver import Clear, Phase, Sync
from mmusim.costs import log_operations
from mmusim.costs.random_streams import Ints
from mmusim.engine.host.lock_break import give_way, should_yield
from mmusim.engine.host.log_ioctls import EVERYTHING, Host, arm, send, unlock_and_flush
from mmusim.engine.processes.dirty_rings import hold_mmu_lock, hold_slots_lock, reap
from mmusim.engine.processes.flush import kick_all
from mmusim.engine.state.vm import Steps, Vm
from mmusim.mmu import slot as mmu
from mmusim.mmu import walk as walks
from mmusim.mmu.spte import CHILD, LOGGED, PRESENT, STALE
from mmusim.mmu.upper_levels import protect_tables
from mmusim.policies import Large, Reporting
from mmusim.trace.records import HOST


def sync_dirty_log(vm: Vm, host: Host, phase: Phase, record: dict[str, Any]) -> Steps:
    """Read the dirty pages, re-arm and send them, by the interface that the policy uses."""
    assert isinstance(phase, Sync)
    if vm.plan.choices.reporting is Reporting.DIRTY_RING:
        yield from harvest_ring(vm, host, phase, record)
        return
    yield from hold_slots_lock(vm, HOST, host.spent)
    yield from get_dirty_log(vm, host, phase, record)
    if vm.plan.choices.reporting is not Reporting.GET_CLEARS:
        yield from clear_in_chunks(vm, host, phase.chunk)
    vm.slots_lock.release(HOST)


def get_dirty_log(vm: Vm, host: Host, phase: Phase, record: dict[str, Any]) -> Steps:
    """KVM_GET_DIRTY_LOG: report; also clear and re-arm unless user space does that separately."""
    del phase
    if not vm.tracked:
        return
    slot, clears = vm.plan.slot, vm.plan.choices.reporting is Reporting.GET_CLEARS
    yield vm.spend(host.once("c_get_floor"))
    yield from drain_buffers(vm, host)
    if clears:
        yield from hold_mmu_lock(vm, HOST, host.spent)
    gfns = mmu.fetch_dirty(vm.table, slot)
    report(vm, host, gfns, record)
    if clears:
        yield from clear_and_rearm(vm, host, gfns)
    else:
        host.bitmap = gfns
    copied = host.pay(log_operations.copy(slot.npages))
    if not host.has_bitmap and host.follows("bitmaps"):
        copied += host.pay(log_operations.fault_in_bitmap(slot.npages))
    host.has_bitmap = True
    yield vm.spend(copied)
    if clears:
        send(vm, gfns)


def report(vm: Vm, host: Host, gfns: Ints, record: dict[str, Any]) -> None:
    """Record the pages that are reported dirty, and those of them that are not (false dirty)."""
    vm.settle()
    record["dirty"] = len(gfns)
    record["false_dirty"] = int(np.count_nonzero(vm.table.page[gfns] & STALE == 0))
    host.reported += record["dirty"]
    host.false += record["false_dirty"]


def drain_buffers(vm: Vm, host: Host) -> Steps:
    """Kick the vCPUs so that they drain PML buffers (kvm_arch_sync_dirty_log); do not wait.

    Some kernels kick them without PML too.
    """
    if vm.pml or vm.plan.kernel.kicks_before_reports():
        yield vm.spend(host.pay(log_operations.kick(kick_all(vm))))


def clear_dirty_log(vm: Vm, host: Host, phase: Phase, record: dict[str, Any]) -> Steps:
    """KVM_CLEAR_DIRTY_LOG with the bitmap of the last get, one request a chunk."""
    del record
    assert isinstance(phase, Clear)
    yield from clear_in_chunks(vm, host, phase.chunk)


def clear_in_chunks(vm: Vm, host: Host, chunk_bytes: int | None) -> Steps:
    """Clear what the last get reported, chunk by chunk; each is sent once it is armed again."""
    if not vm.tracked:
        return
    slot = vm.plan.slot
    chunk = chunk_bytes // PAGE if chunk_bytes else slot.npages
    for first in range(slot.base_gfn, slot.base_gfn + slot.npages, chunk):
        send(vm, (yield from clear_chunk(vm, host, first, chunk)))


def clear_chunk(vm: Vm, host: Host, first: int, pages: int) -> Generator[simpy.Event, Any, Ints]:
    """Clear pages of a range that the last get reported; return those that are re-armed."""
    slot = vm.plan.slot
    asked = host.bitmap[np.searchsorted(host.bitmap, first) :]
    asked = asked[: np.searchsorted(asked, first + pages)]
    size = min(pages, slot.base_gfn + slot.npages - first)
    yield vm.spend(host.once("c_get_floor") + host.pay(log_operations.copy(size)))
    yield from drain_buffers(vm, host)
    yield from hold_mmu_lock(vm, HOST, host.spent)
    gfns: Ints = asked[(vm.table.page[asked] & LOGGED) != 0]
    host.armed += len(gfns)
    if splits_as_it_clears(vm) and (vm.plan.kernel.drops_lock_to_split() or vm.breaks_locks):
        yield from clear_split_by_split(vm, host, gfns, first, size)
    else:
        yield from clear_and_rearm(vm, host, gfns, size)
    return gfns


def clear_and_rearm(vm: Vm, host: Host, gfns: Ints, pages: int | None = None) -> Steps:
    """With mmu_lock held: clear the bits, re-arm the pages, unlock and flush.

    `pages` is the size of the range of a clear. None stands for a get; old kernels answered it with
    a walk over the whole slot.
    """
    plan, choices = vm.plan, vm.plan.choices
    if pages is None:
        mmu.clear_dirty(vm.table, gfns)
        unmapped = len(gfns) - walks.present(vm.table.page[gfns])
        walk = plan.policy.get_walk or plan.kernel.get_walk()
        tables = int(np.count_nonzero(vm.table.region[plan.slot.regions] & CHILD))
        counts = log_operations.rearm_walk(
            plan.kernel,
            choices,
            walk,
            plan.slot.npages,
            tables,
            len(gfns),
            unmapped,
            log_operations.dirty_words(plan.slot.offsets(gfns)),
        )
        if log_operations.rearms_all(walk, plan.slot.npages, tables, len(gfns)):
            host.armed += walks.mapped_pages(vm.table, plan.slot)
            yield from rearm_everything(vm, host, counts)
            return
        host.armed += len(gfns)
        changed = mmu.rearm(vm.table, gfns, vm.pml) > 0
    else:
        changed, counts = rearm_some(vm, host, gfns, pages)
    if changed:
        vm.revoke(gfns, EVERYTHING)
    yield vm.spend(host.pay(counts))
    needed = len(gfns) > 0 if plan.kernel.flushes_by_bits() else changed
    yield from unlock_and_flush(vm, host, needed)


def splits_as_it_clears(vm: Vm) -> bool:
    """Tell whether the first clear of an all-set bitmap splits large sptes."""
    choices = vm.plan.choices
    return choices.reporting is Reporting.ALL_SET and choices.large is Large.EAGER_SPLIT


def clear_split_by_split(vm: Vm, host: Host, gfns: Ints, first: int, size: int) -> Steps:
    """With mmu_lock held: as :func:`clear_and_rearm`, but give the lock up before a split.

    Sources: kvm_arch_mmu_enable_log_dirty_pt_masked for each word of the bitmap,
    tdp_mmu_split_huge_pages_root. Since 6.11 the lock is dropped before each split, because the
    table page is allocated without it; before, where a walk would yield. A hold goes on up to the
    next split.
    """
    always = vm.plan.kernel.drops_lock_to_split()
    vm.scheduled_ns = vm.now
    splits = dict.fromkeys(np.unique(gfns[is_large(vm, gfns)] >> 9).tolist())
    starts = [max(first, region << 9) for region in splits]
    if not starts or starts[0] > first:
        starts.insert(0, first)
    for start, end in pairwise([*starts, first + size]):
        region = start >> 9
        tables = 1 + bool(vm.table.giant[region >> 9] & PRESENT) if region in splits else 0
        for _ in range(tables):  # a leaf of 1 GiB needs one for each of two levels
            if always or should_yield(vm):
                yield from give_way(vm, host.spent, owed=False, shared=False)
        some = gfns[slice(*np.searchsorted(gfns, [start, end]))]
        changed, counts = rearm_some(vm, host, some, end - start)
        if changed:
            vm.revoke(some, EVERYTHING)
        yield vm.spend(host.pay(counts))
    yield from unlock_and_flush(vm, host, len(gfns) > 0)


def rearm_some(vm: Vm, host: Host, gfns: Ints, pages: int) -> tuple[bool, log_operations.Counts]:
    """Clear bits of `pages` pages and re-arm; return whether sptes changed, and the costs."""
    mmu.clear_dirty(vm.table, gfns)
    in_cache = not vm.tdp and host.follows("fresh-leaves")
    to_split = gfns[is_large(vm, gfns)] if in_cache else gfns[:0]
    large, split_1g, split_2m = arm_large_over(vm, gfns)
    fresh = int(np.count_nonzero(~is_large(vm, to_split)))
    counts = log_operations.rearm(
        vm.plan.kernel, vm.plan.choices, pages, len(gfns),
        words=log_operations.dirty_words(vm.plan.slot.offsets(gfns)),
        unmapped=len(gfns) - walks.present(vm.table.page[gfns]),
        large=large, split_2m=split_2m, split_1g=split_1g, fresh=fresh,
    )  # fmt: skip
    return mmu.rearm(vm.table, gfns, vm.pml) + large + split_2m > 0, counts


def is_large(vm: Vm, gfns: Ints) -> NDArray[np.bool_]:
    """Return for each page whether a large leaf maps it."""
    large = (vm.table.region[gfns >> 9] & PRESENT) | (vm.table.giant[gfns >> 18] & PRESENT)
    return np.asarray(large != 0)


def arm_large_over(vm: Vm, gfns: Ints) -> tuple[int, int, int]:
    """Arm the large sptes that the first clear of an all-set bitmap meets: protected, or split."""
    plan = vm.plan
    split_1g = split_2m = 0
    if plan.choices.reporting is not Reporting.ALL_SET or plan.choices.large is Large.READ_ONLY:
        return 0, 0, 0
    if plan.choices.large is Large.EAGER_SPLIT:
        split_1g, split_2m = walks.split_slot(vm.table, plan.slot, gfns)
    keep = plan.driver.all_set_keeps_mmu_writable
    return mmu.protect_large_over(vm.table, gfns, keep), split_1g, split_2m


def rearm_everything(vm: Vm, host: Host, counts: log_operations.Counts) -> Steps:
    """Clear W of every spte of the slot, as a get did up to 3.3."""
    if vm.plan.policy.protects_root:
        counts = log_operations.enable(
            vm.plan.policy, vm.plan.kernel, vm.plan.choices, vm.plan.slot.npages, walks.Walk()
        )
    changed = arm(vm, vm.plan.slot, enabling=False).changed
    if vm.upper is not None and vm.plan.policy.protects_tables:
        protect_tables(vm.upper, vm.table, vm.plan.slot)
    yield vm.spend(host.pay(counts))
    yield from unlock_and_flush(vm, host, changed)


def harvest_ring(
    vm: Vm, host: Host, phase: Phase, record: dict[str, Any], who: int = HOST
) -> Steps:
    """Harvest and reset all dirty rings; send their pages and those of ring-full exits."""
    del phase
    if vm.pml and vm.tracked:
        yield from drain_buffers(vm, host)
    gfns = mmu.fetch_dirty(vm.table, vm.plan.slot)
    report(vm, host, gfns, record)
    mmu.clear_dirty(vm.table, gfns)
    record["dirty"] = yield from reap(vm, who, vm.vcpus[0], host.spent)
    host.armed += record["dirty"]
    send(vm, gfns)
