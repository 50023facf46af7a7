"""Remote TLB flushes and kicks: kvm_flush_remote_tlbs, kvm_vcpu_kick."""

from __future__ import annotations

import simpy

from mmusim.engine.state.rearmed import flush_ends
from mmusim.engine.state.vm import Steps, Vcpu, Vm
from mmusim.mmu.slot import flushed
from mmusim.vocabulary.causes import FLUSH_WAIT
from mmusim.vocabulary.counters import REMOTE_TLB_FLUSH, REMOTE_TLB_FLUSH_REQUESTS


def flush_remote(vm: Vm, by: Vcpu, *, recorder: bool = True) -> Steps:
    """Ask every vCPU to flush and wait until those in guest mode have left it.

    The initiator keeps whatever locks it holds. `by` pays: its streams are drawn from, and with
    `recorder` its ledger is written; the host thread pays as vCPU 0 and counts its own time. Only
    vCPUs in guest mode are waited for: all others honour the request before they enter. So from
    this instant on no access begins that uses what was taken back. Where nobody is in guest mode
    the flush counts as requested and not as done (kvm_flush_remote_tlbs).

    A vCPU counts as in guest mode for c_in_flight before it enters and after it has left. One that
    enters leaves again at once; for one that leaves the initiator only waits.
    """
    vm.view.stat[REMOTE_TLB_FLUSH_REQUESTS] += 1
    started = vm.now
    leaving, last = 0, 0
    acks = []
    for v in vm.vcpus:
        if v.in_guest:
            acks.append(kick(vm, v))
        elif v.entering_ns <= vm.now and not v.flush_requested:
            acks.append(kick_entering(vm, v))
        elif v.leaving_ns > vm.now:
            leaving += 1
            last = max(last, v.leaving_ns)
        v.flush_requested = True
    if leaving + len(acks):
        vm.view.stat[REMOTE_TLB_FLUSH] += 1
    forget_taken(vm)
    n = by.flushes
    by.flushes += 1
    yield vm.spend(by.c_flush_init.at(n) + (leaving + len(acks)) * by.c_flush_target.at(n))
    if last > vm.now:
        yield vm.spend(last - vm.now)
    for ack in acks:
        if not ack.processed:
            if recorder:
                by.waits_for = "acknowledgements of a TLB flush"
                vm.rests(by)
            yield ack
    if recorder:
        by.waits_for = ""
        vm.runs(by)
        vm.charge(by, FLUSH_WAIT, started, vm.now)


def forget_taken(vm: Vm) -> None:
    """Note that no TLB holds more than the tables allow any more: the flush has been requested."""
    flush_ends(vm, vm.taken_back)
    for pages, regions in vm.taken_back:
        flushed(vm.table, pages, regions)
    vm.taken_back.clear()


def kick(vm: Vm, v: Vcpu) -> simpy.Event:
    """Force a vCPU out of guest mode; return the event of its having left."""
    assert v.process is not None
    v.in_guest = False
    answer = v.expects_answer(vm.env.event())
    v.process.interrupt()
    return answer


def kick_entering(vm: Vm, v: Vcpu) -> simpy.Event:
    """Let a vCPU that is about to enter leave at once; return the event of its having left."""
    v.turned_back = True
    return v.expects_answer(vm.env.event())


def acknowledge(v: Vcpu) -> None:
    """Answer a kick: tell who waits for it that the vCPU has left the guest."""
    assert v.ack is not None
    v.ack.succeed()
    v.ack = None


def kick_all(vm: Vm) -> int:
    """Kick the vCPUs in guest mode and do not wait; return how many (kvm_flush_pml_buffers)."""
    running = [v for v in vm.vcpus if v.in_guest]
    for v in running:
        kick(vm, v)
    return len(running)


def replan(vm: Vm, by: Vcpu) -> None:
    """Let all vCPUs but `by` that are in the guest plan their runs of hits again, at no cost."""
    for v in vm.vcpus:
        if v is not by:
            v.look_again()
