"""The progress of a run: simulated time, and the share that is done."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from mmusim.config.driver import Phase, Sleep
from mmusim.config.page_table_write import WritePageTable
from mmusim.config.phase import BusyPhase, GuestPhase
from mmusim.config.schedule import Scheduled
from mmusim.engine.host.host import Host
from mmusim.engine.state.vm import Vm
from mmusim.workload.rates import is_rated

HEARTBEAT_S: Final = 1.0
"""Seconds between two progress reports of a run."""


class Reached(NamedTuple):
    """The progress of a run."""

    now_ns: int  # simulated time
    share: float | None
    """Of all accesses. Where their number is unknown: of the phases that last, each counts alike,
    with the part of the one under way. None: no phase is known to last.
    """


class Shares:
    """Tells which share of a run is done; another thread may ask."""

    def __init__(self, vm: Vm) -> None:
        """Count accesses and phases now: a plan must not be asked by two threads."""
        self._vm = vm
        self._accesses = vm.plan.accesses()
        self._ended = [0]  # phases that last, before each phase
        for phase in vm.plan.driver.phases:
            self._ended.append(self._ended[-1] + lasts(phase))

    def share(self, host: Host | None, over: bool) -> float | None:
        """Return the share that is done, from 0 to 1, or None if it cannot be known; it never
        falls.

        `host` is None before the run begins, `over` true after it.
        """
        if self._accesses:
            return accessed(self._vm) / self._accesses
        if not self._ended[-1]:
            return None
        if host is None or over:
            return float(over)
        number, part = host.under_way
        begun = self._ended[number + 1] - self._ended[number]
        return (self._ended[number] + begun * min(1.0, part())) / self._ended[-1]


def lasts(phase: Phase) -> bool:
    """Tell whether simulated time passes in a phase, other than that of one operation."""
    if isinstance(phase, Scheduled):
        waits = (phase.at, phase.after, phase.every)
        return phase.do == "wait" or any(when is not None for when in waits)
    if isinstance(phase, GuestPhase):
        return not phase.background and not isinstance(phase, WritePageTable)
    return isinstance(phase, Sleep)


def part_of(vm: Vm, number: int, phase: Phase) -> Callable[[], float]:
    """Return a function that tells how much is done, 0 to 1, of phase `number`, which begins
    now.
    """
    began_ns, before = vm.now, accessed(vm)
    if isinstance(phase, Sleep):
        return lambda: (vm.now - began_ns) / max(1.0, phase.time)
    counted = isinstance(phase, GuestPhase) and not isinstance(phase, (BusyPhase, WritePageTable))
    if counted and not is_rated(vm.plan.patterns[number]):
        cpus = range(vm.plan.vcpus)
        first, end = (
            sum(vm.plan.accesses_before(n, cpu) for cpu in cpus) for n in (number, number + 1)
        )
        return lambda: (accessed(vm) - before) / max(1, end - first)
    return lambda: 0.0  # migrations, checkpoints and snapshots tell more when they begin


def accessed(vm: Vm) -> int:
    """Return how many accesses all vCPUs have made since the start of the run."""
    return sum(v.accesses for v in vm.vcpus)


@contextmanager
def watched(look: Callable[[], None]) -> Iterator[None]:
    """Call `look` from another thread every `HEARTBEAT_S` seconds. What it looks at does not
    notice.
    """
    over = threading.Event()

    def often() -> None:
        while not over.wait(HEARTBEAT_S):
            look()

    thread = threading.Thread(target=often, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
