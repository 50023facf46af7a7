"""What kernel generations do differently, in counts small enough to work out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from mmusim.base.errors import InvariantError, LivelockError, LostWriteError
from mmusim.engine import simulate
from mmusim.mmu.dirty_ring import DirtyRing, masks
from mmusim.plan.make import make_plan
from mmusim.tests.support.settings import CONSTANT, kernel_of, only, setting, with_program
from mmusim.trace.records import Trace

WRITE, READ = {"do": "write"}, {"do": "read"}
ENABLE, DISABLE, SYNC = (
    {"do": "enable-logging"},
    {"do": "disable-logging"},
    {"do": "sync-dirty-log"},
)
HARVEST = {"do": "harvest-ring"}


def run(policy: str, phases: Sequence[Any], **more: Any) -> Trace:
    vm = {"kernel": kernel_of(policy)} | more.pop("vm", {})
    program = more.pop("program", None)
    plan = make_plan(setting(phases, vm=vm, policies=only(policy), **more), policy, 1)
    if program is not None:
        plan = with_program(plan, program[0], program[1])
    return simulate(plan)


def deltas(trace: Trace, number: int, *names: str) -> tuple[int, ...]:
    return tuple(trace.phases[number].counters[name] for name in names)


# --- 1 GiB mappings ------------------------------------------------------------------------------

GIB: dict[str, Any] = {"memory": "1GiB", "vm": {"backing": "1GiB"}, "costs": CONSTANT}
ONE = [(3, True)]


def test_a_gib_is_mapped_by_one_leaf() -> None:
    trace = run("linux-6.13", [WRITE], **GIB)
    assert deltas(trace, 0, "pf_taken", "pages_1g", "pages_2m", "pages_4k", "tables") == (
        1,
        1,
        0,
        0,
        0,
    )


def test_the_tail_of_memory_that_is_no_gib_is_mapped_smaller() -> None:
    trace = run("linux-6.13", [WRITE], **(GIB | {"memory": "1028MiB"}))
    assert deltas(trace, 0, "pages_1g", "pages_2m", "pf_taken") == (1, 2, 3)


def test_eager_splitting_a_gib_makes_513_tables() -> None:
    trace = run("linux-6.13", [WRITE, ENABLE, READ], **GIB)
    assert deltas(trace, 1, "pages_1g", "pages_2m", "pages_4k", "tables") == (-1, 0, 262_144, 513)
    assert deltas(trace, 2, "pf_taken") == (0,)
    costs = trace.phases[1].spent
    assert costs["c_split_1G"] == 100
    assert costs["c_tdp_split_2M"] == 512 * 100


def test_splitting_a_gib_in_the_fault_goes_down_level_by_level() -> None:
    trace = run("linux-6.2+split-on-fault", [WRITE, ENABLE, WRITE], program=(2, ONE), **GIB)
    names = (
        "pf_taken",
        "pf_fast",
        "pages_1g",
        "pages_2m",
        "pages_4k",
        "tables",
        "remote_tlb_flush_requests",
    )
    assert deltas(trace, 2, *names) == (1, 0, -1, 511, 512, 2, 0)
    assert trace.phases[2].ledger["split_large"] == 200


def test_dropping_a_gib_leaves_nothing_mapped_but_the_page() -> None:
    trace = run("linux-5.15", [WRITE, ENABLE, WRITE], program=(2, ONE), **GIB)
    names = ("pf_taken", "pages_1g", "pages_2m", "pages_4k", "tables", "remote_tlb_flush_requests")
    assert deltas(trace, 2, *names) == (1, -1, 0, 1, 2, 1)


@pytest.mark.parametrize(
    ("policy", "disabled", "then"),
    [
        # pages_1g, pages_4k, tables at disable; faults and pages_1g of the write after it
        ("linux-3.16", (0, 0, 0), (1, 0)),
        ("linux-5.18", (0, -262_144, 0), (1, 1)),
        ("linux-6.1", (0, -262_144, -513), (1, 1)),
        ("linux-6.13", (1, -262_144, -513), (1, 0)),  # it has the bits of an armed page
    ],
)
def test_disabling_collapses_as_the_release_does(
    policy: str, disabled: tuple[int, ...], then: tuple[int, ...]
) -> None:
    trace = run(policy, [WRITE, ENABLE, SYNC, DISABLE, WRITE], **GIB)
    assert deltas(trace, 3, "pages_1g", "pages_4k", "tables") == disabled
    assert deltas(trace, 4, "pf_taken", "pages_1g") == then


# --- PML -----------------------------------------------------------------------------------------


def test_pml_exits_once_in_512_writes_and_never_faults() -> None:
    trace = run("linux-6.13+pml", [WRITE, ENABLE, WRITE, SYNC, WRITE], costs=CONSTANT)
    for number in (2, 4):
        phase = trace.phases[number]
        assert phase.counters["pf_taken"] == 0
        # 1,024 pages: the buffer is full at the 513th write, and drains again at the end
        assert phase.ledger["pml_drain"] == 200 + 1024 * 100
        assert phase.ledger["pml_log"] == 1024 * 100
    assert trace.phases[3].dirty == 1024


def test_under_pml_a_large_spte_still_costs_one_fault() -> None:
    trace = run("lazy-drop+pml", [WRITE, ENABLE, WRITE], program=(2, [(5, True), (6, True)]))
    assert deltas(trace, 2, "pf_taken", "remote_tlb_flush_requests") == (2, 1), (
        "as without: both fault"
    )
    trace = run("linux-6.2+split-on-fault+pml", [WRITE, ENABLE, WRITE, SYNC, WRITE],
                program=(2, [(5, True), (6, True)]))  # fmt: skip
    assert deltas(trace, 2, "pf_taken", "remote_tlb_flush_requests") == (2, 0)


def test_a_get_kicks_the_vcpus_so_that_buffers_drain() -> None:
    phases = [WRITE, ENABLE, {"do": "write", "think": "1us", "background": True},
              *[{"do": "sleep", "time": "100us"}, {"do": "get-dirty-log"}] * 2,
              {"do": "wait"}]  # fmt: skip
    trace = run("linux-6.13+pml", phases, costs=CONSTANT)
    first, second = trace.phases[4], trace.phases[6]
    assert first.spent["c_kick"] == 100
    assert first.dirty == 0, "nobody waits for the drain"
    assert 70 < (second.dirty or 0) < 90, "100 us of 1.3 us each"


# --- the dirty ring ------------------------------------------------------------------------------


def test_a_full_ring_stops_the_vcpu_and_costs_a_fault_more_each_time() -> None:
    """4 KiB are 256 entries, 64 of which are in reserve."""
    phases = [WRITE, ENABLE, WRITE, HARVEST]
    trace = run("linux-5.11+dirty-ring", phases, driver={"dirty-ring-size": 256})
    assert deltas(trace, 2, "ring_fulls", "ring_entries", "pf_taken") == (5, 960, 1024 + 5)
    assert trace.phases[3].dirty == 1024 + 5 - 960
    assert trace.phases[2].ledger["ring_full"] > 0


def test_the_reserve_is_larger_under_pml() -> None:
    assert (DirtyRing(1024, False).soft_limit, DirtyRing(1024, True).soft_limit) == (960, 448)


@pytest.mark.parametrize(
    ("gfns", "sizes"),
    [
        (range(64), [64]),
        (range(65), [64, 1]),
        ([0, 200, 1, 2], [1, 1, 2]),
        ([63, 0], [2]),
        ([64, 0], [1, 1]),
        ([10, 5, 70, 68], [2, 2]),  # 70 is beyond 5 + 64
        ([10, 5, 68], [3]),
    ],
)
def test_a_reset_groups_entries_into_windows_of_64_pages(gfns: Any, sizes: list[int]) -> None:
    assert [len(mask) for mask in masks(list(gfns))] == sizes


def test_neighbours_are_reset_under_few_holds_and_strangers_under_many() -> None:
    def holds(order: str) -> int:
        phases = [WRITE, ENABLE, {"do": "write", "order": order}, HARVEST]
        return run("linux-6.13+dirty-ring", phases).phases[3].spent["c_ring_mask"]

    assert holds("sequential") == 1024 // 64 * 100
    assert holds("random") > 30 * holds("sequential")


# --- initially all set ---------------------------------------------------------------------------

ALL_SET = [WRITE, ENABLE, WRITE, SYNC, WRITE, SYNC]


def test_with_all_bits_set_nothing_is_armed_before_the_first_clear() -> None:
    trace = run("linux-5.14+initially-all-set", ALL_SET)
    assert "c_head" not in trace.phases[1].spent
    assert trace.phases[2].counters["pf_taken"] == 0
    assert trace.phases[3].dirty == 1024, "everything, once"
    assert trace.phases[4].counters["pf_taken"] > 0


@pytest.mark.parametrize(
    ("kernel", "visits"), [("linux-5.7", "c_head"), ("linux-5.13+tdp", "c_tdp_visit")]
)
def test_before_5_14_large_sptes_are_read_only_from_the_start_though_all_bits_are_set(
    kernel: str, visits: str
) -> None:
    """3c9bd4006bfc: what is small stays writable, so only the walk over large sptes is left."""
    trace = run(f"{kernel}+initially-all-set", ALL_SET)
    enabling = trace.phases[1]
    assert enabling.spent[visits] <= 9, "two large leaves, two heads of 2 MiB and one of a GiB"
    assert enabling.counters["remote_tlb_flush_requests"] == 1
    assert trace.phases[2].counters["pf_taken"] > 0
    assert trace.phases[3].dirty == 1024, "everything, once"
    small = run(f"{kernel}+initially-all-set", ALL_SET, vm={"backing": "4KiB"})
    assert small.phases[1].counters["remote_tlb_flush_requests"] == 0
    assert small.phases[2].counters["pf_taken"] == 0, "control: nothing large, nothing armed"


def test_a_first_clear_takes_mmu_writable_unless_it_is_told_not_to() -> None:
    policy = "linux-6.2+deferred"
    trace = run(policy, ALL_SET)
    assert deltas(trace, 4, "pf_taken", "pf_fast") == (1024, 0)
    trace = run(policy, ALL_SET, driver={"all_set_keeps_mmu_writable": True})
    assert deltas(trace, 4, "pf_taken", "pf_fast") == (1024, 1022)


def test_a_first_clear_splits_where_splitting_is_eager() -> None:
    trace = run("linux-6.13+initially-all-set", ALL_SET)
    assert trace.phases[3].counters["pages_2m"] == -2
    assert deltas(trace, 4, "pf_taken", "pf_fast") == (1024, 1024)


# --- NX huge pages -------------------------------------------------------------------------------


def test_what_is_executed_is_mapped_small_and_counted_once() -> None:
    vm = {"nx_huge_pages": True, "executable": "25%"}
    trace = run("linux-6.13", [READ, ENABLE, DISABLE, READ], memory="16MiB", vm=vm)
    assert deltas(trace, 0, "pages_2m", "pages_4k", "nx_lpage_splits") == (6, 1024, 2)
    assert trace.phases[3].counters["nx_lpage_splits"] == 0
    trace = run("linux-6.13", [READ], memory="16MiB", vm={"executable": "25%"})
    assert deltas(trace, 0, "pages_2m", "nx_lpage_splits") == (8, 0)


# --- the first kernel, the proposals, the bugs ---------------------------------------------------


def test_the_first_kernel_zaps_all_at_enable_and_walks_all_at_get() -> None:
    phases = [WRITE, ENABLE, WRITE, SYNC, WRITE, {"do": "write", "pages": "1%"}, SYNC, WRITE]
    trace = run("linux-2.6.37", phases)
    assert trace.phases[1].counters["pages_2m"] == -2
    assert trace.phases[2].counters["pf_taken"] == 1024
    assert trace.phases[7].counters["pf_taken"] == 1024, "pages that nobody wrote are armed too"
    trace = run(
        "rmap-sparse", [WRITE, ENABLE, WRITE, SYNC, {"do": "write", "pages": "1%"}, SYNC, WRITE]
    )
    assert trace.phases[6].counters["pf_taken"] == 1024, "all but the 1 % were armed by the get"


def test_the_bug_of_the_first_kernel_stops_the_guest() -> None:
    phases = [WRITE, ENABLE, WRITE, SYNC, WRITE]
    with pytest.raises(LivelockError, match="below an entry of the table above it"):
        run("wp-all-levels-bug", phases)
    run("wp-all-levels", phases)


def test_the_bug_does_not_strike_where_nothing_was_ever_large() -> None:
    """The table has the slot's bit only because it once held a large spte of it."""
    run("wp-all-levels-bug", [WRITE, ENABLE, WRITE, SYNC, WRITE], vm={"backing": "4KiB"})


