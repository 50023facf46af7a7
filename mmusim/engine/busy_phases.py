"""Phases in which the VMM works on a guest that runs: migrations, checkpoints, snapshots."""

from __future__ import annotations

from mmusim.config.checkpoint import Checkpoint
from mmusim.config.events import titles
from mmusim.config.migrate import Migrate
from mmusim.config.phase import BusyPhase
from mmusim.config.snapshot import Snapshot as SnapshotPhase
from mmusim.costs.distributions import Gamma
from mmusim.engine.host.host import Host
from mmusim.engine.host.measured_span import MeasuredSpan
from mmusim.engine.kinds import Kind
from mmusim.engine.migration.checkpoints import Checkpoints
from mmusim.engine.migration.migration import Migration
from mmusim.engine.migration.service import ServiceMeter
from mmusim.engine.migration.snapshot import Snapshot
from mmusim.engine.processes.user_space import port_io
from mmusim.engine.state.phase_recorder import PhaseRecorder
from mmusim.engine.state.vm import Steps, Vm
from mmusim.engine.state.vmm import Vmm
from mmusim.engine.vcpu_threads import join, laps, run_on, wait_for_guest


class BusyGuest:
    """The guest that runs while the VMM works on it."""

    def __init__(self, vm: Vm, number: int, phase: Migrate | Checkpoint | SnapshotPhase) -> None:
        """Nothing runs yet; `number` is that of the phase."""
        self.number, self.phase = number, phase
        self.vcpus = vm.vcpus if phase.workload else []
        self.work: Migration | Checkpoints | Snapshot | None = None  # None: before it
        self.stays = bool(getattr(phase, "tail", 0))  # behind it too

    @property
    def goes_on(self) -> bool:
        """Whether a vCPU that has finished a lap begins another."""
        return self.stays or self.work is None or self.work.active


def migrate(vm: Vm, host: Host, kind: Kind, number: int, phase: Migrate) -> Steps:
    """Let every vCPU run its workload, lap after lap, beside the migration thread.

    `number` is that of the phase. The trace of the migration goes into the phase's record.
    """
    yield from wait_for_guest(vm, host)
    span, recorder = begin_guest(vm, host, number, phase)
    guest = BusyGuest(vm, number, phase)
    migration = None
    if phase.lead:
        vm.vmm = Vmm(vm.env)
    else:
        guest.work = migration = Migration(vm, host, number, phase)
    launch_guest(vm, host, kind, guest, recorder, span)
    service = service_of(vm, guest, phase)
    if migration is None:
        yield vm.spend(round(phase.lead))
        guest.work = migration = Migration(vm, host, number, phase)
    service.mark()
    yield from migration.thread()
    service.mark()
    if phase.tail:
        yield vm.spend(round(phase.tail))
    service.mark()
    service.on = guest.stays = False
    yield from end_guest(vm, host, guest, span)
    trace = migration.trace(service)
    host.phases[-1] |= {
        "dirty": migration.log.reported, "false_dirty": migration.log.false,
        "migration": trace, "outcome": trace.outcome, "story": trace.story(),
    }  # fmt: skip


def checkpoint(vm: Vm, host: Host, kind: Kind, number: int, phase: Checkpoint) -> Steps:
    """Copy all memory, then let every vCPU run its workload beside the checkpoints.

    `number` is that of the phase. The trace of the checkpoints goes into the phase's record.
    """
    yield from wait_for_guest(vm, host)
    guest = BusyGuest(vm, number, phase)
    guest.work = checkpoints = Checkpoints(vm, host, number, phase)
    yield from checkpoints.first_copy()
    span, recorder = begin_guest(vm, host, number, phase)
    launch_guest(vm, host, kind, guest, recorder, span)
    yield from checkpoints.thread()
    guest.stays = False
    yield from end_guest(vm, host, guest, span)
    trace, log = checkpoints.trace(), checkpoints.log
    record = {"dirty": log.reported, "false_dirty": log.false, "checkpoints": trace}
    host.phases[-1] |= record | {"story": trace.story()}


def snapshot(vm: Vm, host: Host, kind: Kind, number: int, phase: SnapshotPhase) -> Steps:
    """Let every vCPU run its workload, lap after lap, beside the thread that takes the snapshot.

    `number` is that of the phase. The trace of the snapshot goes into the phase's record.
    """
    yield from wait_for_guest(vm, host)
    span, recorder = begin_guest(vm, host, number, phase)
    guest = BusyGuest(vm, number, phase)
    vm.vmm = Vmm(vm.env)
    launch_guest(vm, host, kind, guest, recorder, span)
    if phase.lead:
        yield vm.spend(round(phase.lead))
    guest.work = work = Snapshot(vm, host, number, phase)
    yield from work.thread()
    if phase.tail:
        yield vm.spend(round(phase.tail))
    guest.stays = False
    yield from end_guest(vm, host, guest, span)
    trace = work.trace()
    host.phases[-1] |= {"snapshot": trace, "story": trace.story()}


def begin_guest(
    vm: Vm, host: Host, number: int, phase: BusyPhase
) -> tuple[MeasuredSpan, PhaseRecorder]:
    """Begin the guest part of a phase in which the VMM works; return what is measured and its
    recorder.
    """
    host.clock_ns = vm.now
    host.windows.happens("start", titles(phase))
    recorder = host.recorder[number] = PhaseRecorder(vm.plan.slot.npages)
    span = host.spans[number] = host.windows.guest_begins(recorder, set())
    host.goes_on = False
    return span, recorder


def launch_guest(
    vm: Vm, host: Host, kind: Kind, guest: BusyGuest, recorder: PhaseRecorder, span: MeasuredSpan,
) -> None:  # fmt: skip
    """Let every vCPU run its workload, lap after lap until the VMM has finished its work."""
    if vm.load is not None:
        vm.load.begin(vm.now, len(guest.vcpus))
    for v in guest.vcpus:
        v.recorder = recorder
        more = laps(vm, v, guest.number, lambda: guest.goes_on)
        process = kind.launch(vm, v, vm.plan.program(guest.number, v.number), more)
        run_on(vm, host, kind, v, process, span)
    start_port_io(vm, guest)


def service_of(vm: Vm, guest: BusyGuest, phase: Migrate) -> ServiceMeter:
    """Return the meter of the service; it reads only in a phase that has a lead or a tail."""
    follows = bool(phase.lead or phase.tail)
    service = ServiceMeter(vm, guest.vcpus, guest.number, follows)
    if service.on:
        vm.env.process(service.run())
    return service


def end_guest(vm: Vm, host: Host, work: BusyGuest, span: MeasuredSpan) -> Steps:
    """Join the vCPUs, each after its present lap, because the VMM has finished."""
    for v in work.vcpus:
        if vm.by_rates and v.process is not None and v.process.is_alive:
            v.stop(vm.now)  # a guest that is given by rates has no end of its own
    yield from join(vm, host)
    if not work.vcpus:
        host.windows.end(span)
    host.windows.happens("end", titles(work.phase))
    vm.vmm = vm.unsent = None
    for v in vm.vcpus:
        v.queued_work.clear()


def start_port_io(vm: Vm, guest: BusyGuest) -> None:
    """Let the vCPUs exit for port I/O at exponential intervals, in ns, while the VMM works."""
    mean = vm.plan.driver.migration.io_interval
    for v in guest.vcpus if mean else ():
        gaps = vm.plan.draws.stream("t_io", v.number, Gamma(mean, 1.0))
        vm.env.process(port_io(vm, v, gaps, lambda: guest.goes_on))
