"""The VM of a compiled run that tells a probe what happens."""

from __future__ import annotations

import numpy as np

from mmusim.engine.compiled.telling import COLUMNS, ROOM, pass_on
from mmusim.engine.compiled.vm import CompiledVm
from mmusim.plan.make import Plan
from mmusim.trace.records import Probe


class ToldVm(CompiledVm):
    """Passes on what compiled code writes down, later and in the order of the SimPy engine."""

    def __init__(self, plan: Plan, run_limit: int, probe: Probe) -> None:
        """Build an empty VM; `run_limit` bounds how many accesses are one event."""
        super().__init__(plan, run_limit)
        self._told = probe
        self.memory.put("told", np.zeros((ROOM, COLUMNS), np.int64))
        self.memory.set("tells", 1)
        self.pass_on()

    def pass_on(self) -> None:
        """Tell the probe what compiled code has written down."""
        pass_on(self.memory, self._told)

    def changed(self, who: int) -> None:
        """Tell the probe that `who` has been at the page tables or at the log."""
        self.pass_on()
        self._told.changed(who, self.now, self.gauges)
        self.memory.set("next_change", self._told.next_change_ns)

    def fold(self) -> None:
        """Complete the recorders of the phases before they are read."""
        self.pass_on()
        super().fold()
