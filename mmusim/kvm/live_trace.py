"""The record of a plan that ran on a machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mmusim.kvm.vcpu import Timed


@dataclass(slots=True)
class LivePhase:
    """The measurements of one phase; times in nanoseconds."""

    do: str
    name: str
    began: int = 0  # by the host's clock (`time.perf_counter_ns`), as the laps of vCPUs
    ns: int = 0  # duration of the host thread's work
    dirty: int | None = None  # what a get or a harvest reported
    clears: tuple[int, ...] = ()  # each KVM_CLEAR_DIRTY_LOG of a clear or sync
    guest: tuple[Timed, ...] = ()  # per vCPU, its laps joined
    counters: dict[str, int] = field(default_factory=dict)  # changes up to the next phase


@dataclass(frozen=True, slots=True)
class LiveTrace:
    """A plan that was run on the machine."""

    phases: tuple[LivePhase, ...]
    ghz: float  # of the time-stamp counter

    def span_ns(self, phase: int) -> float:
        """From the first access of a guest phase to the end of the last, over all vCPUs."""
        runs = self.phases[phase].guest
        first = min(int(run.starts[0]) for run in runs)
        last = max(int(run.starts[-1]) + int(run.cycles[-1]) for run in runs)
        return (last - first) / self.ghz

    def latencies_ns(self, phase: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Latency of every access of a guest phase, all vCPUs, the clock's own cost included."""
        return np.concatenate([run.cycles for run in self.phases[phase].guest]) / self.ghz


def joined(laps: Sequence[Timed]) -> Timed:
    """Return the laps of a vCPU as one run."""
    first, fulls = 0, []
    for lap in laps:
        fulls += [first + index for index in lap.fulls]
        first += len(lap.cycles)
    return Timed(
        np.concatenate([lap.cycles for lap in laps]),
        np.concatenate([lap.starts for lap in laps]),
        sum(lap.wall_ns for lap in laps),
        tuple(fulls),
        tuple(span for lap in laps for span in lap.laps),
    )
