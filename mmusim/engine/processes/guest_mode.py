"""Into guest mode and out of it: what is served at every entry, what happens at every exit."""

from __future__ import annotations

import simpy

from mmusim.engine.processes.dirty_rings import reap
from mmusim.engine.processes.flush import acknowledge
from mmusim.engine.processes.shared_processor import leave_processor, on_processor, reschedule
from mmusim.engine.processes.user_space import asleep, hold_bql, to_user_space
from mmusim.engine.state.guest_run import GuestRun
from mmusim.engine.state.machine_load import NEVER_NS
from mmusim.engine.state.rate_run import RateRun
from mmusim.engine.state.tlb import refill
from mmusim.engine.state.vm import Steps, Vcpu, Vm
from mmusim.mmu.spte import LOGGED
from mmusim.vocabulary.causes import (
    FLUSH_EXIT,
    HALT,
    IDLE,
    INTERFERENCE,
    PML_DRAIN,
    RING_FULL,
    TLB_FLUSH,
    TLB_REFILL,
)
from mmusim.vocabulary.counters import RING_FULLS


def enter_guest(vm: Vm, v: Vcpu, entry_ns: int, cause: int, index: int) -> Steps:
    """Do what was requested of the vCPU, then enter the guest.

    The entry takes `entry_ns`, charged under `cause`. A request that comes during the entry is
    served before the guest runs.
    """
    while True:
        if v.ring is not None and v.ring.soft_full():
            yield from ring_full(vm, v)
        if v.queued_work:
            yield from to_user_space(vm, v)
        if v.need_resched:
            yield from reschedule(vm, v)
        if v.stolen_ns:
            stolen, v.stolen_ns = v.stolen_ns, 0
            yield vm.spend_on(v, INTERFERENCE, stolen)
        if v.flush_requested:
            v.flush_requested = False
            v.flushes_tlb()
            flush, refill_ns = v.c_tlb_flush.at(index), walk_again(vm, v, index)
            if flush + refill_ns:
                vm.charge(v, TLB_FLUSH, vm.now, vm.now + flush)
                vm.charge(v, TLB_REFILL, vm.now + flush, vm.now + flush + refill_ns)
                yield vm.spend(flush + refill_ns)
        if entry_ns:
            if vm.in_flight_ns:
                v.entering_ns = vm.now + max(0, entry_ns - vm.in_flight_ns)
            yield vm.spend_on(v, cause, entry_ns)
            v.entering_ns = NEVER_NS
        if v.turned_back:
            v.turned_back = False
            yield from leave_kicked(vm, v, index)
            entry_ns, cause = v.c_entry.at(index), FLUSH_EXIT
            continue
        if not v.flush_requested and not v.queued_work and not v.stolen_ns and not v.need_resched:
            break
        entry_ns = 0  # a request came during the entry, which is broken off and made good
    vm.in_guest_again(v)


def walk_again(vm: Vm, v: Vcpu, index: int) -> int:
    """Return what it takes, in ns, to walk again for the mappings in use after a flush of the TLB.

    It is paid at once, at the entry.
    """
    if v.working_set is None or not vm.refills:
        return 0
    lost = refill(vm.table, v.working_set.at(index - v.first))
    small, large = vm.refills
    return round(lost.small * small + lost.large * large)


def ring_full(vm: Vm, v: Vcpu) -> Steps:
    """KVM_EXIT_DIRTY_RING_FULL: user space harvests and resets the rings on the vCPU's thread.

    QEMU does it under its big lock. With a dirty limit it harvests the ring of this vCPU only, so
    that the others' fill up too, and lets it sleep (dirtylimit_vcpu_execute).
    """
    exit_ns = v.c_ring_exit.at(v.ring_exits)
    v.ring_exits += 1
    vm.view.stat[RING_FULLS] += 1
    yield vm.spend_on(v, RING_FULL, exit_ns)
    if vm.vmm is not None:
        yield from hold_bql(vm, v)
    began = vm.now
    v.waits_for = "the reset of the dirty rings"
    yield from reap(vm, v.number, v, {}, only=v if limited(vm) else None)
    v.waits_for = ""
    vm.charge(v, RING_FULL, max(began, v.charged_ns), vm.now)
    if vm.vmm is not None:
        vm.vmm.bql.release(v.number)
    if v.sleep_per_full_ring:
        yield from asleep(vm, v, v.sleep_per_full_ring, wakes=False)  # g_usleep


