"""The compiled engine: vCPUs are rows of numbers, the host's processes run on SimPy beside them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mmusim.engine.compiled.interference import make_room
from mmusim.engine.compiled.loop import BEGIN_INTERFERENCE, call
from mmusim.engine.compiled.probed_vm import ProbedVm
from mmusim.engine.compiled.vcpus import CompiledProgram, CompiledVcpu
from mmusim.engine.compiled.vm import CompiledVm
from mmusim.engine.simpy_kind import SimpyKind
from mmusim.plan.make import Plan, Program
from mmusim.trace.records import Probe


class CompiledKind:
    """Runs vCPUs as compiled code."""

    def make_vm(self, plan: Plan, run_limit: int, probe: Probe | None) -> CompiledVm:
        """Return an empty VM; `run_limit` bounds how many accesses are one event, `probe` is told
        of events.
        """
        return CompiledVm(plan, run_limit) if probe is None else ProbedVm(plan, run_limit, probe)

    def launch(
        self, vm: CompiledVm, v: CompiledVcpu, program: Program, laps: Iterable[Program]
    ) -> CompiledProgram:
        """Let a vCPU run a program, then those that `laps` yields; return its process."""
        v.load(program, vm.now)
        return CompiledProgram(vm, v, laps)

    def interfere(self, vm: CompiledVm, v: Any, source: int) -> None:
        """Let interference `source`, by number, act on the program that a vCPU runs now."""
        if isinstance(v.process, CompiledProgram):
            make_room(vm.memory, len(vm.vcpus) * len(vm.plan.interference))
            call(vm.memory.address, BEGIN_INTERFERENCE, v.number, source, 0)
        else:
            SimpyKind().interfere(vm, v, source)

    def events(self, vm: CompiledVm) -> int:
        """Return how many events there were since the start of the run."""
        return vm.memory.get("events")
