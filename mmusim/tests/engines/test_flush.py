"""Flushes: who is waited for, who pays what; what else the host does on a vCPU's processor."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mmusim.base.errors import ConfigError
from mmusim.engine import simulate
from mmusim.engine.state.tlb import GRAIN, REACH, SLOTS, Refill, WorkingSet, refill, refill_of
from mmusim.mmu.page_table import PageTable
from mmusim.mmu.spte import PRESENT, TABLE
from mmusim.plan.make import make_plan
from mmusim.tests.support.settings import CONSTANT, setting
from mmusim.trace.records import PhaseTrace, Trace
from mmusim.workload.base import Accesses

FREE = dict.fromkeys(
    ["c_tlb_flush", "c_ack", "c_refill_2M", "c_refill_4K", "t_write", "t_walk_4K"], "0ns"
)
COSTS = CONSTANT | FREE | {"c_flush_init": "1us", "c_flush_target": "200ns"}


@dataclass(frozen=True)
class Reader:
    """Read `pages` pages round and round; the first vCPU does nothing but one write, late."""

    pages: int
    count: int = 60_000

    def length(self, pages: int) -> int:
        return self.count

    def accesses(self, base_gfn: int, pages: int, uniforms: object) -> Accesses:
        gfns = base_gfn + np.arange(self.count, dtype=np.int64) % self.pages
        write = np.zeros(self.count, np.bool_)
        write[self.count // 2] = base_gfn == 0
        return Accesses(gfns, write)


def dropping(vcpus: int = 4, pages: int = 8, backing: str = "2MiB", **costs: str) -> PhaseTrace:
    """A write drops a large spte, which flushes everybody, while all vCPUs read."""
    phases = [{"do": "write"}, {"do": "enable-logging"}, {"do": "read"}]
    vm = {"kernel": "linux-3.16", "backing": backing}
    made = setting(phases, vcpus=vcpus, memory=f"{2 * vcpus}MiB", vm=vm, costs=COSTS | costs)
    plan = make_plan(made, "lazy-drop", 1)
    trace = simulate(dataclasses.replace(plan, patterns=(*plan.patterns[:2], Reader(pages))))
    return trace.phases[2]


# Who is waited for.


def test_the_initiator_waits_for_the_slowest_target_while_it_holds_the_lock() -> None:
    """All acknowledge c_exit + c_ack after the kick, if that is later than sending to all."""
    waits = {ack: dropping(c_ack=ack, c_exit="1us").ledger["flush_wait"] for ack in ("0ns", "9us")}
    assert waits["0ns"] == 1000 + 3 * 200, "who answers sooner than all are asked is not waited for"
    assert waits["9us"] == 1000 + 9000


def test_targets_pay_exit_latency_flush_and_entry() -> None:
    costs: dict[str, Any] = {
        "c_exit": "1us",
        "c_ack": "3us",
        "c_tlb_flush": "50ns",
        "c_entry": "500ns",
    }
    paid = dropping(**costs).ledger
    assert paid["flush_exit"] == 3 * (1000 + 3000 + 500)
    assert paid["tlb_flush"] == (4 + 4) * 50, "at the first entry, since logging; and now"


def test_requests_coalesce_and_who_is_not_in_the_guest_pays_at_entry() -> None:
    """64 vCPUs drop at once: most wait for mmu_lock, and flush once for all who went before."""
    phases = [{"do": "write"}, {"do": "enable-logging"}, {"do": "write", "pages": "1%"}]
    made = setting(phases, vcpus=64, memory="128MiB", vm={"kernel": "linux-3.16"},
                costs=COSTS | {"c_tlb_flush": "1us", "c_lock_section": "90ns"})  # fmt: skip
    phase = simulate(make_plan(made, "lazy-drop", 1)).phases[2]
    assert phase.counters["remote_tlb_flush_requests"] == 64
    flushed = phase.ledger["tlb_flush"] / 1000
    assert 64 <= flushed < 0.5 * 64 * 64, "without coalescing it would be 64 for each of 64"


# What is walked again.


def test_the_working_set_is_what_is_used_before_and_after() -> None:
    rng = np.random.default_rng(5)
    gfn = rng.integers(0, 700, 9 * REACH)
    seen = WorkingSet(gfn)
    for k in (0, 1, GRAIN, 2 * REACH + 3, len(gfn) - 1):
        at = k // GRAIN * GRAIN
        before, after = gfn[max(0, at - REACH) : at], gfn[at : at + REACH]
        assert set(seen.at(k).tolist()) == set(before.tolist()) & set(after.tolist())
    assert len(seen.at(3 * REACH)) > 300
    once = WorkingSet(np.arange(5000))
    assert [len(once.at(k)) for k in range(0, 5000, 500)] == [0] * 10, "a pass needs nothing again"


def test_a_large_mapping_is_walked_once_and_small_ones_one_by_one() -> None:
    table = PageTable.empty(3 * 512, 2)
    table.giant[0] |= TABLE
    table.region[0] |= PRESENT
    table.region[1] |= TABLE
    table.page[512 : 512 + 20] |= PRESENT
    assert refill(table, np.arange(100)) == Refill(0, 1)
    assert refill(table, np.arange(500, 600)) == Refill(20, 1)
    assert refill(table, np.arange(1024, 1100)) == Refill(0, 0)


def test_whoever_has_a_working_set_pays_for_it_after_a_flush() -> None:
    """Readers one large mapping each; of the initiator's only the page it wrote is there."""
    costs: dict[str, Any] = {"c_refill_2M": "30ns", "c_refill_4K": "45ns"}
    for pages in (2, 8, 512):
        assert dropping(pages=pages, **costs).ledger["tlb_refill"] == 3 * 30 + 45
    split = dropping(backing="4KiB", **costs)
    assert split.ledger["tlb_refill"] == 0, "nothing is dropped"
    assert dropping().ledger["tlb_refill"] == 0, "negative control: it costs nothing"


