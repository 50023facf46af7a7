"""The progress of an open-loop service before, during and after a migration."""

from __future__ import annotations

from typing import Any, Final

from mmusim.base.units import NS
from mmusim.engine.state.vm import Steps, Vcpu, Vm
from mmusim.trace.records import Served
from mmusim.workload.requests import OpenLoopRequests

FIRST_NS: Final = NS["ms"]
"""The period of reading at first. It doubles whenever there are too many readings."""
MOST: Final = 512
"""Readings that are kept. Counts are of all requests so far, so leaving some out changes no other.
"""


class ServiceMeter:
    """Counts the requests that have arrived and that are served. It changes nothing."""

    def __init__(self, vm: Vm, vcpus: list[Vcpu], workload: Any, firsts: list[int]) -> None:
        """The vCPUs begin now, with programs whose first accesses have these numbers."""
        self._vm, self._vcpus, self._firsts = vm, vcpus, firsts
        self._before = [v.accesses for v in vcpus]
        self.on = isinstance(workload, OpenLoopRequests) and bool(vcpus)
        self._touches = workload.touches if self.on else 1
        self._period = FIRST_NS
        self.marks = [Served(vm.now, 0, 0)] if self.on else []
        """At the start, at the request, at the end of the migration, at the end of the tail."""
        self.readings: list[Served] = []

    def run(self) -> Steps:
        """Read once a period until stopped."""
        while self.on:
            yield self._vm.spend(self._period)
            if self.on:
                self.readings.append(self._read())
                if len(self.readings) > MOST:
                    del self.readings[::2]
                    self._period *= 2

    def mark(self) -> None:
        """Read now, at one of the moments that part the phase."""
        if self.on:
            self.marks.append(self._read())

    def _read(self) -> Served:
        arrived = served = 0
        now = self._vm.now
        for v, first, before in zip(self._vcpus, self._firsts, self._before, strict=True):
            done, due = v.progress(now)
            served += (done - before) // self._touches
            if v.first >= first:  # else its program has not begun
                arrived += (v.first - first + due) // self._touches
        return Served(now, arrived, served)
