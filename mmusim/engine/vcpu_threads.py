"""The vCPU threads of a phase: they are started, go on lap after lap, and are joined."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import simpy

from mmusim.engine.host.host import Host
from mmusim.engine.host.measured_span import MeasuredSpan
from mmusim.engine.kinds import Kind
from mmusim.engine.state.vm import Steps, Vcpu, Vm
from mmusim.plan.make import Program


def run_on(
    vm: Vm, host: Host, kind: Kind, v: Vcpu, process: simpy.Process, span: MeasuredSpan
) -> None:
    """Note the process of a vCPU in a phase, and let the host interfere with it."""
    v.process = process
    if vm.processor is not None and v.shares_processor:
        vm.processor.take(v.number)
    host.running.append(process)
    host.windows.runs(process, span)
    for source in range(len(vm.plan.interference)):
        kind.interfere(vm, v, source)


def laps(vm: Vm, v: Vcpu, number: int, go_on: Callable[[], bool]) -> Iterator[Program]:
    """Yield the program of each lap of a vCPU in phase `number` after the first, while `go_on` says
    so.
    """
    lap = 1
    while go_on():
        yield vm.plan.program(number, v.number, lap)
        lap += 1


def wait_for_guest(vm: Vm, host: Host) -> Steps:
    """Wait for a guest in the background: it ends when all open windows have ended."""
    if host.windows.guests:
        yield from host.windows.through()
    if host.goes_on and host.windows.parted:
        for v in vm.vcpus:
            if v.process is not None and v.process.is_alive:
                v.stop(vm.now)
    yield from join(vm, host)


def join(vm: Vm, host: Host) -> Steps:
    """Wait until no vCPU runs a program; one that repeats its program ends after this lap."""
    host.joining = True
    yield from host.running
    host.joining = False
    host.running.clear()
    for v in vm.vcpus:
        v.process = None