@pytest.mark.parametrize("error", [LostWriteError, InvariantError])
def test_the_patch_of_january_2013_is_caught(error: type[Exception]) -> None:
    with pytest.raises(error):
        run("lazy-drop-2013", [WRITE, ENABLE, WRITE, {"do": "get-dirty-log"}])


def test_arming_at_the_root_moves_all_work_to_the_fault() -> None:
    phases = [WRITE, ENABLE, WRITE, SYNC, WRITE]
    root = run("wp-all-root", phases, memory="16MiB", costs=CONSTANT)
    lazy = run("lazy-drop", phases, memory="16MiB", costs=CONSTANT)
    assert root.phases[1].spent["c_wclear"] == 100, "one entry of the root"
    assert root.phases[3].spent["c_wclear"] == 100
    assert lazy.phases[3].spent["c_wclear"] == 4096 * 100
    pushed = [t.phases[4].ledger["fault_slow"] for t in (root, lazy)]
    assert pushed[0] > pushed[1]
    # every small spte lost W in some fault: 4,096 of them, 8 tables, 1 entry above
    slow = root.phases[4]
    assert slow.counters["pf_taken"] == slow.counters["pf_fixed"] == 4096


def test_what_the_host_has_no_memory_for_is_not_prefetched() -> None:
    """A first pass over fresh memory faults at every page, else at one in eight."""
    faults = {}
    for prefaulted in (True, False):
        vm = {"backing": "4KiB", "kernel": "linux-3.16", "prefaulted": prefaulted}
        phases = [WRITE, {"do": "recreate-slot", "logging": False}, WRITE]
        trace = run("lazy-drop", phases, memory="2MiB", vm=vm)
        faults[prefaulted] = [trace.phases[i].counters["pf_taken"] for i in (0, 2)]
    assert faults == {True: [64, 64], False: [512, 64]}


def test_no_group_is_prefetched_beyond_the_end_of_memory() -> None:
    """Five pages of a group of eight: what follows the faulting one reaches beyond the end."""
    vm = {"backing": "4KiB", "kernel": "linux-3.16"}
    faults = {}
    for memory in ("32KiB", "20KiB", "52KiB"):
        trace = run("lazy-drop", [WRITE], memory=memory, vm=vm)
        faults[memory] = trace.phases[0].counters["pf_taken"]
    assert faults == {"32KiB": 1, "20KiB": 5, "52KiB": 1 + 5}
