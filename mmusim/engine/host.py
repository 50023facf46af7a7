"""The host thread: it goes through the phases of the driver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mmusim.config.driver import Phase, Run, Sleep
from mmusim.config.page_table_write import WritePageTable
from mmusim.config.phase import GuestPhase
from mmusim.engine import log_ioctls, log_reports
from mmusim.engine.books import Books
from mmusim.engine.dirty_rings import hold_slots_lock
from mmusim.engine.interference import interfere
from mmusim.engine.log_ioctls import Host
from mmusim.engine.soft_vcpu import soft_vcpu
from mmusim.engine.vcpu import vcpu
from mmusim.engine.vm import Steps, Vm
from mmusim.trace import HOST, PhaseTrace


def host_thread(vm: Vm, host: Host) -> Steps:
    """Go through the phases, one after the other."""
    for number, phase in enumerate(vm.plan.driver.phases):
        record: dict[str, Any] = {"do": phase.do, "name": phase.name, "start_ns": vm.now}
        record["before"] = vm.counters()
        host.phases.append(record)
        host.bill = record["bill"] = {}
        host.waits_for = f"the end of phase {number + 1} ({phase.do})"
        vm.changed(HOST)
        if isinstance(phase, GuestPhase):
            yield from start_guest(vm, host, number, phase)
        else:
            yield from OPERATIONS[phase.do](vm, host, phase, record)
        record["end_ns"] = vm.now
        vm.changed(HOST)
        vm.fingerprint.add(vm.now, HOST, number, record.get("dirty", -1))
    yield from join(vm, host)
    host.waits_for = ""


def start_guest(vm: Vm, host: Host, number: int, phase: GuestPhase) -> Steps:
    """Let every vCPU run its program of this phase; wait for them unless told not to."""
    yield from join(vm, host)  # a vCPU runs one program at a time
    books = host.books[number] = Books(vm.plan.slot.npages)
    if isinstance(phase, Run) and number == vm.plan.driver.measured:
        books.touched = np.zeros(vm.plan.pages, np.uint8)
    for v in vm.vcpus:
        v.books = books
        if isinstance(phase, WritePageTable):
            steps = soft_vcpu(vm, v, number, phase, host.phases[-1])
        else:
            steps = vcpu(vm, v, vm.plan.program(number, v.number))
        v.process = vm.env.process(steps)
        host.running.append(v.process)
        for source, rare in enumerate(vm.plan.interference):
            vm.interferers += 1
            vm.env.process(interfere(vm, v, source, rare))
    if not phase.background:
        yield from join(vm, host)


def join(vm: Vm, host: Host) -> Steps:
    """Wait until no vCPU is running a program."""
    yield from host.running
    host.running.clear()
    for v in vm.vcpus:
        v.process = None


def wait(vm: Vm, host: Host, phase: Phase, record: dict[str, Any]) -> Steps:
    """Join the vCPUs that run in the background."""
    del phase, record
    yield from join(vm, host)


def sleep(vm: Vm, host: Host, phase: Phase, record: dict[str, Any]) -> Steps:
    """Let time pass."""
    del host, record
    assert isinstance(phase, Sleep)
    yield vm.spend(round(phase.time))


def phase_traces(vm: Vm, host: Host) -> tuple[PhaseTrace, ...]:
    """Write down what the phases were."""
    after = [record["before"] for record in host.phases[1:]] + [vm.counters()]
    traces = []
    for number, (record, end) in enumerate(zip(host.phases, after, strict=True)):
        before = record.pop("before")
        books = host.books.get(number)
        facts: dict[str, Any] = {} if books is None else books.facts()
        counters = record.pop("soft_counters", {}) | {n: end[n] - before[n] for n in end}
        traces.append(PhaseTrace(**record, guest=books is not None, counters=counters, **facts))
    return tuple(traces)


Operation = Callable[[Vm, Host, Any, dict[str, Any]], Steps]


def ioctl(operation: Operation) -> Operation:
    """Carry out a log ioctl under slots_lock."""

    def locked(vm: Vm, host: Host, phase: Phase, record: dict[str, Any]) -> Steps:
        yield from hold_slots_lock(vm, HOST, host.bill)
        yield from operation(vm, host, phase, record)
        vm.slots_lock.release(HOST)

    return locked


OPERATIONS: dict[str, Operation] = {
    "enable-logging": ioctl(log_ioctls.enable_logging),
    "get-dirty-log": ioctl(log_reports.get_dirty_log),
    "clear-dirty-log": ioctl(log_reports.clear_dirty_log),
    "sync-dirty-log": log_reports.sync_dirty_log,
    "harvest-ring": log_reports.harvest_ring,
    "disable-logging": ioctl(log_ioctls.disable_logging),
    "recreate-slot": ioctl(log_ioctls.recreate_slot),
    "sleep": sleep,
    "wait": wait,
}
