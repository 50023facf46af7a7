"""Experiments whose arms differ in the host's actions: measured on a machine and predicted for it.

A file of arms has a question, a guest, and for each arm the phases of a driver. Every arm runs on
the machine's own KVM and in the simulator with the machine's profile, on the same accesses.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import numpy as np
from pydantic import Field

from mmusim.base.histogram import Histogram
from mmusim.base.quantities import Size, Strict, exact_ns
from mmusim.base.units import show_bytes
from mmusim.config.host import HostProfile, load_profile
from mmusim.config.load import load
from mmusim.config.settings import Setting, settings_of
from mmusim.engine import simulate
from mmusim.execution.parallel import in_parallel
from mmusim.kvm.live import run_live
from mmusim.plan.make import make_plan
from mmusim.validation.live_grid import as_measured, plan_as_measured
from mmusim.validation.live_runs import RunOf, measured_run, simulated_run

GUEST: Final = ("read", "write", "touch")


class ArmsFile(Strict):
    """A question with two or more arms."""

    question: str
    source: str = ""
    memory: Size
    measure: str
    """The guest phase that is compared; every arm has one of this name."""
    arms: Annotated[dict[str, list[dict[str, Any]]], Field(min_length=2)]
    """Name -> phases."""

    def data(self, arm: str, policy: str, mmu: str, loop_ns: float = 0.0) -> dict[str, Any]:
        """Return the experiment that an arm is."""
        think = {"think": exact_ns(loop_ns)}
        phases = [p | think if p.get("do") in GUEST else p for p in self.arms[arm]]
        return {
            "schema": 1, "id": "live-arm", "question": self.question,
            "vm": {"memory": show_bytes(self.memory), "mmu": mmu,
                   "kernel": policy.partition("+")[0]},
            "host": {"profile": "skylake-2021"},
            "policies": {"baseline": policy, "compare": ["none"]},
            "driver": {"phases": phases, "measure": self.measure},
        }  # fmt: skip


def read_arms(path: Path) -> ArmsFile:
    """Read a file of arms.

    Raises
    ------
    ConfigError
        With all that is wrong in the file, the phases of the arms included.
    """
    file = load(path, ArmsFile)
    for arm in file.arms:
        data = file.data(arm, "linux-6.18+shadow+get-clears", "shadow")
        settings_of(data, f"{path} [arms.{arm}]", path.parent)
    return file


class Arm(NamedTuple):
    """One arm, measured and predicted."""

    name: str
    measured: Sequence[RunOf]
    predicted: Sequence[RunOf]

    def total(self, kind: str) -> tuple[float, float, float]:
        """Return median, smallest and largest total time of its runs in ns."""
        times = [run.total_ns for run in (self.measured if kind == "measured" else self.predicted)]
        return statistics.median(times), min(times), max(times)

    def latencies(self, kind: str) -> Histogram:
        """Return the latencies of all its runs."""
        merged = Histogram()
        for run in self.measured if kind == "measured" else self.predicted:
            merged.merge(run.latencies)
        return merged

    @property
    def faults(self) -> tuple[float, float]:
        """Faults of the pass, measured and predicted; medians over runs."""
        both = (self.measured, self.predicted)
        one, two = (statistics.median(run.counters["pf_taken"] for run in runs) for runs in both)
        return one, two


def measure_arms(
    file: ArmsFile, policy: str, mmu: str, repeats: int, *,
    tell: Callable[[str], None] | None = None,
) -> list[RunOf]:  # fmt: skip
    """Run every arm `repeats` times on this machine, the arms alternating in random order."""
    from mmusim.config.settings import settings_of

    rng = np.random.default_rng(1)
    runs = []
    names = list(file.arms)
    for seed in range(1, repeats + 1):
        for name in rng.permutation(names).tolist():
            (setting,) = settings_of(file.data(name, policy, mmu), "live arm", Path())
            plan = make_plan(setting, policy, seed)
            runs.append(measured_run(name, plan, run_live(plan), file.measure, seed))
        if tell is not None:
            tell(f"round {seed} of {repeats}")
    return runs


def predict_arms(
    file: ArmsFile, policy: str, mmu: str, profile: str, seeds: Sequence[int],
    *, workers: int | None = 1, scheduler: str | None = None,
) -> list[RunOf]:  # fmt: skip
    """Simulate every arm with a measured profile, given by name or path."""
    host: HostProfile = load_profile(profile)
    assert host.measurement is not None
    jobs = []
    for name in file.arms:
        data = file.data(name, policy, mmu, host.measurement.loop)
        setting = as_measured(data, host, profile, Path())
        jobs += [(name, setting, policy, file.measure, seed) for seed in seeds]
    return list(in_parallel(_predicted, jobs, workers=workers, scheduler=scheduler))


def _predicted(job: tuple[str, Setting, str, str, int]) -> RunOf:
    name, setting, policy, measure, seed = job
    plan = plan_as_measured(setting, policy, seed)
    return simulated_run(name, plan, simulate(plan), measure, seed)


def arms_of(file: ArmsFile, runs: Sequence[RunOf]) -> list[Arm]:
    """Sort runs by arm."""
    groups: Mapping[str, list[RunOf]] = {name: [] for name in file.arms}
    for run in runs:
        if run.setting in groups:
            groups[run.setting].append(run)
    return [
        Arm(
            name,
            [run for run in group if run.kind == "measured"],
            [run for run in group if run.kind == "simulated"],
        )
        for name, group in groups.items()
    ]
