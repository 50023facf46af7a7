"""What is true of every run, whatever the policy, the workload or the seed."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Callable, Generator
from typing import Any

import numpy as np
import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from mmusim.base.errors import DeadlockError, InvariantError, LivelockError, LostWriteError
from mmusim.config.driver import Pass
from mmusim.costs.distributions import Constant, Distribution, Gamma
from mmusim.costs.random_streams import costs, stream_key
from mmusim.engine import simulate
from mmusim.engine.processes import page_fault, vcpu
from mmusim.engine.state import fifo_lock, invariants
from mmusim.engine.state.mmu_lock import SpinLock
from mmusim.engine.state.vm import Vm
from mmusim.mmu import fault as mmu_fault
from mmusim.mmu import slot as mmu_slot
from mmusim.mmu.spte import LOGGED, STALE
from mmusim.plan.make import Plan, make_plan
from mmusim.policies import Policy
from mmusim.stats import mean_interval
from mmusim.tests.support.settings import CONSTANT, BusyRun, busy_setting, setting, with_program
from mmusim.trace.records import Probe
from mmusim.vocabulary.causes import CAUSES
from mmusim.workload.base import Accesses
from mmusim.workload.page_pass import PagePass

Plans = Callable[[Policy | str, int], Plan]
PAGES = 512


class LockLog(Probe):
    def __init__(self) -> None:
        self.rows: list[tuple[int, int, int, int]] = []

    def locked(self, who: int, asked_ns: int, got_ns: int, released_ns: int, shared: bool) -> None:
        self.rows.append((who, asked_ns, got_ns, released_ns))


# --- the lock ----------------------------------------------------------------------------------


def test_littles_law_holds_as_an_identity(busy_run: BusyRun) -> None:
    """L = lambda W (Little 1961): the area under the queue is the time spent waiting in it.

    The lock measures the left side, the waiters the right side; time is an integer and the lock
    ends empty, so there is no tolerance.
    """
    trace = busy_run.trace
    assert trace.lock.queue_ns == trace.lock.wait_ns
    if busy_run.policy in ("eager-drop", "lazy-drop", "dirty-ring"):
        assert trace.lock.wait_ns > 0, "nobody ever waited: the test shows nothing"


def test_littles_law_notices_an_uncounted_waiter(
    plans: Plans, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control: a lock that forgets to account before a hand-off breaks the identity."""
    account = fifo_lock.account

    def forgetful(lock: Any) -> None:
        if len(lock._held_ns[0]) % 2:
            account(lock)

    monkeypatch.setattr(fifo_lock, "account", forgetful)
    trace = simulate(plans("eager-drop", 1))
    assert trace.lock.queue_ns != trace.lock.wait_ns


def is_first_come_first_served(rows: list[tuple[int, int, int, int]]) -> bool:
    asked = [row[1] for row in sorted(rows, key=lambda row: row[2])]
    return asked == sorted(asked)


def test_the_lock_serves_first_come_first_served(plans: Plans) -> None:
    log = LockLog()
    simulate(plans("eager-drop", 2), probe=log)
    assert any(got > asked for _, asked, got, _ in log.rows)
    assert is_first_come_first_served(log.rows)


