"""Deleting memslots and creating them again: KVM_SET_USER_MEMORY_REGION with size 0.

Sources: ``kvm_mmu_zap_all_fast``, ``kvm_zap_obsolete_pages``,
``kvm_tdp_mmu_zap_invalidated_roots``.
"""

from __future__ import annotations

from typing import Any, Final

from mmusim.base.units import PAGES_PER_REGION
from mmusim.config.driver import Phase, Recreate
from mmusim.costs import log_operations
from mmusim.engine.host.destination import send_slot
from mmusim.engine.host.enable_disable import EVERYTHING, grace_period, unlock_and_flush
from mmusim.engine.host.host import Host
from mmusim.engine.host.lock_break import give_way, should_yield
from mmusim.engine.processes.dirty_rings import hold_mmu_lock
from mmusim.engine.processes.shared_processor import host_runs
from mmusim.engine.state import invariants
from mmusim.engine.state.vm import Steps, Vm
from mmusim.mmu import slot as mmu
from mmusim.mmu import walk as walks
from mmusim.policies import Reporting
from mmusim.trace.records import HOST

BATCH_TABLES: Final = 10
"""BATCH_ZAP_PAGES."""


def recreate_slot(vm: Vm, host: Host, phase: Phase, record: dict[str, Any]) -> Steps:
    """Delete each slot and create it again, logging if ``phase.logging`` says so.

    Raises
    ------
    LostWriteError, InvariantError
        If the policy has lost a write or leaves a page writable and unlogged.
    """
    del record
    assert isinstance(phase, Recreate)
    if vm.tracked:
        invariants.check(vm)
    plan = vm.plan
    for _ in plan.log_slots:
        yield from zap_slot(vm, host)
    vm.tracked = phase.logging and plan.policy.tracks
    all_set = plan.choices.reporting is Reporting.ALL_SET
    mmu.set_log(vm.table, plan.slot, ones=vm.tracked and all_set)
    send_slot(vm)


def zap_slot(vm: Vm, host: Host) -> Steps:
    """Delete a slot and create it again; every table of the VM is gone."""
    plan = vm.plan
    yield from grace_period(vm, host.once("c_srcu"))
    yield from host_runs(vm, host.spent)
    yield from hold_mmu_lock(vm, HOST, host.spent)
    walk = walks.zap_all(vm.table, vm.plan.backing)
    if vm.guest is not None:
        vm.guest.zap(vm.table, EVERYTHING)
    if walk.changed:
        vm.revoke(EVERYTHING, EVERYTHING)
    owed = log_operations.zap_all(plan.choices, walk)
    if plan.kernel.walks_log_shared(plan.choices.mmu):  # who zaps the roots, invalid now
        yield from unlock_and_flush(vm, host, walk.changed)
        yield from hold_mmu_lock(vm, HOST, host.spent, shared=True)
        yield vm.spend(host.pay(owed))
        vm.lock.release(HOST)
    else:
        yield from zap_in_batches(vm, host, owed, walk.zapped_4k)
        yield from unlock_and_flush(vm, host, walk.changed)
    yield from grace_period(vm, host.once("c_srcu"))
    yield from host_runs(vm, host.spent)


def zap_in_batches(vm: Vm, host: Host, owed: log_operations.Counts, leaves: int) -> Steps:
    """Pay for zapping shadow pages under mmu_lock; give the lock up after every ten.

    Sources: kvm_zap_obsolete_pages, BATCH_ZAP_PAGES. `leaves` is the number of small leaves that
    were zapped. Kernels that never break a walk do not yield here.
    """
    batches = -(-leaves // (BATCH_TABLES * PAGES_PER_REGION)) if vm.breaks_locks else 1
    vm.scheduled_ns = vm.now
    left = host.pay(owed)
    for number in range(max(1, batches)):
        step = left // (max(1, batches) - number)
        left -= step
        yield vm.spend(step)
        if number + 1 < batches and should_yield(vm):
            yield from give_way(vm, host.spent, owed=False, shared=False)
