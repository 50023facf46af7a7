"""A guest whose memory lies in several memslots: log operations go from slot to slot."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from mmusim.base.errors import ConfigError
from mmusim.base.units import BYTES, PAGE
from mmusim.config.guest_memory import memslots
from mmusim.costs import log_operations
from mmusim.engine.host import log_reports
from mmusim.mmu.slot import MemSlot
from mmusim.plan.make import make_plan
from mmusim.tests.support.agreement import agree
from mmusim.tests.support.settings import CONSTANT, only, setting
from mmusim.trace.records import PhaseTrace, Trace

PARTS = ["4MiB", "2MiB", "2MiB"]
COSTS = CONSTANT | {"c_srcu": "7us", "c_get_floor": "11us", "c_flush_init": "300ns"}


def logged(
    policy: str, slots: Any, phases: list[dict[str, Any]] | None = None, **more: Any
) -> Trace:
    """All is written, then each log operation happens once or twice; nobody runs beside them."""
    log = [
        {"do": "write"}, {"do": "enable-logging"}, {"do": "write", "pages": "40%"},
        {"do": "sync-dirty-log", "chunk": "1MiB"}, {"do": "write", "pages": "30%"},
        {"do": "sync-dirty-log"}, {"do": "disable-logging"}, {"do": "read"},
    ]  # fmt: skip
    made = setting(
        phases or log, memory="8MiB", costs=COSTS, policies=only(policy),
        vm={"kernel": "linux-6.13", "slots": slots}, **more,
    )  # fmt: skip
    trace: Trace = agree(made, policy)
    return trace


def took(trace: Trace, do: str) -> list[int]:
    return [phase.end_ns - phase.start_ns for phase in trace.phases if phase.do == do]


def counted(trace: Trace, do: str, what: str) -> list[int]:
    return [phase.counters[what] for phase in trace.phases if phase.do == do]


@pytest.mark.parametrize("policy", ["linux-6.13", "linux-3.16", "linux-6.13+pml", "linux-5.11+tdp"])
def test_each_slot_has_a_grace_period_a_floor_and_a_flush_of_its_own(policy: str) -> None:
    """Everything else is a sum over pages, and so the same; each rounds for itself."""
    phases = [
        {"do": "write"}, {"do": "enable-logging"}, {"do": "write"}, {"do": "sync-dirty-log"},
        {"do": "write"}, {"do": "sync-dirty-log"}, {"do": "read"},
    ]  # fmt: skip
    one, three = (logged(policy, slots, phases) for slots in ("one", PARTS))
    flushes = "remote_tlb_flush_requests"
    assert counted(one, "enable-logging", flushes) == [1]
    assert counted(three, "enable-logging", flushes) == [3]
    assert (
        counted(three, "sync-dirty-log", flushes)
        == [3, 3]
        != counted(one, "sync-dirty-log", flushes)
    )
    more = [
        b - a
        for a, b in zip(took(one, "sync-dirty-log"), took(three, "sync-dirty-log"), strict=True)
    ]
    assert more == pytest.approx([2 * (11_000 + 300)] * 2, abs=10)
    more = [
        b - a
        for a, b in zip(took(one, "enable-logging"), took(three, "enable-logging"), strict=True)
    ]
    heads = 2 * 3 * 40  # an rmap head of a GiB, and at most a table, for each slot
    assert more == pytest.approx([2 * (7_000 + 300)], abs=heads)


@pytest.mark.parametrize(
    "policy", ["linux-6.13", "linux-6.13+manual-clear", "linux-6.13+initially-all-set", "linux-3.7",
               "linux-2.6.37", "linux-6.13+dirty-ring", "linux-5.15+pml+initially-all-set"],
)  # fmt: skip
def test_the_slots_together_report_what_one_slot_reports(policy: str) -> None:
    """In every order of the sizes, and page by page: the log does not know where slots end."""
    expected = [phase.dirty for phase in logged(policy, "one").phases]
    for parts in (PARTS, PARTS[::-1], ["2MiB", "6MiB"], ["2MiB"] * 4):
        trace = logged(policy, parts)
        assert [phase.dirty for phase in trace.phases] == expected
        assert trace.counters["pf_taken"] == logged(policy, "one").counters["pf_taken"]


def test_a_clear_goes_to_each_slot_that_its_chunk_meets() -> None:
    """Chunks of 4 MiB over slots of 2, 4 and 2 MiB: four ioctls, where one slot has two."""
    policy = "linux-6.13+initially-all-set"
    phases = [
        {"do": "write"}, {"do": "enable-logging"}, {"do": "get-dirty-log"},
        {"do": "clear-dirty-log", "chunk": "4MiB"}, {"do": "read"},
    ]  # fmt: skip
    for slots, ioctls in (("one", 2), (["2MiB", "4MiB", "2MiB"], 4), (["4MiB", "4MiB"], 2)):
        trace = logged(policy, slots, phases)
        (clear,) = [phase for phase in trace.phases if phase.do == "clear-dirty-log"]
        assert clear.spent["c_get_floor"] == ioctls * 11_000
        assert clear.counters["remote_tlb_flush_requests"] == ioctls


def test_a_range_meets_the_parts_of_slots_that_it_covers() -> None:
    slots = [MemSlot(0, 512), MemSlot(512, 1024), MemSlot(1536, 512)]
    assert list(log_reports.meeting(slots, 0, 2048)) == slots
    assert list(log_reports.meeting(slots, 500, 24)) == [MemSlot(500, 12), MemSlot(512, 12)]
    assert list(log_reports.meeting(slots, 600, 10)) == [MemSlot(600, 10)]
    assert list(log_reports.meeting(slots, 2048, 10)) == []


def test_a_write_is_logged_from_the_instant_that_its_own_slot_logs() -> None:
    """The first slot is armed while the second waits for its grace period: its writers fault.

    A get after enabling reports them; with one slot there is nothing before the get. Nothing is
    lost: both engines check.
    """
    phases = [
        {"do": "write"},
        {"do": "write", "order": "random", "background": True, "name": "beside"},
        {"do": "sleep", "time": "10us"},
        {"do": "enable-logging"}, {"do": "get-dirty-log", "name": "get"}, {"do": "wait"},
        {"do": "get-dirty-log"},
    ]  # fmt: skip
    dirty = {}
    for name, slots in (("one", "one"), ("two", ["2MiB", "6MiB"])):
        made = setting(
            phases, memory="8MiB", costs=COSTS | {"c_srcu": "100us"}, vcpus=1,
            policies=only("linux-6.13"), vm={"kernel": "linux-6.13", "slots": slots},
        )  # fmt: skip
        trace = agree(made, "linux-6.13")
        (get,) = [phase for phase in trace.phases if phase.name == "get"]
        dirty[name] = get.dirty
    assert dirty["one"] < dirty["two"] <= 512


def test_a_vcpu_gets_the_lock_between_two_slots() -> None:
    """The longest hold of a get of all pages is that of the largest slot, not of the sum."""
    phases = [
        {"do": "write"}, {"do": "enable-logging"}, {"do": "write"}, {"do": "get-dirty-log"},
        {"do": "read"},
    ]  # fmt: skip
    holds = {}
    for name, slots in (("one", "one"), ("four", ["2MiB"] * 4)):
        made = setting(phases, memory="8MiB", costs=COSTS, policies=only("linux-3.16"),
                       vm={"kernel": "linux-3.16", "slots": slots})  # fmt: skip
        holds[name] = agree(made, "linux-3.16").lock.longest_hold_ns
    assert holds["one"] == pytest.approx(4 * holds["four"], rel=0.02)


def test_a_clear_that_does_not_know_where_slots_end_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Negative control: one ioctl for each chunk."""
    monkeypatch.setattr(log_reports, "meeting", lambda slots, first, pages: [MemSlot(first, pages)])
    policy = "linux-6.13+initially-all-set"
    phases = [
        {"do": "write"}, {"do": "enable-logging"}, {"do": "get-dirty-log"},
        {"do": "clear-dirty-log", "chunk": "4MiB"}, {"do": "read"},
    ]  # fmt: skip
    trace = logged(policy, ["2MiB", "4MiB", "2MiB"], phases)
    (clear,) = [phase for phase in trace.phases if phase.do == "clear-dirty-log"]
    assert clear.spent["c_get_floor"] == 2 * 11_000