# Interference.


def disturbed(every: Any, lasts: Any, **more: Any) -> Trace:
    phases = [{"do": "write"}, {"do": "read", "think": "10us"}]
    host = {"interference": [{"every": every, "lasts": lasts}]}
    made = setting(phases, memory="16MiB", costs=COSTS, **more)
    data = made.experiment.model_copy(
        update={"host": type(made.experiment.host).model_validate(
            made.experiment.host.model_dump(mode="json") | host)}
    )  # fmt: skip
    return simulate(make_plan(dataclasses.replace(made, experiment=data), "eager-drop", 1))


def test_a_tick_takes_its_share_of_the_time() -> None:
    """Every 100 us of 10 us each: between a tick's end and the next 90 us, so 10 % in all."""
    phase = disturbed("100us", "10us").phases[1]
    assert phase.ledger["interference"] / phase.vcpu_ns == pytest.approx(0.10, abs=0.002)
    assert phase.reads.maximum < 1_000, "between accesses, which have no latency then"
    assert sum(phase.ledger.values()) == phase.vcpu_ns


def test_rare_and_long_interference_makes_the_tail() -> None:
    rare = {"gamma": {"mean": "2ms", "cv": 1.0}}
    long = {"lognormal": {"median": "50us", "p99": "1ms"}}
    calm, noisy = disturbed("10ms", "0ns").phases[1], disturbed(rare, long).phases[1]
    assert calm.ledger["interference"] == 0
    assert noisy.ledger["interference"] > 0.5 * 50_000 * noisy.vcpu_ns / 2e6
    assert sum(noisy.ledger.values()) == noisy.vcpu_ns


def test_interference_is_drawn_by_its_own_index() -> None:
    """The same gaps and lengths whatever the guest does: a paired comparison stays one."""
    assert disturbed("1ms", "10us").fingerprint == disturbed("1ms", "10us").fingerprint
    assert disturbed("1ms", "10us").fingerprint != disturbed("1ms", "11us").fingerprint


def test_interference_without_pause_is_refused() -> None:
    phases = [{"do": "read"}]
    with pytest.raises(ConfigError, match="must be 1us or more on average"):
        setting(phases, host={"profile": "skylake-2021", "interference": [
            {"every": "100ns", "lasts": "1us"}]})  # fmt: skip


def one_at_a_time(gfn: NDArray[np.int64], end: int, table: PageTable) -> Any:
    """What compiled code finds: a function of the access."""
    s = SimpleNamespace(
        pages_of=[gfn.tolist()], length=[end], last_seen=[-1] * SLOTS, working=[[0] * REACH],
        set_at=[-1], set_n=[0], page=table.page.tolist(), region=table.region.tolist(),
        giant=table.giant.tolist(),
    )  # fmt: skip
    return lambda k: refill_of(s, 0, k)


@pytest.mark.parametrize("seed", range(20))
def test_one_page_at_a_time_and_many_at_once_find_the_same(seed: int) -> None:
    """The two texts of the mappings to walk again: that of SimPy and that of compiled code."""
    rng = np.random.default_rng(seed)
    pages = int(rng.choice([600, 4_096, 600_000]))
    table = PageTable.empty(pages, 3)
    for entries in (table.page, table.region, table.giant):
        entries[rng.random(len(entries)) < rng.random()] = PRESENT
    gfn = rng.integers(0, min(pages, int(rng.choice([40, 2_000, 600_000]))), 5_000)
    end = int(rng.integers(1, 5_001))
    found, seen = one_at_a_time(gfn, end, table), WorkingSet(gfn)
    seen.end = end
    for k in rng.integers(0, end, 4).tolist():
        assert found(k) == refill(table, seen.at(k))


def test_a_program_that_ends_sooner_uses_other_pages() -> None:
    """Negative control: what comes behind the end counts for nothing."""
    table = PageTable.empty(600, 1)
    table.page[:] = PRESENT
    gfn = np.concatenate([np.arange(300), np.arange(300)])
    assert one_at_a_time(gfn, 600, table)(300) == refill(table, WorkingSet(gfn).at(300))
    assert one_at_a_time(gfn, 350, table)(300) != refill(table, WorkingSet(gfn).at(300))
