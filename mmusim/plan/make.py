"""A plan: a setting of an experiment, a policy and a seed, made concrete."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmusim.actors import Actor
from mmusim.base.errors import ConfigError, MisfitError
from mmusim.base.units import PAGE
from mmusim.config.cost import distribution
from mmusim.config.driver import Driver, Pass, Phase, Run, Touch
from mmusim.config.guest_memory import memslots
from mmusim.config.phase import BusyPhase
from mmusim.config.settings import Setting
from mmusim.config.tlb import reach_of
from mmusim.config.workloads import WorkloadFile
from mmusim.costs.distributions import Constant, Distribution
from mmusim.costs.hits import HitCurve, Tables
from mmusim.costs.machine import Machine
from mmusim.costs.random_streams import Draws, Stream
from mmusim.mmu.slot import MemSlot
from mmusim.plan.levels import Costs, costs_of_vcpus
from mmusim.policies import Choices, Chosen, Kernel, Mmu, Policy, Reporting
from mmusim.vmm import NEWEST_QEMU, Qemu
from mmusim.workload.base import Accesses, Pattern
from mmusim.workload.page_pass import PagePass
from mmusim.workload.points import NEVER
from mmusim.workload.rates import Points, RatedPattern, is_rated

LAPS: Final = 1 << 40
"""Start of the numbers of accesses in laps, for each phase that has laps."""
NO_ACCESSES: Final = Accesses(np.zeros(0, np.int64), np.zeros(0, np.bool_))


class Program(NamedTuple):
    """What one vCPU does in one phase, or in one lap of it."""

    accesses: Accesses
    first: int  # index of its first access among all accesses of the vCPU
    think: Stream | None  # guest work before each access, by that index
    points: Points | None = None  # in the place of accesses, where the guest is given by rates
    pages: int = 0  # that it can touch, at most
    tables: Tables | None = None  # what its hits take; None: what the plan's costs say


class Interference(NamedTuple):
    """Something that the host does from time to time on the processor of every vCPU."""

    every: Distribution
    lasts: Distribution


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that a run needs, with all random decisions. Engines draw nothing else.

    Costs are looked up by the act and not by the time. So plans of one seed give a paired
    comparison of two policies.
    """

    vcpus: int
    slot: MemSlot  # the memory that logs: one memslot, or several that follow each other
    pages: int  # all memory of the VM in 4 KiB pages; the slot and what lies beside it
    backing: int  # level of the host's own mappings: 1, 2 or 3
    chosen: Chosen  # policy, kernel and a value on every axis
    keep_child: bool  # tables that a large spte replaced stay hashed
    driver: Driver
    patterns: tuple[Pattern | RatedPattern | None, ...]  # (phases,)
    costs: Costs
    draws: Draws
    seed: int
    ring_entries: int = 0  # of each vCPU's dirty ring; 0 is a bitmap
    interference: tuple[Interference, ...] = ()
    actors: tuple[Actor, ...] = ()  # threads of the host that other packages define
    slots: tuple[MemSlot, ...] = ()  # the parts of `slot`, ascending; none: it is one memslot
    prefaulted: bool = True  # the host has memory for all pages before the guest touches them
    preemptible: bool = False  # the kernel notices waiters and gives mmu_lock to them
    need_resched_ns: int = 0  # how often another task wants the host thread's processor; 0: never
    emulatorpin: int | None = None  # the vCPU whose processor the host thread has; None: its own
    halt_poll_ns: int = 0  # how long the host polls before a vCPU that has halted gives way
    tlb: tuple[int, int, int] | None = None  # entries for 4 KiB, 2 MiB, 1 GiB; None: no limit
    executable: tuple[int, ...] = ()  # regions that the NX mitigation keeps small
    qemu: Qemu = NEWEST_QEMU
    machine: Machine | None = None  # None: no vCPU slows another down
    curve: HitCurve | None = None  # None: hits depend neither on pages in use nor on exits
    own_costs: tuple[Costs, ...] = ()  # (vCPUs,) where they differ; none: all have `costs`
    _before: dict[int, list[int]] = field(default_factory=dict, init=False, compare=False)

    def costs_of(self, cpu: int) -> Costs:
        """Return the costs of a vCPU."""
        return self.own_costs[cpu] if self.own_costs else self.costs

    @property
    def policy(self) -> Policy:
        """The policy, with decisions about sptes."""
        return self.chosen.policy

    @property
    def kernel(self) -> Kernel:
        """The release of Linux."""
        return self.chosen.kernel

    @property
    def log_slots(self) -> tuple[MemSlot, ...]:
        """The memslots, each with a log of its own, from the lowest on."""
        return self.slots or (self.slot,)

    @property
    def choices(self) -> Choices:
        """A value on every axis."""
        return self.chosen.choices

    def program(self, phase: int, cpu: int, lap: int = 0) -> Program:
        """Return what vCPU `cpu` does in a phase; the same at every call.

        Beside a VMM that works, and where a phase repeats, this is one lap. The number of laps is
        unknown beforehand, so their accesses have numbers far away from those of other phases.
        """
        pattern: Any = self.patterns[phase]
        assert pattern is not None, f"vCPUs do nothing in phase {phase}"
        spec = self.driver.phases[phase]
        assert isinstance(spec, (Pass, Run, Touch, BusyPhase))
        base_gfn, pages = self._part(phase, cpu)
        if lap or isinstance(spec, BusyPhase):
            name, first = f"{phase}.{lap}", LAPS * (phase + 1) + lap * pattern.length(pages)
        else:
            name, first = f"{phase}", self.accesses_before(phase, cpu)
        numbers = self.draws.numbers(name, cpu)
        if is_rated(pattern):
            rates = pattern.rates(pages, self.slot.npages, numbers)
            if isinstance(spec, BusyPhase):
                rates = rates._replace(lasts_ns=NEVER)  # until the VMM has finished
            key = self.draws.key(f"points{name}", cpu)
            return Program(NO_ACCESSES, first, None, Points(rates, key, base_gfn, pages))
        think = distribution(spec.think)
        accesses = pattern.accesses(base_gfn, pages, numbers)
        common = self._common(phase)
        if common:  # the first pages are those of all; a vCPU's own lie behind them
            own = np.where(accesses.gfn - base_gfn < common, 0, cpu * (pages - common))
            accesses = accesses._replace(gfn=accesses.gfn + own, in_a_row=False)
        return Program(
            accesses, first,
            None if think == Constant(0.0) else self.draws.stream("t_think", cpu, think),
            pages=min(pages, len(accesses.gfn)),
            tables=self._tables(accesses.gfn, None if lap else pages),
        )  # fmt: skip

    def _tables(self, gfns: NDArray[np.int64], before: int | None) -> Tables | None:
        return None if self.curve is None else self.curve.tables_of(gfns, before)

    def arrivals_ns(self, phase: int, cpu: int, lap: int) -> NDArray[np.int64]:
        """Return when the requests of a lap beside a VMM that works arrive, from its beginning."""
        pattern: Any = self.patterns[phase]
        return np.asarray(pattern.arrivals_ns(self.draws.numbers(f"{phase}.{lap}", cpu)))

    def _part(self, phase: int, cpu: int) -> tuple[int, int]:
        """Return the first gfn of a vCPU's memory in a phase, and its number of pages."""
        spec = self.driver.phases[phase]
        if isinstance(spec, Touch) and spec.overlap:
            return self.slot.base_gfn, self.slot.npages
        common = self._common(phase)
        if common:
            share = (self.slot.npages - common) // self.vcpus
            return self.slot.base_gfn, common + share
        return self.slot.part(cpu, self.vcpus)

    def overlaps(self, phase: int) -> bool:
        """Tell whether vCPUs touch the same pages in a phase."""
        return getattr(self.driver.phases[phase], "overlap", False) or self._common(phase) > 0

    def _common(self, phase: int) -> int:
        """How many pages all vCPUs share in a phase, apart from passes that overlap."""
        return round(getattr(self.driver.phases[phase], "shared", 0.0) * self.slot.npages)

    @property
    def has_rates(self) -> bool:
        """Whether the guest is given by rates in some phase."""
        return any(is_rated(pattern) for pattern in self.patterns)

    def accesses(self) -> int | None:
        """Return the number of accesses of all vCPUs; None if it is unknown."""
        if self.has_rates or any(
            isinstance(p, BusyPhase) or getattr(p, "repeat", False) for p in self.driver.phases
        ):
            return None
        return sum(self.accesses_before(len(self.patterns), cpu) for cpu in range(self.vcpus))

    def accesses_before(self, phase: int, cpu: int) -> int:
        """Number of accesses of a vCPU in earlier phases, without those beside a VMM that works."""
        known = self._before.setdefault(cpu, [0])
        for n in range(len(known) - 1, phase):
            pattern, busy = self.patterns[n], isinstance(self.driver.phases[n], BusyPhase)
            length = 0 if pattern is None or busy else pattern.length(self._part(n, cpu)[1])
            known.append(known[n] + length)
        return known[phase]


