"""The state of the host thread: what it remembers between phases, and what its operations cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from mmusim.costs import log_operations
from mmusim.costs.machine import Law
from mmusim.costs.random_streams import Stream
from mmusim.engine.host.measured_span import MeasuredSpan
from mmusim.engine.host.windows import Windows
from mmusim.engine.processes.dirty_rings import note, pay
from mmusim.engine.state.phase_recorder import PhaseRecorder
from mmusim.engine.state.vm import Vm
from mmusim.policies import Reporting
from mmusim.trace.records import HOST

MANUAL: Final = (Reporting.MANUAL_CLEAR, Reporting.ALL_SET)
"""Interfaces under which a get only reads the log, and a request of its own clears it."""


class Host:
    """The thread and what it remembers between phases."""

    def __init__(self, vm: Vm) -> None:
        """Start before the first phase."""
        self.vm = vm
        pages = vm.plan.slot.npages if vm.plan.choices.reporting in MANUAL else 0
        self.phases: list[dict[str, Any]] = []
        self.began_s: list[float] = []  # of each phase and of the end, on the clock on the wall
        self.recorder: dict[int, PhaseRecorder] = {}
        self.running: list[Any] = []  # vCPU processes in the background
        self.joining = False  # the thread waits for them
        self.goes_on = False  # they run a workload, which a window may end
        self.bitmap = np.zeros(pages, np.bool_)
        """What the last get returned where clears are separate: a bit for each page of the VM."""
        self.spent: dict[str, int] = {}  # of this phase
        self.waits_for = ""
        self.armed = self.reported = self.false = 0  # pages, by log operations up to now
        self.under_way: tuple[int, Callable[[], float]] = 0, lambda: 0.0
        """Number of the phase under way, and what tells how much of it is done, from 0 to 1."""
        self.has_bitmap = False  # user space has touched the pages of its own
        self.windows = Windows(vm, self)
        self.spans: dict[int, MeasuredSpan] = {}  # guest phases
        self.clock_ns = 0  # when the last guest phase began, from which schedules count
        self.series_ns = 0  # when the first of the operations that are repeated was due
        self.ended_ns = {"": 0}  # when operations ended, by name; the last one has none
        self._streams: dict[str, Stream] = {}
        self._paid: dict[str, int] = {}

    def tells(self, part: Callable[[], float]) -> None:
        """Let `part` tell how much is done of the phase under way, from 0 to 1."""
        self.under_way = self.under_way[0], part

    def once(self, cost: str) -> int:
        """Draw the time of one operation, in ns, and add it to what is spent."""
        if cost not in self._streams:
            self._streams[cost] = self.vm.plan.draws.stream(cost, HOST, self.vm.plan.costs[cost])
            self._paid[cost] = 0
        self._paid[cost] += 1
        ns = self._streams[cost].at(self._paid[cost] - 1)
        note(self.spent, cost, ns)
        return ns

    def follows(self, law: Law) -> bool:
        """Tell whether the host is a described machine that follows a law
        (:mod:`mmusim.costs.machine`).
        """
        return self.vm.plan.machine is not None and self.vm.plan.machine.follows(law)

    def pay(self, owed: log_operations.Counts) -> int:
        """Return the time in ns of many operations in a row, and add it to what is spent."""
        return pay(self.vm, owed, self.spent)
