"""What Linux 5.12 to 6.13 changed about the host's side of the log (domain, K.1 and K.6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from mmusim.base.errors import ConfigError
from mmusim.engine import simulate
from mmusim.engine.choice import AUTO
from mmusim.engine.state.vm import Vm
from mmusim.plan.make import make_plan
from mmusim.tests.support.settings import CONSTANT, only, setting
from mmusim.trace.records import Trace

WRITE, READ = {"do": "write"}, {"do": "read"}
ENABLE, DISABLE = {"do": "enable-logging"}, {"do": "disable-logging"}
GET, CLEAR = {"do": "get-dirty-log"}, {"do": "clear-dirty-log", "chunk": "256KiB"}


def run(
    policy: str,
    phases: Sequence[dict[str, Any]],
    more_vm: dict[str, Any] | None = None,
    engine: str = AUTO,
    **more: Any,
) -> Trace:
    more = {"memory": "8MiB", "costs": CONSTANT} | more
    vm = {"kernel": policy.partition("+")[0]} | (more_vm or {})
    plan = make_plan(setting(phases, vm=vm, policies=only(policy), **more), policy, 1)
    return simulate(plan, engine=engine)


def flushes(trace: Trace, number: int) -> int:
    return int(trace.phases[number].counters["remote_tlb_flush_requests"])


def test_a_clear_flushes_if_it_cleared_a_bit_whatever_the_sptes_were() -> None:
    """L7: the second clear of 32 finds every page armed already."""
    phases = [WRITE, ENABLE, GET, CLEAR, GET, CLEAR]
    trace = run("linux-6.1+initially-all-set", phases)
    assert flushes(trace, 3) == 32
    assert flushes(trace, 5) == 0, "control: no bit was set"
    unmapped = run("linux-6.1+initially-all-set", [ENABLE, GET, CLEAR, READ])
    assert flushes(unmapped, 2) == 32, "of pages that nothing maps"


@pytest.mark.parametrize(("kernel", "expected"), [("linux-5.19", 0), ("linux-6.0", 1)])
def test_enabling_an_empty_slot_flushes_since_6_0(kernel: str, expected: int) -> None:
    """L8."""
    assert flushes(run(kernel, [ENABLE, READ]), 0) == expected
    assert flushes(run(kernel, [WRITE, ENABLE]), 1) == 1, "control: something to arm"


@pytest.mark.parametrize(
    ("kernel", "kicks"), [("linux-5.11", 0), ("linux-5.15", 1), ("linux-6.6", 1), ("linux-6.7", 0)]
)
def test_gets_kick_vcpus_without_pml_from_5_12_to_6_6(kernel: str, kicks: int) -> None:
    """L15: nothing is dirty, so that nothing else makes a vCPU leave the guest."""
    idle: dict[str, Any] = {"do": "run", "workload": "reads", "background": True, "repeat": True}
    phases = [READ, ENABLE, READ, idle, {"do": "sleep", "time": "50us"}, GET, {"do": "wait"}]
    reads = {"pattern": "uniform", "writes": "0%", "accesses_per_page": 4.0}
    trace = run(kernel, phases, workloads={"reads": reads})
    assert (trace.phases[3].ledger["flush_exit"] > 0) == bool(kicks)


def longest_hold(kernel: str, chunk: str = "8MiB") -> tuple[int, int]:
    phases = [WRITE, ENABLE, GET, {"do": "clear-dirty-log", "chunk": chunk}]
    trace = run(f"{kernel}+initially-all-set", phases, costs=CONSTANT | {"c_tdp_split_2M": "30us"})
    stats = trace.lock.exclusive
    return stats.holds.maximum, trace.lock.breaks


def test_a_clear_drops_mmu_lock_before_each_split_since_6_11() -> None:
    """L1: four splits of 8 MiB in one hold, or one in each."""
    (old, none), (new, breaks) = longest_hold("linux-6.10"), longest_hold("linux-6.11")
    assert (none, breaks) == (0, 4)
    assert old > 4 * 30_000
    assert new < old / 3


def test_what_is_recovered_has_the_bits_of_its_first_leaf_since_6_13() -> None:
    """L10: armed pages come back as read-only large sptes; each costs one fast fault."""
    armed = [WRITE, ENABLE, WRITE, GET, DISABLE]
    trace = run("linux-6.13", [*armed, READ, WRITE, WRITE])
    reads, first, second = trace.phases[5:]
    assert reads.counters["pf_taken"] == 0
    assert (first.counters["pf_taken"], first.counters["pf_fast"]) == (4, 4)
    assert second.counters["pf_taken"] == 0
    dirty = run("linux-6.13", [WRITE, ENABLE, WRITE, DISABLE, WRITE])
    assert dirty.phases[4].counters["pf_taken"] == 0, "control: written pages are writable"


def test_a_clear_drops_the_lock_once_for_each_table_that_it_makes() -> None:
    """L1: 1 GiB is 1 + 512 tables."""
    phases = [WRITE, ENABLE, GET, {"do": "clear-dirty-log"}]
    vm = {"backing": "1GiB"}
    trace = run("linux-6.11+initially-all-set", phases, memory="1GiB", more_vm=vm)
    assert trace.lock.breaks == 513


@pytest.mark.parametrize(
    ("kernel", "preemption", "dynamic", "breaks"),
    [
        ("linux-6.10", "voluntary", False, False),
        ("linux-6.10", "voluntary", True, True),
        ("linux-6.11", "voluntary", True, False),
        ("linux-6.11", "full", False, True),
        ("linux-6.13", "lazy", False, True),
        ("linux-6.19", None, False, False),
        ("linux-7.0", None, False, True),
    ],
)
def test_who_gives_mmu_lock_to_waiters(
    kernel: str, preemption: str | None, dynamic: bool, breaks: bool
) -> None:
    """L4 to L6: a walk of the legacy MMU while vCPUs fault."""
    booted = {} if preemption is None else {"preemption": preemption}
    phases: list[dict[str, Any]] = [
        {"do": "write", "pages": "60%"},
        {"do": "write", "order": "random", "background": True},
        {"do": "sleep", "time": "20us"}, ENABLE, {"do": "wait"},
    ]  # fmt: skip
    vm = {"backing": "4KiB", "preempt_dynamic": dynamic, "vcpus": 4} | booted
    trace = run(f"{kernel}+legacy+lazy-drop", phases, memory="32MiB", more_vm=vm)
    assert (trace.lock.breaks > 0) == breaks


@pytest.mark.parametrize(
    ("kernel", "preemption"),
    [("linux-7.0", "voluntary"), ("linux-7.1", "none"), ("linux-6.12", "lazy")],
)
def test_a_preemption_model_that_a_kernel_does_not_have_is_refused(
    kernel: str, preemption: str
) -> None:
    with pytest.raises(ConfigError, match=r"vm\.preemption"):
        run(kernel, [WRITE, ENABLE], more_vm={"preemption": preemption})


@pytest.mark.parametrize(("kernel", "fast"), [("linux-5.16", 0), ("linux-5.17", 4)])
def test_large_sptes_of_a_slot_that_does_not_log_are_fixed_locklessly_since_5_17(
    kernel: str, fast: int
) -> None:
    """L14: kept large and read-only by enabling, and so after disabling."""
    trace = run(f"{kernel}+lazy-drop", [WRITE, ENABLE, DISABLE, WRITE])
    counters = trace.phases[3].counters
    assert (counters["pf_taken"], counters["pf_fast"]) == (4, fast)


def test_a_flush_counts_as_done_only_if_somebody_was_in_the_guest() -> None:
    """L16."""
    idle = run("linux-6.1", [WRITE, ENABLE, WRITE, GET])
    assert (idle.counters["remote_tlb_flush"], flushes(idle, 3)) == (0, 1)
    reads = {"do": "read", "background": True, "think": "1us"}
    busy = run("linux-6.1", [WRITE, reads, ENABLE, {"do": "wait"}])
    assert busy.counters["remote_tlb_flush"] == 1


def test_of_many_that_split_a_gib_each_loser_pays_once() -> None:
    """L17: a split freezes nothing. Eight fill a table for the GiB, and one links it."""
    vm = {"backing": "1GiB", "vcpus": 8}
    slow = CONSTANT | {"c_split_1G": "50us"}
    trace = run(
        "linux-6.13+split-on-fault", [WRITE, ENABLE, WRITE],
        memory="1GiB", costs=slow, more_vm=vm,
    )  # fmt: skip
    counters = trace.phases[2].counters
    assert counters["pf_taken"] - counters["pf_fixed"] == 7
    assert counters["tables"] == 513
    assert trace.phases[2].ledger["split_large"] == 8 * 50_000 + 512 * 100


@pytest.mark.parametrize(("kernel", "lost"), [("linux-6.1", True), ("linux-6.13", False)])
def test_faults_on_a_frozen_entry_retry_until_its_flush_is_over(kernel: str, lost: bool) -> None:
    """L9: 5.19 to 6.12 flush for each table, with the entry frozen."""
    reads = {"do": "read", "background": True, "order": "random", "think": "100ns"}
    pause = {"do": "sleep", "time": "5us"}
    phases: list[dict[str, Any]] = [WRITE, ENABLE, WRITE, reads, pause, DISABLE, {"do": "wait"}]
    slow = CONSTANT | {"c_flush_init": "20us"}
    trace = run(kernel, phases, memory="16MiB", costs=slow, more_vm={"vcpus": 4})
    counters = {
        name: sum(p.counters[name] for p in trace.phases[3:]) for name in
        ("pf_taken", "pf_fixed", "pf_spurious", "remote_tlb_flush")
    }  # fmt: skip
    retried = counters["pf_taken"] - counters["pf_fixed"] - counters["pf_spurious"]
    assert (retried > 0) == lost, counters
    assert (counters["remote_tlb_flush"] >= 8) == lost


def test_what_was_below_a_frozen_entry_is_processed_after_its_flush_since_6_10(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """L23: an entry is frozen for less time, by what processing the leaves of its table takes."""
    reads = {"do": "read", "background": True, "order": "random", "think": "10us"}
    phases: list[dict[str, Any]] = [WRITE, ENABLE, WRITE, reads, {"do": "sleep", "time": "5us"},
                                    DISABLE, {"do": "wait"}]  # fmt: skip

    def spans(kernel: str) -> list[int]:
        began: dict[tuple[int, int], int] = {}
        found = []

        def freeze(vm: Vm, level: int, index: int, *, on: bool) -> None:
            if on:
                began[level, index] = vm.now
            else:
                found.append(vm.now - began.pop((level, index)))
            unchanged(vm, level, index, on=on)

        with monkeypatch.context() as patched:
            patched.setattr(Vm, "freeze", freeze)
            run(kernel, phases, engine="simpy")
        assert not began, "every entry is thawed"
        return found

    unchanged = Vm.freeze
    old, new = spans("linux-6.9"), spans("linux-6.10")
    flush = 200  # c_flush_init and one target
    assert new
    assert set(new) == {flush}
    assert min(old) >= flush + 512 * 100, "the leaves of a table, at 100 ns each"


def test_split_on_fault_under_pml_faults_in_the_first_round_only() -> None:
    """L13: children inherit W and D of the large spte; later rounds arm D alone."""
    sync = {"do": "sync-dirty-log"}
    trace = run("linux-6.2+split-on-fault+pml", [WRITE, ENABLE, WRITE, sync, WRITE, sync])
    first, again = trace.phases[2], trace.phases[4]
    assert (first.counters["pf_taken"], first.counters["pf_fast"]) == (2048, 2048 - 4)
    assert again.counters["pf_taken"] == 0
    assert first.ledger["pml_log"] == (2048 - 4) * 100, "the lockless path leaves D alone"
    assert [trace.phases[n].dirty for n in (3, 5)] == [2048, 2048]


@pytest.mark.parametrize(("policy", "cost"), [("linux-4.4", 57), ("linux-6.6", 75)])
def test_deleting_a_slot_costs_for_every_leaf_of_the_vm(policy: str, cost: int) -> None:
    """K.5: 300 ms for 5.24 M leaves."""
    recreate = {"do": "recreate-slot"}
    costs = {"c_srcu": "1us", "c_flush_init": "1us"}
    trace = run(policy, [WRITE, recreate], more_vm={"backing": "4KiB"}, costs=costs)
    took = trace.phases[1].end_ns - trace.phases[1].start_ns
    assert took == pytest.approx(2048 * cost, rel=0.05)
    assert trace.phases[1].counters["pages_4k"] == -2048


def test_a_large_spte_that_was_armed_for_pml_costs_its_first_write_nothing_but_d() -> None:
    """L10 under PML: what is recovered is writable, with the D of its first leaf."""
    trace = run("linux-6.13+pml", [WRITE, ENABLE, WRITE, GET, DISABLE, WRITE])
    assert trace.phases[5].counters["pf_taken"] == 0
    assert trace.phases[5].ledger["pml_log"] == 0


def test_shadow_pages_that_are_split_eagerly_fault_on_writes_only() -> None:
    """As posted in February 2022; without it the first write of 2 MiB drops it, and reads fault."""
    phases = [WRITE, ENABLE, {"do": "write", "pages": "1%"}, READ, WRITE]
    vm = {"kernel": "linux-5.17"}
    split = run("eager_page_split-legacy+shadow", phases, more_vm=vm)
    assert split.phases[1].counters["pages_4k"] == 2048
    assert split.phases[3].counters["pf_taken"] == 0
    wrote = split.phases[4].counters
    assert (wrote["pf_taken"], wrote["pf_fast"]) == (2048 - 20, 0)
    kept = run("lazy-drop+shadow", phases, more_vm=vm)
    assert kept.phases[3].counters["pf_taken"] > 0, "control"


@pytest.mark.parametrize(("backing", "clean"), [("1GiB", 512), ("2MiB", 1)])
def test_an_entry_of_the_guest_is_as_large_as_the_pages_of_the_host(
    backing: str, clean: int
) -> None:
    """The first write below a clean entry takes out the tables below it: of 2 MiB or of 1 GiB."""
    one = {"do": "write", "pages": "0.0004%"}
    phases = [READ, ENABLE, one, one, READ]
    vm = {"kernel": "linux-5.17", "memory": "1GiB", "backing": backing}
    policy = "eager_page_split-legacy+shadow"
    first, again, read = (run(policy, phases, more_vm=vm).phases[n].counters for n in (2, 3, 4))
    assert (first["pf_taken"], again["pf_taken"]) == (1, 0)
    assert read["pf_taken"] == 512 * clean - 1
    dirty = run(policy, [WRITE, *phases[1:]], more_vm=vm).phases
    assert [p.counters["pf_taken"] for p in dirty[2:]] == [1, 0, 0], "nothing is clean"


@pytest.mark.parametrize(
    ("kernel", "shared"),
    [("linux-5.11", False), ("linux-5.12", False), ("linux-5.13", True), ("linux-6.1", True)],
)
def test_walks_of_the_tdp_mmu_share_mmu_lock_since_5_13(kernel: str, shared: bool) -> None:
    """24ae4cfaaa26. In 5.12 faults share it and walks do not; before nobody can."""
    trace = run(f"{kernel}+tdp", [WRITE, ENABLE, WRITE, DISABLE, WRITE])
    faults = sum(phase.counters["pf_taken"] for phase in trace.phases if phase.guest)
    faults -= sum(phase.counters["pf_fast"] for phase in trace.phases if phase.guest)
    by_readers = (faults if kernel >= "linux-5.12" else 0) + (2 if shared else 0)
    assert trace.lock.shared.acquisitions == by_readers
    assert trace.lock.acquisitions == faults + 2
