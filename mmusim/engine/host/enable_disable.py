"""Switching logging on and off: KVM_SET_USER_MEMORY_REGION with another flag.

Sources: ``kvm_set_memory_region``, ``kvm_arch_commit_memory_region``,
``kvm_mmu_slot_apply_flags``, ``kvm_mmu_zap_collapsible_sptes``; times by
:mod:`mmusim.costs.log_operations`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mmusim.config.driver import Phase
from mmusim.costs import log_operations
from mmusim.engine.host.destination import send_slot
from mmusim.engine.host.host import Host
from mmusim.engine.host.lock_break import walk_slot
from mmusim.engine.processes.dirty_rings import hold_mmu_lock, note
from mmusim.engine.processes.flush import flush_remote
from mmusim.engine.processes.shared_processor import host_runs, host_sleeps
from mmusim.engine.state import invariants
from mmusim.engine.state.vm import Steps, Vm
from mmusim.mmu import collapse, upper_levels
from mmusim.mmu import slot as mmu
from mmusim.mmu import walk as walks
from mmusim.mmu.page_table import PageTable
from mmusim.mmu.slot import MemSlot
from mmusim.mmu.spte import STALE, Edit
from mmusim.mmu.walk import Walk
from mmusim.policies import Disable, Large, Reporting
from mmusim.trace.records import HOST

EVERYTHING = slice(None)

COLLAPSE: dict[Disable, Callable[[PageTable, MemSlot, int], Walk]] = {
    Disable.ZAP_SMALL: collapse.zap_collapsible,
    Disable.ZAP_TABLES: collapse.zap_tables,
    Disable.RECOVER: collapse.recover_large,
}


def enable_logging(vm: Vm, host: Host, phase: Phase, record: dict[str, Any]) -> Steps:
    """Switch logging on for one slot after the other, from the lowest on
    (KVM_MEM_LOG_DIRTY_PAGES).
    """
    del phase, record
    if vm.tracked or not vm.plan.policy.tracks:
        return
    for slot in vm.plan.log_slots:
        yield from start_log(vm, host, slot)
    if vm.plan.choices.reporting is not Reporting.ALL_SET:
        send_slot(vm)  # the first pass sends everything


def start_log(vm: Vm, host: Host, slot: MemSlot) -> Steps:
    """Give a slot a fresh bitmap, then arm every entry of it, as the policy and the kernel do."""
    plan = vm.plan
    all_set = plan.choices.reporting is Reporting.ALL_SET
    mmu.set_log(vm.table, slot, ones=all_set)
    vm.slot_end = slot.base_gfn + slot.npages
    vm.tracked = True
    bitmap = host.pay(log_operations.fill_bitmap(slot.npages))
    if host.follows("bitmaps"):
        bitmap += host.pay(log_operations.allocate_bitmaps(slot.npages))
    yield from synchronize_srcu(vm, host, host.once("c_srcu"), bitmap)
    if all_set:
        vm.table.page[slot.pages] |= np.uint8(STALE)  # the destination has nothing yet
        if plan.choices.large is not Large.READ_ONLY:
            return
    else:
        host.armed += walks.mapped_pages(vm.table, slot)
    shared = plan.kernel.walks_log_shared(plan.choices.mmu)

    in_cache = host.follows("fresh-leaves")

    def price(pages: int, walk: Walk) -> tuple[log_operations.Counts, int]:
        counts = log_operations.enable(
            plan.policy, plan.kernel, plan.choices, pages, walk, in_cache, all_set
        )
        return counts, 0

    def protect(part: MemSlot) -> Walk:
        return arm_large(vm, part) if all_set else arm(vm, part, enabling=True)

    yield from hold_mmu_lock(vm, HOST, host.spent, shared)
    owed = yield from walk_slot(
        vm, slot, host.spent, protect, price, shared=shared,
        flushes_first=plan.kernel.flushes_armed_before_yield(),
    )  # fmt: skip
    yield from unlock_and_flush(vm, host, owed or plan.kernel.flushes_at_enable())


def arm_large(vm: Vm, slot: MemSlot) -> Walk:
    """Arm the large entries of a part of the slot; the small ones are in the log already.

    Return the counts. What TLBs may still hold waits for a flush.
    """
    walk = walks.protect_large(vm.table, slot)
    if walk.changed:
        vm.revoke(slot.pages, slot.regions)
    return walk


def arm(vm: Vm, slot: MemSlot, enabling: bool) -> Walk:
    """Arm every entry of a part of the slot by the policy; return the counts.

    `enabling`: logging is being switched on; else a get does it. What TLBs may still hold waits for
    a flush.
    """
    policy = vm.plan.policy
    if vm.upper is not None and policy.protects_root:
        upper_levels.arm(vm.upper, vm.table, slot)
    if enabling and policy.zaps_all_at_enable:
        walk = walks.zap_all(vm.table, vm.plan.backing)
    else:
        walk = walks.protect_slot(vm.table, slot, Edit(vm.policy.protect_large), vm.pml, vm.tdp)
    if walk.changed and enabling and policy.zaps_all_at_enable:
        vm.revoke(EVERYTHING, EVERYTHING)
    elif walk.changed:
        vm.revoke(slot.pages, slot.regions)
    return walk


def disable_logging(vm: Vm, host: Host, phase: Phase, record: dict[str, Any]) -> Steps:
    """Switch logging off for one slot after the other, from the lowest on.

    Raises
    ------
    LostWriteError, InvariantError
        If the policy has lost a write or leaves a page writable and unlogged.
    """
    del phase, record
    if not vm.tracked:
        return
    invariants.check(vm)
    for slot in vm.plan.log_slots:
        yield from stop_log(vm, host, slot)


def stop_log(vm: Vm, host: Host, slot: MemSlot) -> Steps:
    """Drop the bitmap; kernels from 4.1 on collapse small sptes into large ones where they can."""
    plan = vm.plan
    vm.slot_first = slot.base_gfn + slot.npages
    if slot == plan.log_slots[-1]:
        vm.tracked = False
        vm.slot_first = plan.slot.base_gfn
    yield from synchronize_srcu(vm, host, host.once("c_srcu"))
    mmu.set_log(vm.table, slot, ones=False)  # faults in flight have marked the old bitmap
    way = plan.kernel.disable(plan.choices.mmu)
    if way is Disable.KEEP_SMALL:
        return

    def price(pages: int, walk: Walk) -> tuple[log_operations.Counts, int]:
        return log_operations.disable(plan.kernel, plan.choices, pages, walk)

    def collapse_part(part: MemSlot) -> Walk:
        walk = COLLAPSE[way](vm.table, part, plan.backing)
        if vm.guest is not None and plan.backing > 1:
            allowed = collapse.may_be_large(vm.table, part, plan.backing)
            vm.guest.zap(vm.table, part.regions, allowed)
        if walk.changed:
            vm.revoke(part.pages, part.regions)
        return walk

    each_flushes = plan.kernel.flushes_while_disabling(plan.choices.mmu) == "table"
    freezes = each_flushes and any(v.process is not None for v in vm.vcpus)
    shared = plan.kernel.walks_log_shared(plan.choices.mmu)
    yield from hold_mmu_lock(vm, HOST, host.spent, shared)
    owed = yield from walk_slot(
        vm, slot, host.spent, collapse_part, price, shared=shared, freezes=freezes
    )
    yield from unlock_and_flush(vm, host, owed)


def synchronize_srcu(vm: Vm, host: Host, ns: int, before_ns: int = 0) -> Steps:
    """Wait until every vCPU that is handling a fault has finished: it uses the old memslot.

    The host works for `before_ns` first. Then it sleeps for a grace period of `ns` at least.
    """
    yield from grace_period(vm, ns, before_ns)
    started = vm.now
    ends = []
    for v in vm.vcpus:
        if v.handling:
            ends.append(vm.env.event())
            v.grace.append(ends[-1])
    yield from ends
    note(host.spent, "srcu_wait", vm.now - started)
    yield from host_runs(vm, host.spent)


def grace_period(vm: Vm, ns: int, before_ns: int = 0) -> Steps:
    """Work for `before_ns`, then sleep for a grace period; ends without the processor."""
    if vm.processor is not None and before_ns:
        yield vm.spend(before_ns)
        before_ns = 0
    host_sleeps(vm)
    yield vm.spend(ns + before_ns)


def unlock_and_flush(vm: Vm, host: Host, needed: bool) -> Steps:
    """Release mmu_lock; flush, if `needed`, before or after that as the kernel does it."""
    inside = vm.plan.kernel.flushes_under_lock()
    if not needed or not inside:
        vm.lock.release(HOST)
    if needed:
        started = vm.now
        yield from flush_remote(vm, vm.vcpus[0], recorder=False)
        note(host.spent, "flush", vm.now - started)
        if inside:
            vm.lock.release(HOST)