def test_a_stack_in_place_of_the_queue_is_noticed(
    plans: Plans, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control: last come first served keeps Little's law and breaks the order."""
    grant = fifo_lock.grant

    def stacked(lock: Any, delay: int) -> None:
        queue, first = lock.queue, lock.queue_first
        last = (first + lock.queue_n - 1) % len(queue)
        queue[first], queue[last] = queue[last], queue[first]
        grant(lock, delay)

    monkeypatch.setattr(fifo_lock, "grant", stacked)
    log = LockLog()
    trace = simulate(plans("eager-drop", 2), probe=log)
    assert trace.lock.queue_ns == trace.lock.wait_ns
    assert not is_first_come_first_served(log.rows)


def idle_while_wanted(rows: list[tuple[int, int, int, int]]) -> int:
    """Nanoseconds for which nobody held the lock although somebody waited for it."""
    rows = sorted(rows, key=lambda row: row[2])
    gaps = itertools.pairwise(rows)
    return sum(max(0, now[2] - max(before[3], now[1])) for before, now in gaps)


def test_the_lock_conserves_work(plans: Plans) -> None:
    """It is never idle while somebody waits, but on its way to the next holder."""
    log = LockLog()
    trace = simulate(plans("eager-drop", 3), probe=log)
    assert idle_while_wanted(log.rows) == trace.lock.handoff_ns > 0
    late = [(who, asked, got + (got > asked), out) for who, asked, got, out in log.rows]
    assert idle_while_wanted(late) > trace.lock.handoff_ns, "negative control: 1 ns shows"


@pytest.mark.parametrize(
    ("service", "wait"),
    [
        pytest.param(Constant(700.0), 0.7 * 700 / (2 * 0.3), id="M/D/1"),
        pytest.param(Gamma(700.0, 1.0), 0.7 * 700 / 0.3, id="M/M/1"),
    ],
)
def test_the_lock_waits_as_queueing_theory_says(service: Distribution, wait: float) -> None:
    """Poisson arrivals at load 0.7: the mean wait is rho S (1 + cv^2) / (2 (1 - rho))."""
    means = [mean_wait(service, seed) for seed in range(24)]
    interval = mean_interval(means, 0.999)
    assert wait in interval, interval
    assert 1.15 * wait not in interval, "negative control: the interval is not all-embracing"


def mean_wait(
    service: Distribution, seed: int, customers: int = 12_000, warm: int = 2_000
) -> float:
    env = simpy.Environment()
    lock = SpinLock(env, "mmu_lock")
    gaps = costs(Gamma(1000.0, 1.0), stream_key(seed, "gap"), 0, customers).tolist()
    holds = costs(service, stream_key(seed, "hold"), 0, customers).tolist()
    waits: list[int] = []

    def customer(number: int):  # type: ignore[no-untyped-def]
        asked = int(env.now)
        granted = lock.acquire(number)
        if granted is not None:
            yield granted
        waits.append(int(env.now) - asked)
        yield env.timeout(holds[number])
        lock.release(number)

    def arrivals() -> Generator[simpy.Event, Any, None]:
        for number, gap in enumerate(gaps):
            yield env.timeout(gap)
            env.process(customer(number))

    env.process(arrivals())
    env.run()
    return float(np.mean(waits[warm:]))


def test_the_lock_refuses_misuse() -> None:
    lock = SpinLock(simpy.Environment(), "mmu_lock")
    assert lock.acquire(1) is None
    with pytest.raises(RuntimeError, match="actor 1 takes mmu_lock, which it holds already"):
        lock.acquire(1)
    with pytest.raises(RuntimeError, match="actor 2 releases mmu_lock, which 1 holds"):
        lock.release(2)


# --- the ledger --------------------------------------------------------------------------------


def test_the_ledger_sums_to_the_vcpus_time(busy_run: BusyRun) -> None:
    guest = [phase for phase in busy_run.trace.phases if phase.guest]
    assert guest
    for phase in guest:
        assert sum(phase.ledger.values()) == phase.vcpu_ns
        assert set(phase.ledger) == set(CAUSES)


def test_every_access_is_counted_once(busy_run: BusyRun) -> None:
    _, plan, trace = busy_run
    for number, phase in enumerate(trace.phases):
        if phase.guest:
            programs = [plan.program(number, cpu).accesses for cpu in range(plan.vcpus)]
            writes = sum(int(program.write.sum()) for program in programs)
            assert phase.writes.count == writes
            assert phase.reads.count == sum(len(program.gfn) for program in programs) - writes


def test_faults_are_conserved(busy_run: BusyRun) -> None:
    """pf_taken = pf_fixed + pf_spurious + lost races; pf_fast counts within pf_fixed."""
    counters = busy_run.trace.counters
    assert counters["pf_taken"] >= counters["pf_fixed"] + counters["pf_spurious"]
    assert counters["pf_fixed"] >= counters["pf_fast"]


def test_doubling_every_time_doubles_every_time() -> None:
    once = setting(QUIET, costs=CONSTANT)
    doubled = {name: f"{2 * int(cost[:-2])}{cost[-2:]}" for name, cost in CONSTANT.items()}
    twice = setting(QUIET, costs=doubled)
    a, b = (simulate(make_plan(c, "lazy-drop", 1)) for c in (once, twice))
    assert [2 * phase.end_ns for phase in a.phases] == [phase.end_ns for phase in b.phases]


QUIET = [
    {"do": "write"},
    {"do": "enable-logging"},
    {"do": "read"},
    {"do": "write", "pages": "30%", "order": "random"},
    {"do": "get-dirty-log"},
    {"do": "write"},
]


# --- determinism -------------------------------------------------------------------------------


def test_the_same_plan_gives_the_same_trace_with_and_without_a_probe(plans: Plans) -> None:
    first, again = simulate(plans("lazy-drop", 7)), simulate(plans("lazy-drop", 7), probe=Probe())
    assert first.fingerprint == again.fingerprint
    assert first.counters == again.counters
    assert simulate(plans("lazy-drop", 8)).fingerprint != first.fingerprint


def test_policies_are_paired_access_by_access() -> None:
    """Where both policies only hit, one seed gives both the same nanoseconds."""
    phases = [{"do": "write"}, {"do": "write"}]
    a, b = (simulate(make_plan(setting(phases), name, 3)) for name in ("eager-drop", "lazy-drop"))
    assert a.fingerprint == b.fingerprint
    apart: dict[str, Any] = {"replications": {"pairing": "independent"}}
    a, b = (
        simulate(make_plan(setting(phases, **apart), p, 3)) for p in ("eager-drop", "lazy-drop")
    )
    assert a.fingerprint != b.fingerprint, "negative control: independent draws differ"


# --- one event for many accesses ---------------------------------------------------------------


class Ledger(Probe):
    """Write counters per page at the source and at the destination (design, section 4)."""

    def __init__(self, pages: int) -> None:
        self.source, self.destination = Counter[int](), Counter[int]()
        self.runs: list[int] = []

    def accessed(self, cpu: int, gfns: list[int], writes: list[bool], end_ns: int) -> None:
        self.runs.append(len(gfns))
        self.source.update(gfn for gfn, write in zip(gfns, writes, strict=True) if write)

    def copied(self, gfns: list[int]) -> None:
        self.destination.update({g: self.source[g] - self.destination[g] for g in gfns})

    def stale(self) -> set[int]:
        return {gfn for gfn in self.source if self.source[gfn] != self.destination[gfn]}


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("think", ["0ns", "700ns"])
def test_a_run_of_hits_equals_one_event_per_access(plans: Plans, seed: int, think: str) -> None:
    """The same trace to the last nanosecond and counter, runs cut by kicks included."""
    plan = with_think(plans("lazy-drop", seed), think)
    bundled, single = Ledger(plan.pages), Ledger(plan.pages)
    a = simulate(plan, probe=bundled)
    b = simulate(plan, run_limit=1, probe=single)
    assert a.fingerprint == b.fingerprint
    assert a.counters == b.counters
    assert [dict(p.ledger) for p in a.phases] == [dict(p.ledger) for p in b.phases]
    assert [(p.start_ns, p.end_ns) for p in a.phases] == [(p.start_ns, p.end_ns) for p in b.phases]
    for one, other in zip(a.phases, b.phases, strict=True):
        assert (one.reads.counts == other.reads.counts).all()
        assert (one.writes.counts == other.writes.counts).all()
    assert a.lock == b.lock
    assert bundled.source == single.source
    assert max(bundled.runs) > 16 >= max(single.runs) == 1
    busy = next(p for p in a.phases if p.name == "busy")
    assert busy.ledger["flush_exit"] > 0, "no run was cut: the test shows nothing"


@pytest.mark.parametrize("think", ["0ns", "700ns"])
def test_bundling_changes_nothing_under_any_policy(plans: Plans, policy: str, think: str) -> None:
    """Splits without a flush, PML entries and full rings included."""
    plan = with_think(plans(policy, 3), think)
    a, b = simulate(plan), simulate(plan, run_limit=1)
    assert a.fingerprint == b.fingerprint
    assert [dict(p.ledger) for p in a.phases] == [dict(p.ledger) for p in b.phases]
    assert a.lock == b.lock


class OneWriter:
    """The first vCPU reads a little and writes once; the others read the same region for long."""

    def length(self, pages: int) -> int:
        return 4000

    def accesses(self, base_gfn: int, pages: int, uniforms: object) -> Accesses:
        gfns = np.arange(4000, dtype=np.int64) % 512
        return Accesses(gfns, (gfns == 20) & (base_gfn == 0))


def test_a_split_that_others_do_not_notice_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: without the interrupt, planned runs go on at the price of large sptes."""
    phases = [{"do": "write"}, {"do": "enable-logging"}, {"do": "read"}]
    made = setting(phases, vcpus=4, memory="8MiB", vm={"kernel": "linux-6.13"})
    plan = make_plan(made, "split-on-fault", 1)
    plan = dataclasses.replace(plan, patterns=(*plan.patterns[:2], OneWriter()))
    assert simulate(plan).fingerprint == simulate(plan, run_limit=1).fingerprint
    monkeypatch.setattr(page_fault, "replan", lambda vm, by: None)
    assert simulate(plan).fingerprint != simulate(plan, run_limit=1).fingerprint


def with_think(plan: Plan, think: str) -> Plan:
    phases = [
        phase.model_copy(update={"think": float(think[:-2])}) if phase.do in ("run",) else phase
        for phase in plan.driver.phases
    ]
    return dataclasses.replace(plan, driver=plan.driver.model_copy(update={"phases": phases}))


def test_a_cut_in_the_wrong_place_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: letting the access after the one in flight complete too."""
    from mmusim.engine.state.guest_run import GuestRun

    cut = GuestRun.cut

    def late(self: GuestRun, offset: int) -> tuple[int, int]:
        done, until = cut(self, offset)
        return (done + 1, int(self._ends[done])) if done < self.count else (done, until)

    plan = make_plan(busy_setting(), "lazy-drop", 0)
    b = simulate(plan, run_limit=1)
    monkeypatch.setattr(GuestRun, "cut", late)
    assert simulate(plan).fingerprint != b.fingerprint


# --- truth -------------------------------------------------------------------------------------


def test_a_page_is_stale_exactly_where_the_write_counters_differ(
    plans: Plans, policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bit that simulate() checks in every run carries the proof of the counters."""
    seen: list[tuple[set[int], set[int]]] = []
    check = invariants.check

    def compare(vm: Vm) -> None:
        pages = vm.table.page
        logged = set(np.flatnonzero(pages & LOGGED).tolist())
        assert set(np.flatnonzero(pages & STALE).tolist()) == ledger.stale()
        seen.append((ledger.stale(), logged))
        check(vm)

    monkeypatch.setattr(invariants, "check", compare)
    plan = plans(policy, 9)
    phases = [*plan.driver.phases, Pass.model_validate({"do": "write", "pages": "50%"})]
    driver = plan.driver.model_copy(update={"phases": phases})
    patterns = (*plan.patterns, PagePass(writes=True, pages=0.5))
    ledger = Ledger(plan.pages)
    simulate(dataclasses.replace(plan, driver=driver, patterns=patterns), probe=ledger)
    if policy != "none":
        ((stale, logged),) = seen
        assert stale, "nothing was left to send: the test shows nothing"
        assert stale <= logged


def test_the_2013_bug_loses_writes_and_is_caught() -> None:
    """6b73a96065e8: a large spte became writable and one page of 512 was logged."""
    plan = make_plan(setting(QUIET), "lazy-drop-2013", 1)
    with pytest.raises(LostWriteError, match=r"'lazy-drop-2013' lost writes to .* pages"):
        simulate(plan)


def test_the_2013_bug_is_illegal_even_before_a_write_is_lost() -> None:
    phases = [{"do": "write"}, {"do": "enable-logging"}, {"do": "write"}]
    plan = with_program(make_plan(setting(phases), "lazy-drop-2013", 1), 2, [(5, True)])
    with pytest.raises(InvariantError, match="lets the guest write 511 pages unlogged"):
        simulate(plan)


def test_a_get_that_does_not_flush_loses_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write-protecting is not effective until the TLBs are flushed (domain, A.9)."""
    from mmusim.engine.host import rearm

    def unlock_only(vm: Vm, host: object, needed: bool):  # type: ignore[no-untyped-def]
        del host, needed
        vm.lock.release(-1)
        yield vm.spend(1)

    simulate(make_plan(busy_setting(), "lazy-drop", 1))
    monkeypatch.setattr(rearm, "unlock_and_flush", unlock_only)
    with pytest.raises(LostWriteError):
        simulate(make_plan(busy_setting(), "lazy-drop", 1))


def test_a_get_that_forgets_to_rearm_loses_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mmu_slot, "rearm", lambda table, gfns, pml: 0)
    with pytest.raises(LostWriteError):
        simulate(make_plan(setting(QUIET), "eager-drop", 1))


# --- progress ----------------------------------------------------------------------------------


def test_a_guest_without_progress_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """404381c5839d: a fault handler that leaves the read-only large spte makes the guest loop."""
    monkeypatch.setattr(mmu_fault, "map_small", lambda t, gfn, tracked, bits: True)
    plan = make_plan(setting(QUIET), "eager-drop", 1)
    with pytest.raises(LivelockError) as caught:
        simulate(plan)
    assert str(caught.value) == (
        f"vCPU 0 makes no progress: its read of gfn 0 faulted {vcpu.PATIENCE} times in a row, last "
        f"at {str(caught.value).split('last at ')[1].split(' ')[0]} ns, and the spte is still "
        "NONPRESENT under policy 'eager-drop'"
    )


def test_a_deadlock_names_who_waits_for_what(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SpinLock, "release", lambda self, who: None)
    plan = make_plan(setting([{"do": "write"}], vcpus=2), "eager-drop", 1)
    with pytest.raises(DeadlockError) as caught:
        simulate(plan)
    text = str(caught.value)
    assert "vCPU 0 waits for mmu_lock" in text
    assert "the host thread waits for the end of phase 1 (write)" in text
    assert "mmu_lock is held by vCPU 1" in text


# --- closed forms (domain, B.4) ----------------------------------------------------------------

REGIONS = 3
accesses = st.lists(
    st.tuples(st.integers(0, REGIONS - 1), st.integers(0, 5), st.booleans()),
    min_size=1,
    max_size=60,
)


def closed_form(policy: str, program: list[tuple[int, bool]]) -> dict[str, int]:
    """Faults, tables, drop flushes and reported pages of one epoch from large writable sptes."""
    faults = tables = drops = 0
    for region in range(REGIONS):
        mine = [(gfn, write) for gfn, write in program if gfn // PAGES == region]
        first_write = next((i for i, (_, write) in enumerate(mine) if write), None)
        if policy == "eager-drop":
            faults += len({gfn for gfn, _ in mine})
            tables += bool(mine)
        elif policy == "lazy-drop" and first_write is not None:
            faults += len({gfn for gfn, _ in mine[first_write:]})
            tables += 1
            drops += 1
    return {"faults": faults, "tables": tables, "drops": drops, "dirty": faults}


@pytest.mark.parametrize("policy", ["none", "eager-drop", "lazy-drop"])
@given(accesses)
@settings(max_examples=60, deadline=None)
def test_one_epoch_counts_as_the_closed_form_says(
    policy: str, spots: list[tuple[int, int, bool]]
) -> None:
    program = [(region * PAGES + page, write) for region, page, write in spots]
    measured, expected = epoch(policy, program), closed_form(policy, program)
    assert measured == expected


def epoch(policy: str, program: list[tuple[int, bool]]) -> dict[str, int]:
    phases = [{"do": "write"}, {"do": "enable-logging"}, {"do": "read"}, {"do": "get-dirty-log"}]
    made = setting(phases, memory="6MiB", costs=CONSTANT)
    trace = simulate(with_program(make_plan(made, policy, 1), 2, program))
    counters = trace.phases[2].counters
    return {
        "faults": counters["pf_taken"],
        "tables": counters["tables"],
        "drops": counters["remote_tlb_flush_requests"],
        "dirty": trace.phases[3].dirty or 0,
    }


def test_the_closed_form_is_not_the_same_for_both_policies() -> None:
    """Negative control: the oracle of one policy is wrong for the other."""
    program = [(0, False), (1, False), (2, True), (0, False)]
    assert epoch("eager-drop", program) != closed_form("lazy-drop", program)


def test_cached_child_tables_turn_a_fault_a_page_into_a_fault_a_region() -> None:
    """Domain, A.5 and B.4: the re-linked table still has its sptes."""
    phases = [
        {"do": "enable-logging"}, {"do": "write"}, {"do": "get-dirty-log"},
        {"do": "disable-logging"}, {"do": "write"}, {"do": "enable-logging"}, {"do": "read"},
    ]  # fmt: skip
    for cached, faults in ((True, 2), (False, 2 * PAGES)):
        vm = {"kernel": "linux-3.7", "cached_child_tables": cached}
        trace = simulate(make_plan(setting(phases, vm=vm), "eager-drop", 1))
        assert trace.phases[6].counters["pf_taken"] == faults
