"""Policies under random programs, one operation after the other; everything is checked after each.

The machine draws batches of operations because drawing costs more than simulating; the invariants
of :mod:`stepwise` are checked after every single one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import cache
from typing import Any, ClassVar

import pytest
from conftest import BROKEN, SOUND
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from stepwise import SPOTS, Stepwise, small_vm

from mmusim.engine import log_ioctls, log_reports, vcpu
from mmusim.errors import MisfitError
from mmusim.mmu import fault as mmu_fault
from mmusim.mmu import slot as mmu_slot
from mmusim.mmu.counters import PAGES_4K
from mmusim.mmu.spte import LEAF, LOGGED
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
    st.binary(min_size=1, max_size=6), st.binary(max_size=6), st.sampled_from(HOST), st.integers(0, 9000)
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
    machine = type("Fuzz", (Machine,), {"policy": policy, "steps": 0})
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


@pytest.mark.parametrize("policy", REGISTERED)
def test_no_program_of_20_000_steps_breaks_an_invariant(policy: str, record_property: Any) -> None:
    steps = 0
    while steps < STEPS:
        steps += fuzz(policy, 20)
    record_property("steps", steps)
    assert steps >= STEPS


# --- every legal point of the product ------------------------------------------------------------

KERNELS = ["linux-3.7", "linux-5.7", "linux-5.18", "linux-6.13"]
LARGE = {
    Large.ZAP: "eager-drop", Large.READ_ONLY: "lazy-drop", Large.SPLIT_ON_FAULT: "split-on-fault",
    Large.EAGER_SPLIT: "eager-split", Large.DEFERRED: "deferred",
}  # fmt: skip
"""The policy that decides each way to treat large sptes."""


def points() -> Iterator[tuple[str, Choices]]:
    """Every legal combination of five choices, with the name that means it."""
    for kernel in KERNELS:
        for c in every_choice():
            if legal(c, kernel_named(kernel)):
                report = () if c.large is Large.DEFERRED else (c.reporting.value,)
                names = [LARGE[c.large], c.tracking.value, *report, c.mmu.value, c.lock.value]
                names = ["init-all-set" if n == "initially-all-set" else n for n in names]
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
    [("lazy-drop-2013", "LostWriteError|InvariantError"), ("wp-all-levels-bug", "LivelockError")],
)
def test_the_machine_finds_the_bugs_of_history(policy: str, error: str) -> None:
    assert breaks(policy).partition(":")[0] in error.split("|")


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
    "a lockless fix that does not log": ("eager-split", mmu_fault, "fix_lockless", unlogged),
    "a false dirty page": ("eager-drop", mmu_fault, "map_small", logs_its_neighbour),
    "a leaf counted twice": ("eager-drop", mmu_fault, "map_small", miscounts),
    "a fault that does nothing": ("lazy-drop", mmu_fault, "map_small", lambda *_: False),
    "a get that re-arms nothing": ("eager-split", mmu_slot, "rearm", lambda *_: 0),
    "a get that does not flush": ("lazy-drop", log_reports, "unlock_and_flush", does_not_flush),
    "an enable that does not flush": ("lazy-drop", log_ioctls, "unlock_and_flush", does_not_flush),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_machine_finds_a_broken_mechanism(
    mistake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy, where, name, broken = MISTAKES[mistake]
    monkeypatch.setattr(where, name, broken)
    assert breaks(policy), mistake
