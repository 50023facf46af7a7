"""How much a run simulates at most: accesses of the guest, and the processor time that they take.

What lasts until a VMM has finished has no length of its own. Its bound is what the file says of
it: rounds times the longest round, a time limit, a number of checkpoints.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from mmusim.base.units import NS, PAGE, show_number
from mmusim.config.checkpoint import Checkpoint
from mmusim.config.cost import distribution
from mmusim.config.driver import Driver, Pass, Run, Sleep, Touch
from mmusim.config.migrate import Migrate, Migration
from mmusim.config.phase import BusyPhase, GuestPhase
from mmusim.config.schedule import Scheduled
from mmusim.config.setting import Setting
from mmusim.config.snapshot import Snapshot
from mmusim.mmu.slot import MemSlot
from mmusim.policies import Reporting
from mmusim.workload.rates import is_rated
from mmusim.workload.requests import OpenLoopRequests

ACCESS_NS: Final = 40.0
"""Processor time of an access in the compiled engine: a hit takes 14 to 46 ns (docs/explanation/
engines.md). Faults take ten times as long, and are few beside many accesses.
"""
DIRTIED_NS: Final = 2_500.0
"""Processor time of a page that a guest by rates dirties: 42 s for 17.5 million, 182 s for 69.9
million (docs/explanation/rates.md).
"""


class Part(NamedTuple):
    """A part of a run, at most."""

    what: str  # "a migration", "checkpoints", ...; empty: phases of the guest
    ns: float  # guest time; 0 where accesses are counted ahead
    accesses: float  # of all vCPUs; pages that are dirtied if it is by rates
    rated: bool = False

    @property
    def processor_ns(self) -> float:
        """Processor time in the compiled engine, log operations of the host apart."""
        return self.accesses * (DIRTIED_NS if self.rated else ACCESS_NS)


def size_of(setting: Setting) -> list[Part]:
    """Return the parts of one run of a setting: what is counted ahead first, then what is not."""
    experiment = setting.experiment
    driver = experiment.driver.script(Reporting.GET_CLEARS)
    pages, vcpus = experiment.vm.memory // PAGE, experiment.vm.vcpus
    part = MemSlot(0, pages).part(0, vcpus)[1]
    counted, parts = 0.0, []
    for phase in driver.phases:
        workload: Any = experiment.workloads.get(getattr(phase, "workload", ""))
        if isinstance(phase, Pass):
            counted += phase.pages * pages
        elif isinstance(phase, Touch):
            counted += phase.pages * pages * (vcpus if phase.overlap else 1)
        elif isinstance(phase, Run) and is_rated(workload):
            ns = float(getattr(workload, "time", 0.0))
            made = ns * vcpus * _per_ns(setting, phase, workload)
            parts.append(Part("a phase", ns, made, rated=True))
        elif isinstance(phase, Run) and workload is not None:
            counted += workload.length(max(part, round(phase.shared * pages))) * vcpus
        elif isinstance(phase, BusyPhase):
            what, ns = _lasts(phase, driver.migration, experiment.vm.memory)
            per_ns = 0.0 if workload is None else _per_ns(setting, phase, workload)
            parts.append(Part(what, ns, ns * vcpus * per_ns, is_rated(workload)))
    beside = _beside(setting, driver)
    return [Part("", 0.0, counted), *parts, *([beside] if beside is not None else [])]


def _beside(setting: Setting, driver: Driver) -> Part | None:
    """Return what guests in the background do while the host sleeps, waits or is watched."""
    again = [p for p in driver.phases if isinstance(p, GuestPhase) and p.background]
    again = [p for p in again if p.repeat or driver.windows]
    if not again:
        return None
    ns = sum(_host_times(driver)) + sum(w.after + (w.lasts or 0.0) for w in driver.windows)
    of = [setting.experiment.workloads.get(getattr(p, "workload", "")) for p in again]
    fastest = max(_per_ns(setting, p, w) for p, w in zip(again, of, strict=True))
    made = ns * setting.experiment.vm.vcpus * fastest
    return Part("guests in the background", ns, made, any(map(is_rated, of)))


def _host_times(driver: Driver) -> Iterator[float]:
    for phase in driver.phases:
        if isinstance(phase, Sleep):
            yield phase.time
        elif isinstance(phase, Scheduled):
            yield (phase.at or phase.after or 0.0) + (phase.every or 0.0) * (phase.times - 1)


def _lasts(phase: Any, migration: Migration, memory: int) -> tuple[str, float]:
    """Return what a phase of the VMM is, and how long it may last in ns."""
    copy_ns = memory / migration.bandwidth * NS["s"]
    if isinstance(phase, Checkpoint):
        period = phase.every or (phase.after or 0.0) + copy_ns
        return "checkpoints", copy_ns + phase.times * period
    if isinstance(phase, Snapshot):
        return "a snapshot", phase.lead + copy_ns + phase.tail
    if not isinstance(phase, Migrate):
        return "a phase", 0.0
    rule: Any = migration.switch_over
    rounds = min(migration.max_rounds, getattr(rule, "rounds", None) or migration.max_rounds)
    limits = (migration.max_time, migration.cancel_after, getattr(rule, "time", None))
    by_rounds = rounds * migration.first_pass_s(memory) * NS["s"]
    return "a migration", min([by_rounds, *(limit for limit in limits if limit is not None)])


def _per_ns(setting: Setting, phase: GuestPhase, workload: Any) -> float:
    """Return how many accesses a vCPU makes in a nanosecond at most; of rates, how many pages it
    dirties.
    """
    vm = setting.experiment.vm
    if isinstance(workload, OpenLoopRequests):
        return workload.touches / workload.interarrival
    if is_rated(workload):
        pages = vm.memory // PAGE
        part = MemSlot(0, pages).part(0, vm.vcpus)[1]
        return workload.dirty_after(part, pages, 0.001) / 1e6
    hit = setting.costs["t_hit_2M"].mean() + distribution(phase.think).mean()
    return 1 / max(hit, 0.1)


def described(setting: Setting) -> list[str]:
    """Return the size of a setting's runs as lines for people."""
    r = setting.experiment.replications
    runs = len(setting.experiment.policies.all) * (r.max_seeds or r.seeds)
    counted, *parts = size_of(setting)
    some = "1 run" if runs == 1 else f"{runs:,} runs"
    lines = [f"{some}; in each the guest makes {_amount(counted)} in phases of a known length"]
    lines += [
        f"and up to {_amount(part)} in {part.what}, for up to {_time(part.ns)} of guest time"
        for part in parts
    ]
    if any(part.what == "a migration" for part in parts):
        lines.append("max_time, cancel_after and max_rounds of driver.migration bound a migration")
    return lines


def _amount(part: Part) -> str:
    what = "dirtied pages" if part.rated else "accesses"
    amount = f"{show_number(round(part.accesses))} {what}"
    return f"{amount} ({_time(part.processor_ns)} of processor time)"


def _time(ns: float) -> str:
    """Write a time roughly."""
    seconds = ns / NS["s"]
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"about {seconds / size:,.3g} {unit}"
    return f"about {seconds:.2g} s" if seconds >= 0.1 else "less than 0.1 s"
