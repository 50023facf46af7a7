"""The engine that defines a run: every actor is a SimPy process."""

from __future__ import annotations

from collections.abc import Iterable

import simpy

from mmusim.engine.processes.interference import interfere
from mmusim.engine.processes.vcpu import vcpu
from mmusim.engine.state.vm import Vcpu, Vm
from mmusim.plan.make import Plan, Program
from mmusim.trace.records import Probe


class SimpyKind:
    """Runs every process as SimPy does."""

    def make_vm(self, plan: Plan, run_limit: int, probe: Probe | None) -> Vm:
        """Return an empty VM; `run_limit` bounds how many accesses are one event, `probe` is told
        of events.
        """
        return Vm(plan, run_limit, probe)

    def launch(self, vm: Vm, v: Vcpu, program: Program, laps: Iterable[Program]) -> simpy.Process:
        """Let a vCPU run a program, then those that `laps` yields; return its process."""
        return vm.env.process(vcpu(vm, v, program, iter(laps)))

    def interfere(self, vm: Vm, v: Vcpu, source: int) -> None:
        """Let interference `source`, by number, act on the program that a vCPU runs now."""
        vm.interferers += 1
        vm.env.process(interfere(vm, v, source))

    def events(self, vm: Vm) -> int:
        """Return 0, because SimPy does not count events."""
        del vm
        return 0