def limited(vm: Vm) -> bool:
    """Tell whether a dirty limit of the VMM is in force (dirtylimit_in_service)."""
    return vm.vmm is not None and vm.vmm.limits_dirtying


def drain_pml(vm: Vm, v: Vcpu, index: int) -> Steps:
    """Empty the PML buffer into the log, as every exit does first (vmx_flush_pml_buffer)."""
    ns = v.c_pml_drain.at(index) * len(v.pml)
    log_drained(vm, v)
    yield vm.spend_on(v, PML_DRAIN, ns)


def log_drained(vm: Vm, v: Vcpu) -> None:
    """Set the dirty bits of the gfns in the PML buffer, and empty it."""
    drained, v.pml = v.pml, []
    for gfn in drained:
        if vm.tracks(gfn):
            vm.view.page[gfn] |= LOGGED
            vm.mark_dirty(v, gfn)


def answer_kick(vm: Vm, v: Vcpu, index: int) -> Steps:
    """Leave the guest because of a kick, acknowledge it, serve what was requested and enter
    again.
    """
    vm.left_guest(v)
    yield from leave_kicked(vm, v, index)
    if v.pml:
        yield from drain_pml(vm, v, index)
    yield from enter_guest(vm, v, v.c_entry.at(index), FLUSH_EXIT, index)


def leave_kicked(vm: Vm, v: Vcpu, index: int) -> Steps:
    """Exit because of a kick and acknowledge it.

    The interrupt takes its way, and code of the host that has interrupts off goes on meanwhile.
    """
    exit_ns = v.c_exit.at(index) + v.c_ack.at(v.kicks)
    v.kicks += 1
    v.count_exit()
    yield vm.spend_on(v, FLUSH_EXIT, exit_ns)
    acknowledge(v)


def pml_full(vm: Vm, v: Vcpu, index: int) -> Steps:
    """Exit because the PML buffer of 512 entries has no room for the next write; drain it and
    enter.
    """
    vm.left_guest(v)
    v.count_exit()
    yield vm.spend_on(v, PML_DRAIN, v.c_exit.at(index))
    yield from drain_pml(vm, v, index)
    yield from enter_guest(vm, v, v.c_entry.at(index), PML_DRAIN, index)


def halt(vm: Vm, v: Vcpu, run: GuestRun | RateRun) -> Steps:
    """HLT: leave the guest until the next request arrives (kvm_emulate_halt, kvm_vcpu_block).

    Nobody kicks a vCPU outside guest mode: who flushes leaves a request, which is honoured at the
    entry. Work that the VMM asks for wakes the thread by a signal, and then it halts again. A
    request that arrives while the host still polls costs no wake-up (kvm.halt_poll_ns).
    """
    until_ns, index = run.halts_until, run.index
    vm.left_guest(v)
    v.count_exit()
    yield vm.spend_on(v, HALT, v.c_exit.at(index))
    if v.pml:
        yield from drain_pml(vm, v, index)
    while vm.now < until_ns and run.k < run.length:
        if v.queued_work:
            yield from to_user_space(vm, v)
            continue
        began = vm.now
        vm.halts(v)
        vm.rests(v)
        if v.shares_processor:
            leave_processor(vm, v)
        try:
            yield vm.spend(until_ns - vm.now)
        except simpy.Interrupt:
            v.waits_for = ""
        vm.wakes(v)
        vm.runs(v)
        vm.charge(v, IDLE, began, vm.now)
        idle_ns = vm.now - began
        if v.shares_processor:
            yield from on_processor(vm, v)
        if idle_ns > vm.plan.halt_poll_ns and run.k < run.length:
            yield vm.spend_on(v, HALT, v.c_halt_wake.at(index))
    if run.k < run.length:
        yield from enter_guest(vm, v, v.c_entry.at(index), HALT, index)


def leave_handler(v: Vcpu) -> None:
    """End the SRCU read section of a fault and tell whoever waits for a grace period."""
    v.handling = False
    if v.grace:
        for waiting in v.grace:
            waiting.succeed()
        v.grace.clear()
