"""vCPU threads in user space: the VMM's big lock, its requests to them, port I/O.

Sources: QEMU ``kvm_cpu_exec``, ``qemu_wait_io_event``, ``async_run_on_cpu``, ``pause_all_vcpus``,
``vm_stop``; ``domain`` A.11 and F.6.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import simpy

from mmusim.costs.random_streams import Stream
from mmusim.engine.processes.flush import kick
from mmusim.engine.processes.shared_processor import leave_processor, on_processor
from mmusim.engine.state.mmu_lock import SpinLock
from mmusim.engine.state.steps import WorkItem
from mmusim.engine.state.vm import Steps, Vcpu, Vm
from mmusim.engine.state.vmm import GuestGoneError
from mmusim.trace.records import HOST
from mmusim.vocabulary.causes import BQL_WAIT, PAUSED, THROTTLE, USER_EXIT


def hold_bql(vm: Vm, v: Vcpu | None) -> Steps:
    """Take the big lock, as a vCPU, or as the migration thread if `v` is None."""
    assert vm.vmm is not None
    asked = vm.now
    granted = vm.vmm.bql.acquire(HOST if v is None else v.number)
    if granted is not None:
        if v is not None:
            v.waits_for = vm.vmm.bql.name
            sleeps(vm, v)
        yield granted
    if v is None:
        vm.vmm.bql_wait_ns += vm.now - asked
    else:
        v.waits_for = ""
        vm.runs(v)
        vm.charge(v, BQL_WAIT, asked, vm.now)
        if v.shares_processor:
            yield from on_processor(vm, v)


def sleeps(vm: Vm, v: Vcpu) -> None:
    """The thread of a vCPU sleeps from now on, and leaves its processor to whoever shares it."""
    vm.rests(v)
    if v.shares_processor:
        leave_processor(vm, v)


def hold(lock: SpinLock, who: int) -> Steps:
    """Take a lock of the VMM as one of its own threads, by number."""
    granted = lock.acquire(who)
    if granted is not None:
        yield granted


def run_on_cpu(vm: Vm, v: Vcpu, work_item: WorkItem) -> None:
    """Request work on a vCPU's thread before it enters the guest again (async_run_on_cpu)."""
    v.queued_work.append(work_item)
    if v.in_guest:
        kick(vm, v)
    else:
        v.wake()  # by a signal


def to_user_space(vm: Vm, v: Vcpu) -> Steps:
    """Return from KVM_RUN and do the requested work on this thread under the big lock."""
    assert vm.vmm is not None
    exit_ns = v.c_user_exit.at(v.user_exits)
    v.user_exits += 1
    yield vm.spend_on(v, USER_EXIT, exit_ns)
    yield from hold_bql(vm, v)
    while v.queued_work:
        yield from v.queued_work.pop(0)(vm, v)
    vm.vmm.bql.release(v.number)


def asleep(vm: Vm, v: Vcpu, ns: int, wakes: bool) -> Steps:
    """Sleep for `ns` without the big lock; if it `wakes`, only until the VM is stopped."""
    assert vm.vmm is not None
    began = vm.now
    v.waits_for = "the end of its sleep"
    over = vm.spend(ns)
    sleeps(vm, v)
    yield vm.env.any_of([over, vm.vmm.stopping]) if wakes else over
    v.waits_for = ""
    vm.runs(v)
    vm.charge(v, THROTTLE, began, vm.now)
    if v.shares_processor:
        yield from on_processor(vm, v)


def stop_vcpus(vm: Vm, vcpus: Iterable[Vcpu]) -> Steps:
    """vm_stop: with the big lock held, wait until no vCPU is in the guest or will enter it."""
    assert vm.vmm is not None
    vm.vmm.stopping.succeed()
    parked = []
    for v in vcpus:
        parked.append(vm.env.event())
        run_on_cpu(vm, v, _park(parked[-1]))
    vm.vmm.bql.release(HOST)
    yield from parked
    yield from hold_bql(vm, None)


def _park(parked: simpy.Event) -> WorkItem:
    def park(vm: Vm, v: Vcpu) -> Steps:
        assert vm.vmm is not None
        began = vm.now
        parked.succeed()
        vm.vmm.bql.release(v.number)
        v.waits_for = "the VMM, which has stopped it"
        sleeps(vm, v)
        yield vm.vmm.resumed
        v.waits_for = ""
        vm.runs(v)
        vm.charge(v, PAUSED, began, vm.now)
        if vm.vmm.gone:
            raise GuestGoneError
        if v.shares_processor:
            yield from on_processor(vm, v)
        yield from hold_bql(vm, v)

    return park


def run_on_all(vm: Vm, vcpus: Iterable[Vcpu], who: int) -> Steps:
    """kvm_cpu_synchronize_kick_all: with the big lock held, let each vCPU come out in turn.

    Each leaves the guest, takes the big lock and returns it, while `who` waits without it.
    """
    assert vm.vmm is not None
    if vm.vmm.stopping.triggered:  # they wait in user space
        return
    for v in vcpus:
        if v.process is None or not v.process.is_alive:
            continue
        came = vm.env.event()
        run_on_cpu(vm, v, _come_out(came))
        vm.vmm.bql.release(who)
        yield vm.env.any_of([came, v.process])
        yield from hold(vm.vmm.bql, who)


def _come_out(came: simpy.Event) -> WorkItem:
    def come_out(vm: Vm, v: Vcpu) -> Steps:
        del vm, v
        came.succeed()
        yield from ()

    return come_out


def port_io(vm: Vm, v: Vcpu, gaps: Stream, goes_on: Callable[[], bool]) -> Steps:
    """Let a vCPU exit for port I/O from time to time, while `goes_on` says so.

    `gaps` has the times between two exits, in ns. The device is emulated under the big lock.
    """
    done = vm.env.event()

    def emulate(vm: Vm, v: Vcpu) -> Steps:
        del vm, v
        done.succeed()
        yield from ()

    number = 0
    while True:
        yield vm.spend(gaps.at(number))
        number += 1
        if not goes_on():
            return
        if v.halted:
            continue
        done = vm.env.event()
        run_on_cpu(vm, v, emulate)
        yield done
