"""The time of a simulation beside the time of the machine that it models, at full size."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from mmusim.engine.choice import COMPILED
from mmusim.engine.simulate import Simulation
from mmusim.plan.make import make_plan
from mmusim.validation.predict import REGIONS, SEED, Costs, setting_of
from mmusim.validation.published import PublishedValue, Run

ALL: Final = 10.0
LOCK_BOUND: Final = 1.0
"""Targets for the ratio of simulation to machine."""


class Speed(NamedTuple):
    """A phase of a run of dirty_log_perf_test: on the machine, and simulated."""

    run: Run
    phase: str
    machine_s: float  # median of the published values
    simulation_s: float  # wall time of the phase in the simulation, one process

    @property
    def ratio(self) -> float:
        """Simulation over machine."""
        return self.simulation_s / self.machine_s

    @property
    def lock_bound(self) -> bool:
        """Whether the phase consists of faults that queue for mmu_lock held for write."""
        exclusive = "legacy" in self.run.policy or "shadow" in self.run.policy
        faults = "lazy-drop" in self.run.policy or "shadow" in self.run.policy  # on each write
        drops = faults and self.run.backing == "1GiB"
        first = self.phase == "iteration 1 dirty memory" and not self.run.all_set
        enough = self.run.vcpus >= (2 if "shadow" in self.run.policy else 8)
        return exclusive and drops and first and enough

    @property
    def meets(self) -> bool:
        """Whether the ratio is below its target."""
        return self.ratio < (LOCK_BOUND if self.lock_bound else ALL)


def full_size(
    values: Iterable[PublishedValue], costs: Costs, tell: Callable[[str], None] = lambda words: None
) -> list[Speed]:
    """Simulate every published run of 1 GiB per vCPU with the compiled engine, one after the other.

    Parameters
    ----------
    values : iterable of PublishedValue
    costs : mapping
        Costs that replace those of the profile.
    tell : callable
        Called with each run before it starts.
    """
    published: dict[Run, dict[str, list[float]]] = {}
    for value in values:
        if value.run is not None and value.run.gib == 1:
            phases = published.setdefault(value.run, {})
            phases.setdefault(value.phase, []).append(value.seconds)
    speeds = []
    for run in sorted(published, key=lambda run: (run.vcpus, run.policy)):
        tell(f"{run.vcpus} vCPUs, {run.policy}, {run.writes} % writes")
        seconds = phase_seconds(run, costs, REGIONS)
        speeds += [
            Speed(run, phase, statistics.median(machine), seconds[phase])
            for phase, machine in published[run].items()
        ]
    return speeds


def phase_seconds(run: Run, costs: Costs, regions: int) -> dict[str, float]:
    """Simulate a run in which each vCPU touches this many regions; return the times of its phases.

    The keys are the selftest's names, the values seconds of wall time.
    """
    simulation = Simulation(
        make_plan(setting_of(run, costs, regions), run.policy, SEED), engine=COMPILED
    )
    trace = simulation.run()
    walls = simulation.phase_seconds()
    return {p.name: wall for p, wall in zip(trace.phases, walls, strict=True) if p.name}
