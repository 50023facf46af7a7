"""A VM driven operation by operation, and an oracle beside it that keeps a ledger of its own.

The oracle knows what was done (accesses, copies, outcomes of faults) and keeps plain sets and
counters of it; it asks no function of the model. After every single operation it compares them
with the page tables, the log and the counters.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from mmusim.base.histogram import Histogram
from mmusim.config.driver import Clear, Log, Phase, Recreate, Sync
from mmusim.costs.distributions import Distribution
from mmusim.costs.random_streams import Draws, Stream
from mmusim.engine.host.host import Host
from mmusim.engine.host_thread import OPERATIONS
from mmusim.engine.processes.page_fault import FAST, LOST_RACE, SLOW, SPURIOUS
from mmusim.engine.processes.vcpu import vcpu
from mmusim.engine.state import invariants
from mmusim.engine.state.phase_recorder import PhaseRecorder
from mmusim.engine.state.vm import Steps, Vm
from mmusim.mmu.dirty_ring import reserve
from mmusim.mmu.slot import MemSlot
from mmusim.mmu.spte import (
    CHILD,
    DIRTY,
    LOGGED,
    PRESENT,
    STALE,
    TABLE,
    TLB_READ,
    TLB_WRITE,
    WRITABLE,
)
from mmusim.plan.make import Plan, Program, make_plan
from mmusim.policies import Chosen, Large, Mmu, Reporting, Tracking
from mmusim.tests.support.settings import CONSTANT, setting
from mmusim.trace.records import Probe
from mmusim.workload.base import Accesses

REGION = 512
OFFSETS = (0, 1, 7, 8, 63, 64, 511)
"""Ends of a table, of a group that is prefetched and of a word of the bitmap."""
SPOTS = 2 * len(OFFSETS)
RING = 8
"""Entries at which a dirty ring is full: so few that full rings are the rule."""
MAPS_RW = PRESENT | WRITABLE
UNLOGGED = PRESENT | WRITABLE | DIRTY  # a write goes through and leaves no entry
TLB = TLB_READ | TLB_WRITE

PHASES: dict[str, Phase] = {
    "get": Log(do="get-dirty-log"),
    "clear": Clear(do="clear-dirty-log"),
    "clear by 64 pages": Clear.model_validate({"do": "clear-dirty-log", "chunk": "256KiB"}),
    "clear by 256 pages": Clear.model_validate({"do": "clear-dirty-log", "chunk": "1MiB"}),
    "sync": Sync(do="sync-dirty-log"),
    "sync by 64 pages": Sync.model_validate({"do": "sync-dirty-log", "chunk": "256KiB"}),
    "sync by 256 pages": Sync.model_validate({"do": "sync-dirty-log", "chunk": "1MiB"}),
    "harvest": Log(do="harvest-ring"),
    "enable": Log(do="enable-logging"),
    "disable": Log(do="disable-logging"),
    "recreate, logging": Recreate(do="recreate-slot"),
    "recreate": Recreate(do="recreate-slot", logging=False),
}
MANUAL = (Reporting.MANUAL_CLEAR, Reporting.ALL_SET)
Access = tuple[int, bool]  # gfn, is it a write?


class SharedDraws(Draws):
    """Streams are functions of names and indices: VMs of one seed can share them."""

    def __init__(self, draws: Draws) -> None:
        self._draws = draws
        self._kept: dict[Any, Stream] = {}

    def restart(self) -> None:
        """Nothing is counted here."""

    def stream(self, purpose: str, actor: int, distribution: Distribution) -> Stream:
        key = purpose, actor, distribution
        if key not in self._kept:
            self._kept[key] = self._draws.stream(*key)
        return self._kept[key]


@cache
def base_plan(constant: bool) -> Plan:
    made = setting([{"do": "write"}], vcpus=2, costs=CONSTANT if constant else None)
    plan = make_plan(made, "eager-drop", 1)
    return dataclasses.replace(plan, draws=SharedDraws(plan.draws))


def small_vm(
    chosen: Chosen,
    *,
    regions: int = 2,
    backing: int = 2,
    cached: bool = True,
    nx: bool = False,
    constant: bool = True,
    keeps_mmu_writable: bool = False,
) -> Plan:
    """A VM of two vCPUs and a few regions; with `nx` the last region is executed from."""
    plan = base_plan(constant)
    rings = chosen.choices.reporting is Reporting.DIRTY_RING
    switch = {"all_set_keeps_mmu_writable": keeps_mmu_writable}
    return dataclasses.replace(
        plan,
        chosen=chosen,
        slot=MemSlot(0, regions * REGION),
        slots=(),
        pages=regions * REGION,
        backing=backing,
        keep_child=cached and chosen.choices.mmu is not Mmu.TDP,
        executable=(regions - 1,) if nx else (),
        ring_entries=RING + reserve(chosen.choices.tracking is Tracking.PML) if rings else 0,
        driver=plan.driver.model_copy(update=switch),
    )


class Outcomes:
    """Stands where the fingerprint of the trajectory is: keeps how each fault ended."""

    def __init__(self) -> None:
        self.faults: list[int] = []

    def add(self, *numbers: int) -> None:
        if len(numbers) == 4:  # time, vCPU, index of the access, outcome
            self.faults.append(numbers[3])


class Witness(Probe):
    """Write counters per page at the source and at the destination."""

    def __init__(self) -> None:
        self.source, self.destination = Counter[int](), Counter[int]()
        self.missing: set[int] = set()  # pages that the destination never had
        self.done: dict[int, list[Access]] = {}
        self.sent: set[int] = set()

    def accessed(self, cpu: int, gfns: list[int], writes: list[bool], end_ns: int) -> None:
        del end_ns
        self.done.setdefault(cpu, []).extend(zip(gfns, writes, strict=True))
        self.source.update(gfn for gfn, write in zip(gfns, writes, strict=True) if write)

    def copied(self, gfns: list[int]) -> None:
        self.sent.update(gfns)
        self.missing.difference_update(gfns)
        for gfn in self.source.keys() & self.sent.intersection(gfns):
            self.destination[gfn] = self.source[gfn]

    def unsent(self) -> set[int]:
        """Pages of which the destination has an old version, or none."""
        return self.missing | {g for g, n in self.source.items() if self.destination[g] != n}


class NoHistogram(Histogram):
    """Nobody asks for latencies here, and they take as long as a fault."""

    def add(self, latencies: object) -> None:
        del latencies


@cache
def program(accesses: tuple[Access, ...], first: int) -> Program:
    gfns, writes = zip(*accesses, strict=True)
    return Program(Accesses(np.array(gfns, np.int64), np.array(writes, np.bool_)), first, None)


class Stepwise:
    """A VM, its host thread and the oracle. Every public method is one operation, checked."""

    def __init__(self, plan: Plan, run_limit: int = 1 << 16) -> None:
        self.witness, self.outcomes = Witness(), Outcomes()
        self.vm = Vm(plan, run_limit, self.witness)
        self.vm.fingerprint = self.outcomes  # type: ignore[assignment]
        self.host = Host(self.vm)
        self.recorder = PhaseRecorder(plan.pages)
        self.recorder.reads = self.recorder.writes = NoHistogram()
        for v in self.vm.vcpus:
            v.recorder = self.recorder
        c, self.tracks = plan.choices, plan.policy.tracks
        self.everything = set(range(plan.pages))
        self.log: set[int] = set()  # what the log must say, no more and no less
        self.outdated: set[int] = set()  # in a ring since before logging ended
        self.got = False  # user space has a bitmap, maybe an old one
        self.written_regions: set[int] = set()  # D is set in the guest's own tables
        self.granted: dict[int, set[Access]] = {}  # what must not fault again, by region
        self.all_set = c.reporting is Reporting.ALL_SET
        self.shadow = c.mmu is Mmu.SHADOW
        deferred = c.large in (Large.DEFERRED, Large.EAGER_SPLIT)
        modern = c.mmu is Mmu.TDP and plan.kernel.release >= (6, 2)
        self.splits = c.large is Large.SPLIT_ON_FAULT or (modern and deferred)
        self.steps = 0
        self.record: dict[str, Any] = {}
        self.history: list[str] = []
        self.broken = False

    # --- operations ------------------------------------------------------------------------------

    def spot(self, number: int) -> int:
        """One of a few pages; there are so few that collisions are the rule."""
        regions = self.vm.plan.pages // REGION
        return number % regions * REGION + OFFSETS[number // 2 % len(OFFSETS)]

    def legal(self, asked: str) -> str:
        """What the policy has of what is asked for."""
        way, op = self.vm.plan.choices.reporting, asked.split(" by ")[0]
        if op.startswith("recreate"):
            return asked
        if not self.vm.tracked and self.tracks:
            return "enable"
        if op == "enable":
            return "sync"
        if op == "get" and way is Reporting.DIRTY_RING:
            return "harvest"
        if op == "clear" and (way not in MANUAL or not self.got):
            return "sync" + asked.removeprefix("clear")
        if op == "harvest" and way is not Reporting.DIRTY_RING:
            return "get"
        return asked

    def touch(self, cpu: int, gfn: int, write: bool) -> None:
        """One access, by one vCPU, while nobody else does anything."""
        self._checked(f"vCPU {cpu} {'writes' if write else 'reads'} {gfn}",
                      lambda: self._touch(cpu, gfn, write))  # fmt: skip

    def operate(self, asked: str) -> None:
        """One log operation, while nobody else does anything."""
        op = self.legal(asked)
        self._checked(op, lambda: self._operate(op))

    def race(self, programs: Sequence[Sequence[Access]], asked: str, delay: int) -> None:
        """Two vCPUs, and a log operation that begins some time after them."""
        op = self.legal("sync" if asked.startswith("recreate") else asked)  # not while guests run
        told = f"{op} after {delay} ns beside {[list(p) for p in programs]}"
        self._checked(told, lambda: self._race(programs, op, delay))

    def _checked(self, told: str, act: Callable[[], None]) -> None:
        self.history.append(told)
        self.witness.done.clear()
        self.witness.sent.clear()
        self.outcomes.faults.clear()
        before = self.vm.table.stat.copy()
        try:
            act()
            self._conserve(before)
            self.check(told_by_the_model=not told.startswith("vCPU"))
        except Exception as error:
            self.broken = True
            plan, steps = self.vm.plan, "\n  ".join(self.history[-40:])
            error.add_note(
                f"{plan.policy.name} in {plan.kernel.name} ({plan.choices}), {plan.backing=}, "
                f"{plan.keep_child=}, {plan.executable=}; the last steps:\n  {steps}"
            )
            raise
        self.steps += 1

    def _start(self, programs: Sequence[Sequence[Access]]) -> list[Any]:
        started = []
        for v, accesses in zip(self.vm.vcpus, programs, strict=True):
            if accesses:
                steps = vcpu(self.vm, v, program(tuple(accesses), self.steps % 1024), iter(()))
                v.process = self.vm.env.process(steps)
                started.append(v.process)
        return started

    def _join(self, processes: list[Any], programs: Sequence[Sequence[Access]]) -> None:
        for process in processes:
            self.vm.env.run(until=process)
        for v, accesses in zip(self.vm.vcpus, programs, strict=True):
            v.process = None
            done = self.witness.done.get(v.number, [])
            assert done == list(accesses), "not every access happened once and in order"
            self.written_regions.update(gfn >> 9 for gfn, write in accesses if write)

    def _operation(self, op: str, delay: int = 0) -> Steps:
        vm, host = self.vm, self.host
        if delay:
            yield vm.spend(delay)
        started, host.spent, self.record = vm.now, {}, {}
        was_tracked = vm.tracked
        yield from OPERATIONS[PHASES[op].do](vm, host, PHASES[op], self.record)
        assert sum(host.spent.values()) == vm.now - started, "what is spent is not the time"
        assert vm.tracked == (op not in ("disable", "recreate") and self.tracks)
        if self.all_set and not was_tracked and op == "enable" and self.tracks:
            self.witness.missing = set(self.everything)
        self.got |= op.startswith(("get", "sync"))
        if op in ("disable", "recreate", "recreate, logging"):  # rings keep what they had
            self.outdated |= {g for v in vm.vcpus if v.ring is not None for g in v.ring.entries}

    # --- what one operation must do --------------------------------------------------------------

    def _touch(self, cpu: int, gfn: int, write: bool) -> None:
        vm, programs = self.vm, ([(gfn, write)], []) if cpu == 0 else ([], [(gfn, write)])
        stat, dirty_region = vm.counters(), gfn >> 9 in self.written_regions or write
        self._join(self._start(programs), programs)
        faults = list(self.outcomes.faults)
        granted = self.granted.setdefault(gfn >> 9, set())
        rearmed = vm.counters()["ring_fulls"] - stat["ring_fulls"]  # the page itself, maybe
        assert len(faults) <= ((gfn, write) not in granted) + rearmed, "a fault repaired nothing"
        if rearmed:
            self.granted.clear()
            granted = self.granted.setdefault(gfn >> 9, set())
        assert set(faults) <= {FAST, SLOW}, "a lone fault loses no race and is never spurious"
        if SLOW in faults:
            granted.clear()  # what was mapped large may be gone
        granted |= {(gfn, write), (gfn, False)}
        maps_writable = SLOW in faults and (dirty_region or not self.shadow)
        if vm.tracked and (write or maps_writable):
            self.log.add(gfn)
        now = vm.counters()
        change = {name: now[name] - stat[name] for name in now}
        if vm.tracked:
            self._dropped_or_split(change, faults)
        assert change["pages_2m"] <= bool(faults)

    def _dropped_or_split(self, change: dict[str, int], faults: list[int]) -> None:
        """Domain G.3 and C.4: in a tracked slot a fault maps one page, or splits."""
        assert change["pages_2m"] in (0, -1), "a large spte was installed in a tracked slot"
        if change["pages_2m"] and self.splits:
            assert (change["pages_4k"], change["tables"]) == (512, 1)
            assert change["remote_tlb_flush_requests"] == bool(change["ring_fulls"])
        elif change["pages_2m"]:
            assert change["pages_4k"] in (0, 1)
            assert change["remote_tlb_flush_requests"] >= 1
        else:
            most = 8 if self.shadow else 1  # clean guest mappings are read-only: others join
            assert 0 <= change["pages_4k"] <= most * (SLOW in faults)

    def _read(self) -> set[int]:
        """The gfns that the last get returned, where clears are separate."""
        slot = self.vm.plan.slot
        return set(slot.gfns(np.flatnonzero(self.host.bitmap)).tolist())

    def _operate(self, op: str) -> None:
        vm, log, unsent = self.vm, set(self.log), self.witness.unsent()
        bitmap = self._read()
        self.vm.env.run(until=vm.env.process(self._operation(op)))
        self.granted.clear()
        way, sent = vm.plan.choices.reporting, self.witness.sent
        op = op.split(" by ")[0]
        if op in ("enable", "recreate", "recreate, logging"):
            fills = self.all_set and vm.tracked
            self.log = set(self.everything) if fills else set()
            everything = op != "enable" or (vm.tracked and not self.all_set)
            assert sent == (self.everything if everything else set())
        elif op == "disable":
            self.log = set()
            assert not sent
        elif op == "clear":
            assert sent == log & bitmap
            self.log = log - bitmap
        elif not vm.tracked:
            assert not sent
        elif op == "get" and way in MANUAL:
            assert self._read() == log
            assert not sent
        else:
            assert sent == log, "reported is not what the log must say"
            self.log = set()
        if op in ("get", "sync", "harvest") and vm.tracked:
            assert unsent <= log, "a page was written and is not reported"
            assert self.record["false_dirty"] == len(log - unsent)
            if way is not Reporting.DIRTY_RING:
                assert self.record["dirty"] == len(log)

    def _race(self, programs: Sequence[Sequence[Access]], op: str, delay: int) -> None:
        vm, before = self.vm, set(self.log)
        host = vm.env.process(self._operation(op, delay))
        self._join([*self._start(programs), host], programs)
        self.granted.clear()
        self.log = pages_with(vm.table.page, LOGGED)  # the order of events decides
        touched = {gfn for accesses in programs for gfn, _ in accesses}
        filled = self.everything if self.all_set and op == "enable" else set()
        assert self.log <= before | touched | filled, "a page is logged that nobody touched"

    # --- what holds at every rest ----------------------------------------------------------------

    def _conserve(self, before: Any) -> None:
        """Domain G.3: every fault taken ended in one of the ways there are."""
        names = ("pf_taken", "pf_fixed", "pf_fast", "pf_spurious")
        now, faults = self.vm.counters(), Counter(self.outcomes.faults)
        then = dict(zip(now, before.tolist(), strict=True))
        taken, fixed, fast, spurious = (now[name] - then[name] for name in names)
        assert taken == fixed + spurious + faults[LOST_RACE]
        assert taken == sum(faults.values())
        assert (fast, fixed) == (faults[FAST], faults[FAST] + faults[SLOW])
        assert spurious == faults[SPURIOUS]

    def check(self, told_by_the_model: bool) -> None:
        """Legality, no lost write, conservation, and that nobody holds or waits for anything.

        What the model itself checks at the end of a run is asked for after host operations only:
        it costs as much as all the rest.
        """
        vm, t = self.vm, self.vm.table
        page, region, stat = t.page, t.region.tolist(), vm.counters()
        logged, unsent = pages_with(page, LOGGED), self.witness.unsent()
        assert logged == self.log, "the log is not what was written and mapped"
        assert pages_with(page, STALE) == unsent
        if vm.tracked:
            if told_by_the_model:
                invariants.check(vm)
            assert unsent <= logged, "lost write"
            assert self._unlogged() <= logged, "writable and unlogged"
            if not self.all_set or vm.plan.choices.large is Large.READ_ONLY:
                assert not any(e & MAPS_RW == MAPS_RW for e in region), "LARGE_RW while tracked"
        else:
            assert not logged
        present = np.count_nonzero(page & PRESENT)
        orphans = 0 if vm.guest is None else int(vm.guest.orphans.sum())
        assert stat["pages_4k"] == present + orphans
        assert stat["pages_2m"] == sum(e & PRESENT for e in region)
        assert stat["pages_1g"] == 0
        assert stat["tables"] == sum(bool(e & CHILD) for e in region)
        assert min(stat.values()) >= 0
        for number, entry in enumerate(region):
            assert not (entry & PRESENT and entry & TABLE), "a leaf and a table at once"
            assert entry & CHILD or not entry & TABLE, "a table that does not exist is linked"
            if not entry & CHILD:
                below = page[number * REGION : (number + 1) * REGION]
                assert not (below & PRESENT).any(), "an spte in no table"
        assert not vm.taken_back, "a TLB was not flushed"
        assert not (page & TLB).any()
        assert not any(e & TLB for e in region)
        assert not vm.lock.holders
        assert not vm.slots_lock.holders
        assert not vm.frozen
        queue_ns = vm.lock.queue_exclusive_ns, vm.lock.queue_shared_ns
        assert queue_ns == tuple(w.total_ns for w in vm.waits_for_lock())
        assert sum(self.recorder.ledger) == self.recorder.vcpu_ns, "the ledger is not the time"
        for v in vm.vcpus:
            busy = (v.in_guest, v.handling, v.pml, v.grace, v.waits_for, v.ack)
            assert not any(busy), f"vCPU {v.number} is not at rest: {busy}"
            if v.ring is not None:
                entries = set(v.ring.entries)
                assert entries <= logged | self.outdated, "the ring says more than the log"

    def _unlogged(self) -> set[int]:
        """Pages that the guest could write now without a trace."""
        page = self.vm.table.page
        found: set[int] = set()
        for number, entry in enumerate(self.vm.table.region.tolist()):
            first = number * REGION
            if entry & UNLOGGED == UNLOGGED:
                found.update(range(first, first + REGION))
            elif entry & TABLE:
                below = page[first : first + REGION] & UNLOGGED == UNLOGGED
                found.update((first + np.flatnonzero(below)).tolist())
        return found


def pages_with(page: Any, bit: int) -> set[int]:
    return set(np.flatnonzero(page & bit).tolist())
