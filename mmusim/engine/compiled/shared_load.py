"""The load of a machine as the host's Python processes see it, in a compiled run's memory."""

from __future__ import annotations

import simpy

from mmusim.costs.machine import Machine
from mmusim.engine.compiled.loop import LEFT, call
from mmusim.engine.compiled.memory import Memory
from mmusim.engine.state.machine_load import EPOCH_NS, MachineLoad
from mmusim.plan.make import Plan


class CompiledLoad(MachineLoad):
    """Prices and running vCPUs that compiled code keeps."""

    def __init__(
        self, machine: Machine, plan: Plan, env: simpy.Environment, memory: Memory
    ) -> None:
        """Nobody runs."""
        super().__init__(machine, plan, env)
        self._memory = memory

    def begin(self, now: int, vcpus: int) -> None:
        """Begin a phase at `now`, in ns, in which so many vCPUs have a program."""
        super().begin(now, vcpus)
        facts = {
            "summed_ns": now, "running_sum": 0, "epoch_ends": now + EPOCH_NS,
            "slowdown": self.slowdown, "line": self.line,
        }  # fmt: skip
        for name, value in facts.items():
            self._memory.set(name, value)

    def left(self, now: int) -> int:
        """Return the rest of this epoch in ns; its prices are those of compiled code."""
        del now
        left = call(self._memory.address, LEFT, 0, 0, 0)
        self.slowdown, self.line = self._memory.get("slowdown"), self._memory.get("line")
        return left