def make_plan(setting: Setting, policy: Policy | str, seed: int) -> Plan:
    """Make a setting concrete for a policy and a seed.

    Raises
    ------
    ConfigError
        If no policy has that name, if it does not fit the setting, or if the guest does nothing
        in a phase.
    """
    e = setting.experiment
    try:
        chosen = e.chosen(policy)
    except MisfitError as misfit:
        raise misfit.complaint(e.id) from None
    driver = e.driver.script(chosen.choices.reporting).in_turns()
    driver = e.vmm.limits(driver) if e.vmm else driver
    rings, pages = chosen.choices.reporting is Reporting.DIRTY_RING, e.vm.memory // PAGE
    draws = Draws(seed, e.replications.scheme, chosen.policy.name)
    costs, own_costs = costs_of_vcpus(setting, draws)
    least = MemSlot(0, pages).part(e.vm.vcpus - 1, e.vm.vcpus)[1]
    return Plan(
        vcpus=e.vm.vcpus,
        slot=MemSlot(0, pages),
        pages=pages,
        backing=e.vm.level,
        chosen=chosen,
        keep_child=e.vm.cached_child_tables and chosen.choices.mmu is not Mmu.TDP,
        driver=driver,
        patterns=tuple(_pattern(setting, phase, least) for phase in driver.phases),
        costs=costs,
        own_costs=own_costs,
        draws=draws,
        seed=seed,
        ring_entries=e.driver.dirty_ring_size if rings else 0,
        interference=tuple(
            Interference(distribution(rare.every), distribution(rare.lasts))
            for rare in e.host.interference
        ),
        actors=tuple(table.actor() for table in e.host.actors),
        slots=memslots(e.vm.slots, e.vm.memory),
        prefaulted=e.vm.prefaulted,
        preemptible=chosen.kernel.gives_way_to_waiters(e.vm.preemption, e.vm.preempt_dynamic),
        need_resched_ns=round(e.host.need_resched or 0),
        emulatorpin=e.host.emulatorpin,
        halt_poll_ns=round(e.host.halt_poll),
        tlb=reach_of(e.host.tlb, pages),
        executable=e.vm.kept_small,
        qemu=e.qemu,
        machine=None if setting.machine is None else setting.machine.model(),
        curve=setting.curve,
    )


