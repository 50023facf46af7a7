"""The host thread: it goes through the phases of the driver."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from mmusim.config.checkpoint import Checkpoint
from mmusim.config.driver import Phase, Run, Sleep
from mmusim.config.events import READS_LOG, SYNC, titles
from mmusim.config.migrate import Migrate
from mmusim.config.page_table_write import WritePageTable
from mmusim.config.phase import GuestPhase
from mmusim.config.schedule import Scheduled
from mmusim.config.snapshot import Snapshot
from mmusim.engine.busy_phases import checkpoint, migrate, snapshot
from mmusim.engine.host import enable_disable, log_reports
from mmusim.engine.host.host import Host
from mmusim.engine.host.slot_deletion import recreate_slot
from mmusim.engine.kinds import Kind
from mmusim.engine.processes.dirty_rings import hold_slots_lock, release_slots_lock
from mmusim.engine.processes.soft_vcpu import soft_vcpu
from mmusim.engine.run_progress import part_of
from mmusim.engine.state import invariants
from mmusim.engine.state.phase_recorder import PhaseRecorder, together
from mmusim.engine.state.vm import Outcome, Steps, Vm
from mmusim.engine.vcpu_threads import join, laps, run_on, wait_for_guest
from mmusim.trace.records import HOST, PhaseTrace

BUSY: Final = ("migrate", "checkpoint", "snapshot")
"""Phases in which the VMM works beside the guest."""


def host_thread(vm: Vm, host: Host, kind: Kind) -> Steps:
    """Run the phases of the driver, one after the other.

    Raises
    ------
    LostWriteError, InvariantError
        If the policy loses a write or leaves a page writable and unlogged.
    WindowError
        If a window does not begin, or does not end.
    """
    lossy = invariants.may_lose(vm)  # then each phase is looked at, to name the one that loses
    for number, phase in enumerate(vm.plan.driver.phases):
        late = 0
        if isinstance(phase, Scheduled):
            host.waits_for = f"the time of phase {number + 1} ({phase.do})"
            late = yield from until_due(vm, host, phase)
        record: dict[str, Any] = {"do": phase.do, "name": phase.name, "start_ns": vm.now}
        record["late_ns"] = late
        record["before"] = vm.counters()
        host.phases.append(record)
        host.under_way = number, part_of(vm, number, phase)
        host.began_s.append(time.perf_counter())
        host.spent = record["spent"] = {}
        host.waits_for = f"the end of phase {number + 1} ({phase.do})"
        vm.changed(HOST)
        if isinstance(phase, Migrate):
            yield from migrate(vm, host, kind, number, phase)
        elif isinstance(phase, Checkpoint):
            yield from checkpoint(vm, host, kind, number, phase)
        elif isinstance(phase, Snapshot):
            yield from snapshot(vm, host, kind, number, phase)
        elif isinstance(phase, GuestPhase):
            yield from start_guest(vm, host, kind, number, phase)
        else:
            steps = OPERATIONS[phase.do](vm, host, phase, record)
            also = SYNC if phase.do in READS_LOG else ""
            yield from host.windows.operation(
                phase.do, steps, name=phase.name, late_ns=late, also=also
            )
        host.windows.over(number)
        record["end_ns"] = host.ended_ns[""] = host.ended_ns[phase.name] = vm.now
        if lossy and vm.tracked and not any(process.is_alive for process in host.running):
            invariants.check(vm, f"phase {number + 1} ({phase.name or phase.do})")
        vm.changed(HOST)
        vm.fingerprint.add(vm.now, HOST, number, record.get("dirty", -1))
    yield from host.windows.through()
    yield from wait_for_guest(vm, host)
    yield from host.windows.through()  # those that the end of the guest began
    host.windows.check()
    host.began_s.append(time.perf_counter())
    host.waits_for = ""


def until_due(vm: Vm, host: Host, phase: Scheduled) -> Outcome:
    """Wait until an operation is due; return how late it begins, in ns."""
    if not phase.turn:
        host.series_ns = vm.now
        if phase.at is not None:
            host.series_ns = host.clock_ns + round(phase.at)
        elif phase.after is not None:
            host.series_ns = host.ended_ns[phase.of] + round(phase.after)
    due = host.series_ns + round(phase.turn * (phase.every or 0.0))
    if due > vm.now:
        yield vm.spend(due - vm.now)
    return vm.now - due


def start_guest(vm: Vm, host: Host, kind: Kind, number: int, phase: GuestPhase) -> Steps:
    """Let every vCPU run its program of phase `number`. Wait for them, except in the background."""
    yield from wait_for_guest(vm, host)  # a vCPU runs one program at a time
    host.clock_ns = vm.now
    host.windows.happens("start", titles(phase))
    recorder = host.recorder[number] = PhaseRecorder(vm.plan.slot.npages)
    span = host.spans[number] = host.windows.guest_begins(recorder, titles(phase))
    if vm.load is not None:
        vm.load.begin(vm.now, len(vm.vcpus))
    host.goes_on = phase.repeat or isinstance(phase, Run)
    if isinstance(phase, Run) and number == vm.plan.driver.measured:
        recorder.touched = np.zeros(vm.plan.pages, np.uint8)
    for v in vm.vcpus:
        v.recorder = recorder
        if isinstance(phase, WritePageTable):
            soft = soft_vcpu(vm, v, number, phase, host.phases[-1])
            run_on(vm, host, kind, v, vm.env.process(soft), span)
        else:
            more = laps(vm, v, number, lambda: goes_on(host, phase))
            process = kind.launch(vm, v, vm.plan.program(number, v.number), more)
            run_on(vm, host, kind, v, process, span)
    if not phase.background:
        yield from join(vm, host)


def goes_on(host: Host, phase: GuestPhase) -> bool:
    """Tell whether a vCPU that has finished its program begins another lap of the phase."""
    windows = phase.background and isinstance(phase, Run) and host.windows.pending()
    return not host.joining and (phase.repeat or windows)


def wait(vm: Vm, host: Host, phase: Phase, record: dict[str, Any]) -> Steps:
    """Wait until the vCPUs that run in the background have finished."""
    del phase, record
    yield from wait_for_guest(vm, host)


def sleep(vm: Vm, host: Host, phase: Phase, record: dict[str, Any]) -> Steps:
    """Let ``phase.time`` ns pass."""
    del host, record
    assert isinstance(phase, Sleep)
    yield vm.spend(round(phase.time))


def phase_traces(vm: Vm, host: Host) -> tuple[PhaseTrace, ...]:
    """Return the traces of the phases, in the order of the driver; call it once, after the run."""
    after = [record["before"] for record in host.phases[1:]] + [vm.counters()]
    traces = []
    for number, (record, end) in enumerate(zip(host.phases, after, strict=True)):
        before, span = record.pop("before"), host.spans.get(number)
        if span is not None and record["do"] not in BUSY:  # what the guest met, however long
            before, end = span.counters, span.after  # the host went on meanwhile
        recorder = host.recorder.get(number)
        facts: dict[str, Any] = {}
        if recorder is not None:
            facts = together(recorder.parts()).facts() | host.spans[number].facts()
        counters = record.pop("soft_counters", {}) | {n: end[n] - before[n] for n in end}
        traces.append(PhaseTrace(**record, guest=recorder is not None, counters=counters, **facts))
    return tuple(traces)


Operation = Callable[[Vm, Host, Any, dict[str, Any]], Steps]


def ioctl(operation: Operation) -> Operation:
    """Return the operation as a log ioctl, with slots_lock held."""

    def locked(vm: Vm, host: Host, phase: Phase, record: dict[str, Any]) -> Steps:
        yield from hold_slots_lock(vm, HOST, host.spent)
        yield from operation(vm, host, phase, record)
        release_slots_lock(vm, HOST)

    return locked


OPERATIONS: dict[str, Operation] = {
    "enable-logging": ioctl(enable_disable.enable_logging),
    "get-dirty-log": ioctl(log_reports.get_dirty_log),
    "clear-dirty-log": ioctl(log_reports.clear_dirty_log),
    "sync-dirty-log": log_reports.sync_dirty_log,
    "harvest-ring": log_reports.harvest_ring,
    "disable-logging": ioctl(enable_disable.disable_logging),
    "recreate-slot": ioctl(recreate_slot),
    "sleep": sleep,
    "wait": wait,
}
