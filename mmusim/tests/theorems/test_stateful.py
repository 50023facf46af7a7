"""Policies under random programs, one operation after the other; everything is checked after each.

The machine draws batches of operations because drawing costs more than simulating; the invariants
of :mod:`stepwise` are checked after every single one.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any, ClassVar, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from mmusim.base.errors import MisfitError, MmusimError
from mmusim.costs.distributions import Constant
from mmusim.engine import simulate
from mmusim.engine.host import enable_disable, rearm
from mmusim.engine.processes import vcpu
from mmusim.engine.processes.page_fault import FAST, LOST_RACE, SLOW, SPURIOUS
from mmusim.mmu import fault as mmu_fault
from mmusim.mmu import slot as mmu_slot
from mmusim.mmu.spte import LEAF, LOGGED
from mmusim.plan.make import make_plan
from mmusim.policies import (
    PRESETS,
    Choices,
    Chosen,
    Large,
    choose,
    kernel_named,
    legal,
    policies,
)
from mmusim.policies.choices import every_choice
from mmusim.tests.support.settings import BROKEN, CONSTANT, only, setting, with_program
from mmusim.tests.support.stepwise import REGION, SPOTS, Stepwise, small_vm
from mmusim.vocabulary.counters import PAGES_4K

STEPS = 20_000
"""What every registered policy must go through."""
PML_BUFFER = 4
"""Entries of a PML buffer here: so few that full buffers are the rule."""

HOST = [
    "sync", "get", "clear", "enable", "disable", "harvest", "sync by 256 pages",
    "clear by 256 pages", "recreate, logging", "recreate", "sync", "get", "clear", "enable",
    "disable", "clear by 64 pages", "sync by 64 pages",
]  # fmt: skip
ACCESSES = 4 * SPOTS * 4
"""Bytes below this are accesses, those above log operations: some four to one."""

batches = st.binary(min_size=24, max_size=64)
races = st.tuples(
    st.binary(min_size=1, max_size=6), st.binary(max_size=6),
    st.sampled_from(HOST), st.integers(0, 9000),
)  # fmt: skip


@pytest.fixture(autouse=True)
def small_pml_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vcpu, "PML_ENTRIES", PML_BUFFER)


def access(run: Stepwise, byte: int) -> tuple[int, bool]:
    return run.spot(byte // 4), bool(byte & 1)


def step(run: Stepwise, byte: int) -> None:
    """Do what a byte says."""
    if byte < ACCESSES:
        run.touch(byte >> 1 & 1, *access(run, byte))
    else:
        run.operate(HOST[(byte - ACCESSES) % len(HOST)])


def race(run: Stepwise, drawn: tuple[bytes, bytes, str, int]) -> None:
    *programs, op, delay = drawn
    run.race([[access(run, byte) for byte in p] for p in programs], op, delay)


@cache
def kernels_with(policy: str) -> list[str]:
    """The releases that can have the policy, newest first."""
    found = []
    for kernel in reversed(PRESETS):
        with contextlib.suppress(MisfitError):
            choose(policy, kernel=kernel.name)
            found.append(kernel.name)
    return found


class Machine(RuleBasedStateMachine):
    """Random programs under one policy."""

    policy: ClassVar[str]
    steps: ClassVar[int]

    @initialize(
        data=st.data(),
        keywords=st.fixed_dictionaries(
            {
                "regions": st.integers(2, 4),
                "backing": st.sampled_from([2, 2, 1]),
                "cached": st.booleans(),
                "nx": st.booleans(),
                "constant": st.booleans(),
                "keeps_mmu_writable": st.booleans(),
            }
        ),
        run_limit=st.sampled_from([1 << 16, 1]),
    )
    def boot(self, data: Any, keywords: dict[str, Any], run_limit: int) -> None:
        kernel = data.draw(st.sampled_from(kernels_with(self.policy)))
        plan = small_vm(choose(self.policy, kernel=kernel), **keywords)
        self.run = Stepwise(plan, run_limit)

    @rule(batch=batches)
    def one_after_the_other(self, batch: bytes) -> None:
        for byte in batch:
            step(self.run, byte)

    @rule(drawn=races)
    def at_once(self, drawn: tuple[bytes, bytes, str, int]) -> None:
        race(self.run, drawn)

    def teardown(self) -> None:
        if hasattr(self, "run") and not self.run.broken:
            self.run.operate("sync")
            if self.run.vm.tracked:
                self.run.operate("sync")
                assert not self.run.witness.unsent()
            type(self).steps += self.run.steps


def fuzz(policy: str, examples: int, phases: tuple[Phase, ...] = tuple(Phase)) -> int:
    """Run the machine; return how many operations were made and checked."""
    machine: Any = type("Fuzz", (Machine,), {"policy": policy, "steps": 0})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=24,
            deadline=None,
            phases=phases,
            suppress_health_check=list(HealthCheck),
        ),
    )
    return int(machine.steps)


REGISTERED = sorted(set(policies()) - BROKEN)


@pytest.mark.slow
@pytest.mark.parametrize("policy", REGISTERED)
def test_no_program_of_20_000_steps_breaks_an_invariant(policy: str, record_property: Any) -> None:
    """In one call: in CI, where nothing is random, calls of one size draw the same programs."""
    steps, examples = 0, 60
    while steps < STEPS:
        steps = fuzz(policy, examples)
        examples *= 2
    record_property("steps", steps)
    assert steps >= STEPS


# --- every legal point of the product ------------------------------------------------------------

KERNELS = ["linux-3.7", "linux-5.7", "linux-5.18", "linux-6.13"]
LARGE = {
    Large.ZAP: "eager-drop", Large.READ_ONLY: "lazy-drop", Large.SPLIT_ON_FAULT: "split-on-fault",
    Large.EAGER_SPLIT: "eager_page_split", Large.DEFERRED: "deferred",
}  # fmt: skip
"""The policy that decides each way to treat large sptes."""


def points() -> Iterator[tuple[str, Choices]]:
    """Every legal combination of five choices, with the name that means it."""
    for kernel in KERNELS:
        for c in every_choice():
            if legal(c, kernel_named(kernel)):
                report = () if c.large is Large.DEFERRED else (c.reporting.value,)
                names = [LARGE[c.large], c.tracking.value, *report, c.mmu.value, c.lock.value]
                names = ["initially-all-set" if n == "initially-all-set" else n for n in names]
                yield "+".join([kernel, *names]), c


POINTS = dict(points())


def machines(chosen: Chosen) -> Iterator[Stepwise]:
    """VMs with every backing, with and without cached child tables and small executable regions."""
    for backing in (1, 2):
        for cached in (False, True):
            for nx in (False, True):
                yield Stepwise(small_vm(chosen, backing=backing, cached=cached, nx=nx))


@pytest.mark.parametrize("name", POINTS)
def test_every_legal_combination_keeps_every_invariant(name: str) -> None:
    chosen = choose(name)
    assert chosen.choices == POINTS[name]

    @given(batches, st.lists(races, min_size=1, max_size=3), batches)
    @settings(max_examples=2, deadline=None, suppress_health_check=list(HealthCheck))
    def fuzz_point(first: bytes, drawn: list[Any], last: bytes) -> None:
        for run in machines(chosen):
            for byte in first:
                step(run, byte)
            for one in drawn:
                race(run, one)
            for byte in last:
                step(run, byte)

    fuzz_point()


def test_there_are_as_many_legal_combinations_as_the_rules_allow() -> None:
    """Worked out by hand from domain B.1 for the kernel of the thread; later ones have more."""
    counts = [sum(name.startswith(kernel + "+") for name in POINTS) for kernel in KERNELS]
    assert counts[0] == 2 * 3, "zap or read-only, in three MMUs"
    assert counts == sorted(counts)
    assert len(POINTS) == 136


# --- negative controls ---------------------------------------------------------------------------


def breaks(policy: str, examples: int = 60) -> str:
    """Fuzz until something breaks; return what."""
    try:
        fuzz(policy, examples, (Phase.generate,))
    except Exception as error:
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return ""


@pytest.mark.parametrize(
    ("policy", "error"),
    [
        ("lazy-drop-2013", "LostWriteError|InvariantError|AssertionError: writable and unlogged"),
        ("wp-all-levels-bug", "LivelockError"),
    ],
)
def test_the_machine_finds_the_bugs_of_history(policy: str, error: str) -> None:
    assert breaks(policy).startswith(tuple(error.split("|")))


def test_nothing_is_found_where_nothing_is_broken() -> None:
    assert breaks("lazy-drop", 5) == ""


def unlogged(t: Any, gfn: int, level: int, tracked: bool) -> None:
    """Set W and do not log the page."""
    FIX_LOCKLESS(t, gfn, level, False)


def logs_its_neighbour(t: Any, gfn: int, tracked: bool, bits: int = LEAF) -> bool:
    """Log one page too many."""
    if tracked:
        t.page[gfn ^ 1] |= LOGGED
    return MAP_SMALL(t, gfn, tracked, bits)


def miscounts(t: Any, gfn: int, tracked: bool, bits: int = LEAF) -> bool:
    """Count every leaf twice."""
    t.stat[PAGES_4K] += 1
    return MAP_SMALL(t, gfn, tracked, bits)


def does_not_flush(vm: Any, host: Any, needed: bool) -> Any:
    """Unlock only."""
    del host, needed
    vm.lock.release(-1)
    yield vm.spend(1)


FIX_LOCKLESS, MAP_SMALL = mmu_fault.fix_lockless, mmu_fault.map_small
MISTAKES = {
    "a lockless fix that does not log": ("eager_page_split", mmu_fault, "fix_lockless", unlogged),
    "a false dirty page": ("eager-drop", mmu_fault, "map_small", logs_its_neighbour),
    "a leaf counted twice": ("eager-drop", mmu_fault, "map_small", miscounts),
    "a fault that does nothing": ("lazy-drop", mmu_fault, "map_small", lambda *_: False),
    "a get that re-arms nothing": ("eager_page_split", mmu_slot, "rearm", lambda *_: 0),
    "a get that does not flush": ("lazy-drop", rearm, "unlock_and_flush", does_not_flush),
    "an enable that does not flush": (
        "lazy-drop",
        enable_disable,
        "unlock_and_flush",
        does_not_flush,
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_machine_finds_a_broken_mechanism(
    mistake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy, where, name, broken = MISTAKES[mistake]
    monkeypatch.setattr(where, name, broken)
    assert breaks(policy), mistake


# --- what fuzzing found, as small as it gets ------------------------------------------------------


def races_of(
    policy: str, writes: list[int], op: str, flush_ns: Iterable[int]
) -> Iterator[Stepwise]:
    """The same race again and again: the log operation is later each time, and so is its end."""
    for moment, flush in enumerate(flush_ns):
        plan = small_vm(choose(policy))
        costs = {**plan.costs, "c_flush_init": Constant(flush)}
        run = Stepwise(dataclasses.replace(plan, costs=costs))
        run.touch(0, 0, True)
        run.operate("enable")
        run.touch(0, 0, True)
        run.race([[(gfn, True) for gfn in writes], []], op, 1 + 50 * moment)
        yield run


def test_a_lockless_fix_loses_no_race_to_the_copy_of_a_page() -> None:
    """Compare-exchange looks at the spte; that the page was sent meanwhile is not part of it."""
    runs = races_of("linux-3.16", [0] * 60, "sync", range(0, 3000, 50))
    outcomes = [outcome for run in runs for outcome in run.outcomes.faults]
    assert outcomes.count(FAST) > 30
    assert LOST_RACE not in outcomes


def test_faults_in_flight_leave_nothing_in_the_log_of_a_slot_that_logs_no_more() -> None:
    """The bitmap goes when the grace period is over, not before."""
    in_flight = 0
    for run in races_of("linux-3.16", list(range(12)), "disable", [100] * 160):
        in_flight += len(run.outcomes.faults) > 0
        assert not (run.vm.table.page & LOGGED).any()
    assert in_flight > 50


@pytest.mark.parametrize("memory", ["4MiB", "1GiB"])
def test_a_split_finds_the_table_that_a_large_spte_had_unlinked(memory: str) -> None:
    """shadow_mmu_get_sp_for_split: what is hashed is not allocated again."""
    phases = [{"do": do} for do in ("write", "enable-logging", "disable-logging")] * 2
    vm = {"kernel": "linux-6.13", "backing": "1GiB" if memory == "1GiB" else "2MiB"}
    trace = simulate(make_plan(setting(phases, memory=memory, vm=vm, costs=CONSTANT), "nested", 1))
    tables = [phase.counters["tables"] for phase in trace.phases]
    assert tables == [0, 513 if memory == "1GiB" else 2, 0, 0, 0, 0]


def faults_across_an_enable() -> list[int]:
    """A fault that takes 100 us, and an enable in the middle of it whose own grace takes 1 ns."""
    plan = small_vm(choose("linux-3.16"))
    slow = {"c_fault_slow": Constant(100_000.0), "c_srcu": Constant(1.0)}
    run = Stepwise(dataclasses.replace(plan, costs={**plan.costs, **slow}))
    run.race([[(0, True)], []], "enable", 300)
    return run.outcomes.faults


def test_enabling_waits_for_the_faults_in_flight() -> None:
    """They use the old memslot, so what they map is not logged: it must be there to be armed."""
    assert faults_across_an_enable() == [SLOW]


def test_an_enable_that_does_not_wait_for_faults_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(enable_disable, "synchronize_srcu", lambda *_: iter(()))
    with pytest.raises((AssertionError, MmusimError)):
        faults_across_an_enable()


# --- two vCPUs at one entry, clean guest memory ---------------------------------------------------


def at_once(policy: str, programs: list[list[tuple[int, bool]]]) -> tuple[Stepwise, Counter[int]]:
    """Large writable sptes, logging on, and two vCPUs that start at the same instant."""
    run = Stepwise(small_vm(choose(policy)))
    for region in range(2):
        run.touch(0, region * REGION, True)
    run.operate("enable")
    run.race(programs, "sync", 8000)
    return run, Counter(run.outcomes.faults)


def test_of_two_faults_on_a_page_one_maps_it() -> None:
    """The other finds it there when it looks again: spurious, not fixed."""
    plan = small_vm(choose("linux-6.13"))
    together = {**plan.costs, "c_lock_count": Constant(0)}  # both are inside at once
    run = Stepwise(dataclasses.replace(plan, costs=together))
    run.race([[(0, True)], [(0, True)]], "enable", 8000)
    assert Counter(run.outcomes.faults) == {SLOW: 1, SPURIOUS: 1}


def test_of_two_faults_on_a_large_spte_one_drops_it() -> None:
    """The other loses the race and comes again."""
    run, outcomes = at_once("linux-5.15", [[(0, True)], [(1, True)]])
    assert outcomes[SLOW] == 2
    assert outcomes[LOST_RACE] > 0
    assert run.vm.counters()["remote_tlb_flush_requests"] == 1 + 1 + 1, "enable, one drop, sync"


def test_reading_clean_guest_memory_makes_nothing_dirty() -> None:
    """Shadow paging maps it without W, so nobody can write there without a fault."""
    run = Stepwise(small_vm(choose("linux-3.16+shadow")))
    run.operate("enable")
    run.touch(0, 0, False)
    assert run.log == set()
    run.touch(0, 1, True)
    run.touch(0, 2, False)
    assert run.log == {1, 2}, "negative control: where the guest has written, reads do"


# --- closed forms (domain, B.4) -------------------------------------------------------------------

REGIONS = 3
spots = st.lists(
    st.tuples(st.integers(0, REGIONS - 1), st.integers(0, 5), st.booleans()),
    min_size=1, max_size=60,
)  # fmt: skip


class Totals(NamedTuple):
    """The sums over regions that the forms are made of."""

    touched: int  # T, distinct pages
    written: int  # W
    after: int  # A: distinct pages touched at or after the first write of the region
    regions: int  # regions touched
    written_regions: int


class Epoch(NamedTuple):
    """What one epoch did."""

    faults: int
    fast: int  # of these
    tables: int
    drops: int  # flushes at fault time
    dirty: int  # pages reported


def totals(program: list[tuple[int, bool]]) -> Totals:
    sums = Counter[str]()
    for region in range(REGIONS):
        mine = [access for access in program if access[0] // REGION == region]
        first = next((i for i, (_, write) in enumerate(mine) if write), len(mine))
        sums["touched"] += len({gfn for gfn, _ in mine})
        sums["written"] += len({gfn for gfn, write in mine if write})
        sums["after"] += len({gfn for gfn, _ in mine[first:]})
        sums["regions"] += bool(mine)
        sums["written_regions"] += first < len(mine)
    return Totals(**{name: sums[name] for name in Totals._fields})


FORMS: dict[str, Callable[[Totals], Epoch]] = {
    "none": lambda n: Epoch(0, 0, 0, 0, 0),
    "linux-3.7": lambda n: Epoch(n.touched, 0, n.regions, 0, n.touched),
    "linux-3.16": lambda n: Epoch(n.after, 0, n.written_regions, n.written_regions, n.after),
    "linux-6.13+split-on-fault": lambda n: Epoch(
        n.written, n.written - n.written_regions, n.written_regions, 0, n.written
    ),
    "linux-6.13": lambda n: Epoch(n.written, n.written, 0, 0, n.written),
    "linux-6.13+pml": lambda n: Epoch(0, 0, 0, 0, n.written),
    "linux-4.1+pml": lambda n: Epoch(n.after, 0, n.written_regions, n.written_regions, n.after),
    "linux-6.13+initially-all-set": lambda n: Epoch(0, 0, 0, 0, REGIONS * REGION),
}  # fmt: skip
"""eager-drop, lazy-drop, split-on-fault, eager_page_split, both with PML: a table row each."""


def epochs(policy: str, program: list[tuple[int, bool]]) -> list[Epoch]:
    """Count two epochs of the same accesses, from large writable sptes."""
    phases = [{"do": do} for do in ("write", "enable-logging", *("read", "sync-dirty-log") * 2)]
    made = setting(phases, memory=f"{2 * REGIONS}MiB", costs=CONSTANT, policies=only(policy))
    plan = make_plan(made, policy, 1)
    for phase in (2, 4):
        plan = with_program(plan, phase, program)
    trace = simulate(plan)
    names = ("pf_taken", "pf_fast", "tables", "remote_tlb_flush_requests")
    return [
        Epoch._make([*(trace.phases[k].counters[n] for n in names), trace.phases[k + 1].dirty or 0])
        for k in (2, 4)
    ]


@pytest.mark.parametrize("policy", FORMS)
@given(spots)
@settings(max_examples=40, deadline=None)
def test_every_row_of_the_table_of_closed_forms_holds(
    policy: str, drawn: list[tuple[int, int, bool]]
) -> None:
    program = [(region * REGION + page, write) for region, page, write in drawn]
    assert epochs(policy, program)[0] == FORMS[policy](totals(program))


BY_HAND = [(0, False), (1, False), (2, True), (0, False), (512, False)]
COUNTED = {
    "none": Epoch(0, 0, 0, 0, 0),
    "linux-3.7": Epoch(4, 0, 2, 0, 4),
    "linux-3.16": Epoch(2, 0, 1, 1, 2),
    "linux-6.13+split-on-fault": Epoch(1, 0, 1, 0, 1),
    "linux-6.13": Epoch(1, 1, 0, 0, 1),
    "linux-6.13+pml": Epoch(0, 0, 0, 0, 1),
    "linux-4.1+pml": Epoch(2, 0, 1, 1, 2),
    "linux-6.13+initially-all-set": Epoch(0, 0, 0, 0, REGIONS * REGION),
}


@pytest.mark.parametrize("policy", FORMS)
def test_the_closed_forms_give_what_is_counted_by_hand(policy: str) -> None:
    first, second = epochs(policy, BY_HAND)
    assert first == FORMS[policy](totals(BY_HAND)) == COUNTED[policy]
    if policy.startswith("linux-6.13") and "on-fault" not in policy and "all-set" not in policy:
        assert second == first


@pytest.mark.parametrize("policy", ["linux-6.13", "linux-6.13+pml"])
@given(spots)
@settings(max_examples=20, deadline=None)
def test_later_epochs_with_small_sptes_in_place_count_as_the_first(
    policy: str, drawn: list[tuple[int, int, bool]]
) -> None:
    program = [(region * REGION + page, write) for region, page, write in drawn]
    first, second = epochs(policy, program)
    assert first == second


def test_no_two_rows_of_the_table_are_the_same() -> None:
    """Negative control: the form of each policy is wrong for every other."""
    found = {policy: epochs(policy, BY_HAND)[0] for policy in FORMS}
    same = {frozenset((a, b)) for a in FORMS for b in FORMS if a != b and found[a] == found[b]}
    assert same == {frozenset(("linux-3.16", "linux-4.1+pml"))}, "PML does not help large sptes"
