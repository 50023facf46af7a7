"""The host thread: it goes through the phases of the driver."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import simpy

from mmusim.config.checkpoint import Checkpoint
from mmusim.config.driver import Phase, Run, Sleep
from mmusim.config.migrate import Migrate
from mmusim.config.page_table_write import WritePageTable
from mmusim.config.phase import BusyPhase, GuestPhase
from mmusim.config.schedule import Scheduled
from mmusim.config.windows import READS_LOG, SYNC, titles
from mmusim.costs.distributions import Gamma
from mmusim.engine.host import log_ioctls, log_reports
from mmusim.engine.host.log_ioctls import Host
from mmusim.engine.host.slot_deletion import recreate_slot
from mmusim.engine.host.windows import Stretch
from mmusim.engine.kinds import Kind
from mmusim.engine.migration.checkpoints import Checkpoints
from mmusim.engine.migration.migration import Migration
from mmusim.engine.processes.dirty_rings import hold_slots_lock
from mmusim.engine.processes.soft_vcpu import soft_vcpu
from mmusim.engine.processes.user_space import port_io
from mmusim.engine.state import invariants
from mmusim.engine.state.phase_recorder import PhaseRecorder, together
from mmusim.engine.state.vm import Outcome, Steps, Vcpu, Vm
from mmusim.plan.make import Program
from mmusim.trace.records import HOST, PhaseTrace

BUSY: Final = ("migrate", "checkpoint")
"""Phases in which the VMM works beside the guest."""


def host_thread(vm: Vm, host: Host, kind: Kind) -> Steps:
    """Run the phases, one after the other."""
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
        host.began_s.append(time.perf_counter())
        host.spent = record["spent"] = {}
        host.waits_for = f"the end of phase {number + 1} ({phase.do})"
        vm.changed(HOST)
        if isinstance(phase, Migrate):
            yield from migrate(vm, host, kind, number, phase)
        elif isinstance(phase, Checkpoint):
            yield from checkpoint(vm, host, kind, number, phase)
        elif isinstance(phase, GuestPhase):
            yield from start_guest(vm, host, kind, number, phase)
        else:
            steps = OPERATIONS[phase.do](vm, host, phase, record)
            also = SYNC if phase.do in READS_LOG else ""
            yield from host.windows.operation(
                phase.do, steps, name=phase.name, late_ns=late, also=also
            )
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
    """Wait until an operation is due; return how late it begins."""
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
    """Let every vCPU run its program of this phase. Wait for them, except in the background."""
    yield from wait_for_guest(vm, host)  # a vCPU runs one program at a time
    host.clock_ns = vm.now
    host.windows.happens("start", titles(phase))
    recorder = host.recorder[number] = PhaseRecorder(vm.plan.slot.npages)
    stretch = host.stretches[number] = host.windows.guest_begins(recorder, titles(phase))
    if vm.load is not None:
        vm.load.begin(vm.now, len(vm.vcpus))
    host.goes_on = phase.repeat or isinstance(phase, Run)
    if isinstance(phase, Run) and number == vm.plan.driver.measured:
        recorder.touched = np.zeros(vm.plan.pages, np.uint8)
    for v in vm.vcpus:
        v.recorder = recorder
        if isinstance(phase, WritePageTable):
            soft = soft_vcpu(vm, v, number, phase, host.phases[-1])
            run_on(vm, host, kind, v, vm.env.process(soft), stretch)
        else:
            more = laps(vm, v, number, lambda: goes_on(host, phase))
            process = kind.launch(vm, v, vm.plan.program(number, v.number), more)
            run_on(vm, host, kind, v, process, stretch)
    if not phase.background:
        yield from join(vm, host)


def goes_on(host: Host, phase: GuestPhase) -> bool:
    """Tell whether a vCPU that has finished its program begins another lap."""
    windows = phase.background and isinstance(phase, Run) and host.windows.pending()
    return not host.joining and (phase.repeat or windows)


def run_on(
    vm: Vm, host: Host, kind: Kind, v: Vcpu, process: simpy.Process, stretch: Stretch
) -> None:
    """Note the process of a vCPU, and let the host interfere with it."""
    v.process = process
    host.running.append(process)
    host.windows.runs(process, stretch)
    for source in range(len(vm.plan.interference)):
        kind.interfere(vm, v, source)


def migrate(vm: Vm, host: Host, kind: Kind, number: int, phase: Migrate) -> Steps:
    """Let every vCPU run its workload lap after lap beside the migration thread."""
    yield from wait_for_guest(vm, host)
    stretch, recorder = begin_guest(vm, host, number, phase)
    migration = Migration(vm, host, number, phase)
    launch_beside(vm, host, kind, migration, recorder, stretch)
    yield from migration.thread()
    yield from end_beside(vm, host, migration, stretch)
    trace = migration.trace()
    host.phases[-1] |= {
        "dirty": migration.log.reported, "false_dirty": migration.log.false,
        "migration": trace, "outcome": trace.outcome, "story": trace.story(),
    }  # fmt: skip


def checkpoint(vm: Vm, host: Host, kind: Kind, number: int, phase: Checkpoint) -> Steps:
    """Copy all memory, then let every vCPU run its workload beside the checkpoints."""
    yield from wait_for_guest(vm, host)
    checkpoints = Checkpoints(vm, host, number, phase)
    yield from checkpoints.first_copy()
    stretch, recorder = begin_guest(vm, host, number, phase)
    launch_beside(vm, host, kind, checkpoints, recorder, stretch)
    yield from checkpoints.thread()
    yield from end_beside(vm, host, checkpoints, stretch)
    trace, log = checkpoints.trace(), checkpoints.log
    record = {"dirty": log.reported, "false_dirty": log.false, "checkpoints": trace}
    host.phases[-1] |= record | {"story": trace.story()}


def begin_guest(vm: Vm, host: Host, number: int, phase: BusyPhase) -> tuple[Stretch, PhaseRecorder]:
    """The guest part of a phase in which the VMM works begins now."""
    host.clock_ns = vm.now
    host.windows.happens("start", titles(phase))
    recorder = host.recorder[number] = PhaseRecorder(vm.plan.slot.npages)
    stretch = host.stretches[number] = host.windows.guest_begins(recorder, set())
    host.goes_on = False
    return stretch, recorder


def launch_beside(
    vm: Vm, host: Host, kind: Kind, work: Migration | Checkpoints, recorder: PhaseRecorder,
    stretch: Stretch,
) -> None:  # fmt: skip
    """Let every vCPU run its workload, lap after lap until the VMM has finished its work."""
    if vm.load is not None:
        vm.load.begin(vm.now, len(work.vcpus))
    for v in work.vcpus:
        v.recorder = recorder
        more = laps(vm, v, work.number, lambda: work.active)
        process = kind.launch(vm, v, vm.plan.program(work.number, v.number), more)
        run_on(vm, host, kind, v, process, stretch)
    start_port_io(vm, work)


def end_beside(vm: Vm, host: Host, work: Migration | Checkpoints, stretch: Stretch) -> Steps:
    """The VMM has finished: join the vCPUs, after this lap."""
    for v in work.vcpus:
        if vm.by_rates and v.process is not None and v.process.is_alive:
            v.stop(vm.now)  # a guest that is given by rates has no end of its own
    yield from join(vm, host)
    if not work.vcpus:
        host.windows.end(stretch)
    host.windows.happens("end", titles(work.phase))
    vm.vmm = vm.unsent = None
    for v in vm.vcpus:
        v.queued_work.clear()


def laps(vm: Vm, v: Vcpu, number: int, go_on: Callable[[], bool]) -> Iterator[Program]:
    """Yield the program of each lap of a vCPU after the first, as long as laps go on."""
    lap = 1
    while go_on():
        yield vm.plan.program(number, v.number, lap)
        lap += 1


def start_port_io(vm: Vm, work: Migration | Checkpoints) -> None:
    """Let the vCPUs exit for port I/O at exponential intervals while the VMM works."""
    mean = work.spec.io_interval
    for v in work.vcpus if mean else ():
        gaps = vm.plan.draws.stream("t_io", v.number, Gamma(mean, 1.0))
        vm.env.process(port_io(vm, v, gaps, lambda: work.active))


def wait_for_guest(vm: Vm, host: Host) -> Steps:
    """Join a guest in the background: it ends when all open windows have ended."""
    if host.windows.guests:
        yield from host.windows.through()
    if host.goes_on and host.windows.parted:
        for v in vm.vcpus:
            if v.process is not None and v.process.is_alive:
                v.stop(vm.now)
    yield from join(vm, host)


def join(vm: Vm, host: Host) -> Steps:
    """Wait until no vCPU runs a program; a vCPU that repeats its program ends after this lap."""
    host.joining = True
    yield from host.running
    host.joining = False
    host.running.clear()
    for v in vm.vcpus:
        v.process = None


def wait(vm: Vm, host: Host, phase: Phase, record: dict[str, Any]) -> Steps:
    """Join the vCPUs that run in the background."""
    del phase, record
    yield from wait_for_guest(vm, host)


def sleep(vm: Vm, host: Host, phase: Phase, record: dict[str, Any]) -> Steps:
    """Let time pass."""
    del host, record
    assert isinstance(phase, Sleep)
    yield vm.spend(round(phase.time))


def phase_traces(vm: Vm, host: Host) -> tuple[PhaseTrace, ...]:
    """Return the traces of the phases."""
    after = [record["before"] for record in host.phases[1:]] + [vm.counters()]
    traces = []
    for number, (record, end) in enumerate(zip(host.phases, after, strict=True)):
        before, stretch = record.pop("before"), host.stretches.get(number)
        if stretch is not None and record["do"] not in BUSY:  # what the guest met, however long
            before, end = stretch.counters, stretch.after  # the host went on meanwhile
        recorder = host.recorder.get(number)
        facts: dict[str, Any] = {}
        if recorder is not None:
            facts = together(recorder.parts()).facts() | host.stretches[number].facts()
        counters = record.pop("soft_counters", {}) | {n: end[n] - before[n] for n in end}
        traces.append(PhaseTrace(**record, guest=recorder is not None, counters=counters, **facts))
    return tuple(traces)


Operation = Callable[[Vm, Host, Any, dict[str, Any]], Steps]


def ioctl(operation: Operation) -> Operation:
    """Carry out a log ioctl under slots_lock."""

    def locked(vm: Vm, host: Host, phase: Phase, record: dict[str, Any]) -> Steps:
        yield from hold_slots_lock(vm, HOST, host.spent)
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
    "recreate-slot": ioctl(recreate_slot),
    "sleep": sleep,
    "wait": wait,
}
