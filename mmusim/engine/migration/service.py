"""The progress of an open-loop service before, during and after a migration."""

from __future__ import annotations

from typing import Final

import numpy as np

from mmusim.base.units import NS
from mmusim.engine.state.vm import Steps, Vcpu, Vm
from mmusim.trace.records import Served
from mmusim.workload.requests import OpenLoopRequests

FIRST_NS: Final = NS["ms"]
"""The period of reading at first. It doubles whenever there are too many readings."""
MOST_READINGS: Final = 512
"""Readings that are kept. Counts are of all requests so far, so leaving some out changes no other.
"""


class ServiceMeter:
    """Counts the requests that are served. It changes nothing."""

    def __init__(self, vm: Vm, vcpus: list[Vcpu], phase: int, follows: bool) -> None:
        """The vCPUs begin now; `phase` is the number of their phase."""
        pattern = vm.plan.patterns[phase]
        self._vm, self._vcpus, self._phase, self._began_ns = vm, vcpus, phase, vm.now
        self._before = [v.accesses for v in vcpus]
        self.on = follows and isinstance(pattern, OpenLoopRequests)
        self._touches = pattern.touches if isinstance(pattern, OpenLoopRequests) else 1
        self._period = FIRST_NS
        self._marks = [(vm.now, 0)] if self.on else []  # time, requests served
        self._readings: list[tuple[int, int]] = []

    def run(self) -> Steps:
        """Read once a period of simulated time until stopped."""
        while self.on:
            yield self._vm.spend(self._period)
            if self.on:
                self._readings.append(self._read())
                if len(self._readings) > MOST_READINGS:
                    del self._readings[::2]
                    self._period *= 2

    def mark(self) -> None:
        """Read now: at the start, at the request, at the end of the migration, or of the tail."""
        if self.on:
            self._marks.append(self._read())

    def _read(self) -> tuple[int, int]:
        now = self._vm.now
        done = (v.completed(now) - n for v, n in zip(self._vcpus, self._before, strict=True))
        return now, sum(accesses // self._touches for accesses in done)

    def marks(self) -> tuple[Served, ...]:
        """Return the readings of :meth:`mark`, in order; none where the service is not followed."""
        return self._with_arrivals(self._marks)

    def readings(self) -> tuple[Served, ...]:
        """Return the readings of :meth:`run`, in order, at most `MOST_READINGS`."""
        return self._with_arrivals(self._readings)

    def _with_arrivals(self, read: list[tuple[int, int]]) -> tuple[Served, ...]:
        """Add the requests that had arrived: each lap's follow those of the lap before it."""
        if not read:
            return ()
        times = np.array([at for at, _ in read])
        arrived = np.zeros(len(read), np.int64)
        for v in self._vcpus:
            began, lap = self._began_ns, 0
            while began <= times[-1]:
                due = began + self._vm.plan.arrivals_ns(self._phase, v.number, lap)
                arrived += np.searchsorted(due, times, side="right")
                began, lap = int(due[-1]), lap + 1
        rows = zip(read, arrived.tolist(), strict=True)
        return tuple(Served(at, came, served) for (at, served), came in rows)