def test_boards_part_memory_where_qemu_does() -> None:
    """pc_init1 and pc_q35_init: 3 GiB from 3.5 GiB on, 2 GiB from 2.75 GiB on."""
    gib = BYTES["GiB"]

    def sizes(board: str, memory: float) -> list[float]:
        slots = memslots(board, int(memory * gib))
        ends = [slot.base_gfn + slot.npages for slot in slots]
        assert [0, *ends[:-1]] == [slot.base_gfn for slot in slots]
        return [slot.npages * PAGE / gib for slot in slots]

    assert sizes("one", 64) == [64]
    assert sizes("i440fx", 3.25) == [3.25]
    assert sizes("i440fx", 3.5) == [3, 0.5]
    assert sizes("q35", 2.5) == [2.5]
    assert sizes("q35", 2.75) == [2, 0.75]
    assert sizes("q35", 64) == [2, 62]


@pytest.mark.parametrize(
    ("vm", "says"),
    [
        ({"slots": ["2MiB", "2MiB"]}, "must add up to vm.memory = 8MiB and add up to 4MiB"),
        ({"slots": ["1MiB", "7MiB"]}, "must end at multiples of 2MiB"),
        ({"slots": ["8MiB", "0B"]}, "must each have a page"),
        ({"slots": ["0B", "8MiB"]}, "must end at multiples of 2MiB"),
        ({"slots": []}, "slots"),
        ({"slots": "pc"}, "slots"),
        ({"slots": ["2MiB", "6MiB"], "backing": "1GiB"}, "must end at multiples of 1GiB"),
    ],
)
def test_slots_that_are_not_the_memory_are_refused(vm: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        setting([{"do": "write"}], memory="8MiB", vm=vm)


def test_a_migration_syncs_and_clears_slot_by_slot() -> None:
    spec = {"bandwidth": "2GB/s", "max-bandwidth": "0B/s", "clear-bitmap-shift": 10,
            "downtime-limit": "1ms", "max_rounds": 5}  # fmt: skip
    policy = "linux-6.13+initially-all-set"
    done: dict[str, PhaseTrace] = {}
    for name, slots in (("one", "one"), ("four", ["2MiB", "2MiB", "2MiB", "2MiB"])):
        made = setting(
            [{"do": "write"}, {"do": "migrate", "workload": "w", "think": "2us"}], memory="8MiB",
            vcpus=2, costs=COSTS, driver={"migration": spec},
            vm={"kernel": "linux-6.13", "slots": slots},
            policies={"baseline": policy, "compare": ["linux-6.13"]},
            workloads={"w": {"pattern": "uniform", "writes": "50%"}},
        )  # fmt: skip
        done[name] = next(p for p in agree(made, policy).phases if p.do == "migrate")
    syncs = {}
    for name, phase in done.items():
        assert phase.migration is not None
        syncs[name] = phase.migration.spent["sync"] / phase.migration.syncs
    assert syncs["four"] - syncs["one"] == pytest.approx(3 * 11_000, rel=0.1)


def test_closed_form_of_a_get_over_slots() -> None:
    """Words and leaves of all slots, a floor and a flush each: B.4 summed over slots.

    A word with a bit set costs c_dirty_word, too.
    """
    trace = logged("linux-3.16", PARTS)
    plan = make_plan(setting([{"do": "write"}], costs=COSTS, vm={"kernel": "linux-3.16"}),
                     "linux-3.16", 1)  # fmt: skip
    sizes = np.array([1024, 512, 512])
    written = np.array([819, 0, 0])  # 40 % of 2,048 pages from the first on
    expected = 0
    for pages, dirty in zip(sizes, written, strict=True):
        counts = log_operations.rearm(
            plan.kernel, plan.choices, int(pages), int(dirty), words=math.ceil(dirty / 64)
        )
        counts = {**counts, **log_operations.copy(int(pages))}
        expected += sum(round(plan.costs[c].mean() * n) for c, n in counts.items())
        expected += 11_000 + (300 if dirty else 0)
    assert took(trace, "sync-dirty-log")[0] == pytest.approx(expected, abs=4)
