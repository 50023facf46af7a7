"""The VM of a compiled run with a probe."""

from __future__ import annotations

import numpy as np

from mmusim.engine.compiled.probe_rows import COLUMNS, ROOM, pass_on
from mmusim.engine.compiled.vm import CompiledVm
from mmusim.plan.make import Plan
from mmusim.trace.records import Probe


class ProbedVm(CompiledVm):
    """Passes on what compiled code writes down, later and in the order of the SimPy engine."""

    def __init__(self, plan: Plan, run_limit: int, probe: Probe) -> None:
        """Build an empty VM; `run_limit` bounds how many accesses are one event."""
        super().__init__(plan, run_limit)
        self._probe = probe
        self.memory.put("probe_rows", np.zeros((ROOM, COLUMNS), np.int64))
        self.memory.set("has_probe", 1)
        self.pass_on()

    def pass_on(self) -> None:
        """Tell the probe what compiled code has written in rows."""
        pass_on(self.memory, self._probe)

    def changed(self, who: int) -> None:
        """Tell the probe that `who` has changed the page tables or the log."""
        self.pass_on()
        self._probe.changed(who, self.now, self.gauges)
        self.memory.set("next_change", self._probe.next_change_ns)

    def fold(self) -> None:
        """Complete the recorders of the phases before they are read."""
        self.pass_on()
        super().fold()