def _pattern(setting: Setting, phase: Phase, share: int) -> Pattern | RatedPattern | None:
    if isinstance(phase, Run) or (isinstance(phase, BusyPhase) and phase.workload):
        workload = setting.experiment.workloads[phase.workload]
        assert not isinstance(workload, WorkloadFile), "settings have no references to files"
        pattern: Pattern | RatedPattern = workload
        if is_rated(pattern):
            _check_rates(setting, phase, pattern)
    elif isinstance(phase, Pass):
        pattern = PagePass(writes=phase.do == "write", pages=phase.pages, order=phase.order)
    elif isinstance(phase, Touch):
        pattern = PagePass(writes=phase.writes, pages=phase.pages, order=phase.order)
    else:
        return None
    if pattern.length(share) == 0:
        raise ConfigError.of(
            "driver", phase.do, None, "is a phase in which no vCPU touches a page",
            "raise its share of pages",
        )  # fmt: skip
    return pattern


def _check_rates(setting: Setting, phase: Run | BusyPhase, pattern: RatedPattern) -> None:
    """Refuse what a guest that is given by rates does not have.

    Raises
    ------
    ConfigError
        If the phase has think time or shared pages, or the rate is more than its pages allow.
    """
    key, name = getattr(phase, "do", ""), phase.workload
    if distribution(phase.think) != Constant(0.0):
        raise ConfigError.of(
            "driver", f"{key}.think", None, f"goes with accesses, and workload {name!r} has rates",
            "drop it: guest time passes between accesses anyway",
        )  # fmt: skip
    if phase.shared:
        raise ConfigError.of(
            "driver", f"{key}.shared", f"{phase.shared:.6%}",
            f"is not known of workload {name!r}, whose rates are those of each vCPU's own pages",
            "drop it",
        )  # fmt: skip
    rule = pattern.complaint(setting.experiment.vm.memory // PAGE)
    if rule is not None:
        raise ConfigError.of(
            "workloads", f"{name}.dirty_rate", None, rule, "lower it, or raise working_set or over"
        )
