"""Migration: the closed form, what arrives at the destination, and every way it can end."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from mmusim.base.errors import ConfigError, InvariantError, LostWriteError
from mmusim.base.units import NS, PAGE
from mmusim.cli import app
from mmusim.costs.random_streams import stream_key
from mmusim.engine import simulate
from mmusim.engine.choice import SIMPY
from mmusim.engine.migration.channel import (
    HEADER,
    RATE_AUTOCORRELATION,
    WINDOW_NS,
    ZERO_PAGE_BYTES,
    Noise,
)
from mmusim.engine.migration.migration import Migration
from mmusim.engine.processes.user_space import asleep
from mmusim.engine.state import invariants
from mmusim.metrics.measure import measure
from mmusim.metrics.stored import from_record, to_record
from mmusim.plan.make import Plan, make_plan
from mmusim.tests.support.migrations import FREE, migrating
from mmusim.tests.support.settings import CONSTANT, SOUND, setting, with_program
from mmusim.trace.records import MigrationTrace, PhaseTrace, Probe, Trace
from mmusim.workload.base import Accesses, Uniforms

SOUND_LOGS = [policy for policy in SOUND if policy != "none"]
PER_PAGE_NS = PAGE + HEADER
"""At 1 GB/s."""


def migration(trace: Trace) -> tuple[PhaseTrace, MigrationTrace]:
    phase = next(phase for phase in trace.phases if phase.do == "migrate")
    assert phase.migration is not None
    return phase, phase.migration


def migrate(plan: Plan, **more: Any) -> MigrationTrace:
    return migration(simulate(plan, **more))[1]


# --- the closed form -----------------------------------------------------------------------------


def constant_writer(every_ns: int, pages: int, working_set: int, policy: str, **spec: Any) -> Plan:
    """A guest that writes the next page of its working set every so often, on a free host."""
    plan = migrating(
        policy, vcpus=1, memory=f"{pages * 4}KiB", think=f"{every_ns - 1}ns", costs=FREE,
        before=(), bandwidth="1GB/s", bandwidth_cv="0%", downtime_limit="0ns", **spec,
    )  # fmt: skip
    return with_program(plan, 0, [(gfn, True) for gfn in range(working_set)])


def closed_form(every_ns: int, pages: int, working_set: int, most: int) -> list[int]:
    """D(k+1) = min(S, d D(k) / b) in whole pages and nanoseconds.

    A round that begins at T and sends D pages ends at T + D p, with p the time of a page. The m-th
    write begins one nanosecond before m g, so until T there were floor(T / g).
    """
    dirty, began = [pages], 0
    while dirty[-1] and len(dirty) <= most:
        ended = began + dirty[-1] * PER_PAGE_NS
        dirty.append(min(working_set, ended // every_ns - began // every_ns))
        began = ended
    return dirty


EXACT = ["linux-3.7", "linux-3.16", "linux-6.13", "linux-6.13+initially-all-set", "dirty-ring",
         "linux-5.15+manual-clear", "linux-6.2+split-on-fault+manual-clear"]  # fmt: skip


@pytest.mark.parametrize("policy", EXACT)
@pytest.mark.parametrize(
    ("every_ns", "converges"),
    [(40 * PER_PAGE_NS, True), (2 * PER_PAGE_NS + 77, True), (PER_PAGE_NS * 10 // 9, True),
     (PER_PAGE_NS, False), (PER_PAGE_NS // 2, False)],
)  # fmt: skip
def test_rounds_are_those_of_the_closed_form(policy: str, every_ns: int, converges: bool) -> None:
    """With a free host, a noiseless network and a constant writer: to the page and nanosecond."""
    pages, working_set = 4096, 1500
    m = migrate(
        constant_writer(every_ns, pages, working_set, policy, max_rounds=120 if converges else 15)
    )
    expected = closed_form(every_ns, pages, working_set, 120 if converges else 15)
    assert [r.dirty_pages for r in m.rounds[: len(expected) - 1]] == expected[1:]
    assert [r.sent_pages for r in m.rounds[: len(expected) - 1]] == expected[:-1]
    assert [r.end_ns - r.start_ns for r in m.rounds[: len(expected) - 1]] == [
        sent * PER_PAGE_NS for sent in expected[:-1]
    ]
    assert m.outcome == ("completed" if converges else "did-not-converge")
    assert converges == (every_ns > PER_PAGE_NS), "it converges if and only if d < b"


def test_costs_of_the_host_lead_away_from_the_closed_form() -> None:
    """Negative control: with the real costs of faults the guest dirties less than without."""
    every_ns = PER_PAGE_NS * 10 // 9
    plan = constant_writer(every_ns, 4096, 1500, "linux-3.16")
    costly = dataclasses.replace(plan, costs=migrating().costs)
    rounds = [r.dirty_pages for r in migrate(costly).rounds]
    assert rounds[:5] != closed_form(every_ns, 4096, 1500, 5)[1:]


def test_the_number_of_rounds_is_that_of_a_geometric_series() -> None:
    """ln(D0 / theta) / ln(b / d), where the threshold theta is what is left for the last round."""
    every_ns, pages = 2 * PER_PAGE_NS, 4096
    m = migrate(constant_writer(every_ns, pages, pages, "linux-3.16"))
    assert len(m.rounds) == np.log2(pages) + 2, "4096, 2048 ... 1, 0, and that of the switch-over"


# --- what arrives --------------------------------------------------------------------------------


class Counters(Probe):
    """A write counter for each page, at the source and at the destination."""

    def __init__(self, pages: int) -> None:
        self.here, self.there = np.zeros(pages, np.int64), np.zeros(pages, np.int64)
        self.over = False
        self.copies_after = np.zeros(pages, np.int64)
        self.missing: np.ndarray | None = None

    def accessed(self, cpu: int, gfns: list[int], writes: list[bool], end_ns: int) -> None:
        for gfn, write in zip(gfns, writes, strict=True):
            if self.over:
                assert self.here[gfn] <= self.there[gfn], f"gfn {gfn} is touched too early"
                self.there[gfn] += write
            else:
                self.here[gfn] += write

    def copied(self, gfns: list[int]) -> None:
        if self.over:
            self.copies_after[gfns] += 1
        self.there[gfns] = self.here[gfns]

    def switched(self) -> None:
        self.over = True
        self.missing = self.here != self.there


@pytest.mark.parametrize("policy", SOUND_LOGS)
@pytest.mark.parametrize("costs", [None, CONSTANT], ids=["random costs", "constant costs"])
def test_write_counters_are_equal_at_both_ends(policy: str, costs: Any) -> None:
    """And the time of everybody is accounted for, whatever is bundled into one event."""
    plan = migrating(policy, costs=costs, clear_bitmap_shift=8)
    counters = Counters(plan.pages)
    trace = simulate(plan, probe=counters)
    phase, m = migration(trace)
    assert m.outcome == "completed"
    assert len(m.rounds) >= 2
    assert counters.here.sum() > 0
    assert counters.over
    assert (counters.here == counters.there).all()
    assert sum(phase.ledger.values()) == phase.vcpu_ns
    assert sum(m.spent.values()) == m.end_ns - m.start_ns
    logs = sum(m.spent.get(part, 0) for part in ("enable", "sync", "clear", "disable"))
    assert sum(phase.spent.values()) == logs
    assert simulate(plan, run_limit=1).fingerprint == trace.fingerprint


def nothing() -> Iterator[Any]:
    yield from ()


def without_last_sync(self: Migration) -> Any:
    """Stop the guest as always, and leave the log unread."""
    read = self.log.read
    monkey: Any = self.log
    monkey.read = nothing
    yield from STOP_GUEST(self)
    monkey.read = read


STOP_GUEST = Migration.stop_guest


@pytest.mark.parametrize("policy", ["linux-3.16", "linux-6.13+pml+initially-all-set", "dirty-ring"])
def test_without_the_sync_at_the_switch_over_writes_are_lost(
    policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control, of the check in the engine and of the counters beside it."""
    monkeypatch.setattr(Migration, "stop_guest", without_last_sync)
    slow_sync = {"c_copy": "20s", "c_ring_harvest": "100us"}  # in which the guest goes on writing
    plan = migrating(policy, think="300us", costs=slow_sync)
    with pytest.raises(LostWriteError, match="old version"):
        simulate(plan)
    monkeypatch.setattr(invariants, "check_arrival", lambda *_: None)
    counters = Counters(plan.pages)
    simulate(plan, probe=counters)
    assert (counters.here != counters.there).any()


def test_a_policy_that_loses_writes_is_caught() -> None:
    with pytest.raises(InvariantError, match="lazy-drop-2013"):
        simulate(migrating("lazy-drop-2013"))


def test_a_guest_that_arrived_starts_with_nothing_mapped() -> None:
    trace = simulate(migrating(after=({"do": "read"},)))
    assert trace.phases[-1].counters["pf_taken"] == 4, "one large spte for each of 8 MiB"
    given_up = simulate(migrating(after=({"do": "read"},), cancel_after="1ms"))
    assert given_up.phases[-1].counters["pf_taken"] == 0, "control: it is where it was"


# --- how it ends ---------------------------------------------------------------------------------


def test_an_idle_guest_is_sent_once() -> None:
    plan = migrating(idle=True, bandwidth_cv="0%")
    phase, m = migration(simulate(plan))
    assert (m.outcome, m.sent_pages, phase.vcpu_ns) == ("completed", plan.pages, 0)
    assert m.sent_bytes == plan.pages * (PAGE + HEADER)
    assert m.spent["send"] == plan.pages * (PAGE + HEADER) * NS["s"] // 20_000_000
    assert "mean_latency" not in measure(simulate(plan)).values


def test_a_cancelled_migration_leaves_the_guest_running_and_the_log_off() -> None:
    plan = migrating(cancel_after="100ms", after=({"do": "write"},))
    trace = simulate(plan)
    phase, m = migration(trace)
    assert m.outcome == phase.outcome == "cancelled"
    assert m.downtime_ns == phase.ledger["paused"] == 0
    assert 0 <= m.end_ns - m.start_ns - 100_000_000 < 10_000_000
    assert m.spent["disable"] > 0
    share = plan.pages // plan.vcpus
    assert (phase.reads.count + phase.writes.count) % (2 * 2 * share) == 0, "whole laps"
    assert trace.phases[-1].counters["pf_taken"] == 0, "large and writable again"
    with_log = simulate(migrating(before=({"do": "write"}, {"do": "enable-logging"},
                                          {"do": "write"}, {"do": "disable-logging"})))  # fmt: skip
    assert with_log.phases[2].counters["pf_taken"] > 0, "control: a log costs faults"


@pytest.mark.parametrize("limit", [{"max_rounds": 3}, {"max_time": "700ms"}])
def test_a_migration_that_does_not_converge_says_so(limit: dict[str, Any]) -> None:
    m = migrate(migrating(think="50us", **limit))
    assert m.outcome == "did-not-converge"
    assert len(m.rounds) == 3 if "max_rounds" in limit else m.end_ns - m.start_ns >= 700_000_000
    assert migrate(migrating(think="50us", downtime_limit="1s")).outcome == "completed", "control"


def test_downtime_is_what_is_done_between_stop_and_start() -> None:
    """And every vCPU is paused for all of it, but for its way out of the guest."""
    plan = migrating(costs=CONSTANT | {"c_stop_vcpus": "5ms", "c_device_state": "3ms"})
    phase, m = migration(simulate(plan))
    last = m.rounds[-1]
    sent_in_downtime = m.sent_pages - sum(r.sent_pages for r in m.rounds)
    assert sent_in_downtime == last.dirty_pages > 0
    paused = phase.ledger["paused"]
    assert 0 < plan.vcpus * m.downtime_ns - paused < 200_000 * plan.vcpus
    pages_ns = sent_in_downtime * (PAGE + HEADER) / 20e6 * 1e9
    assert m.downtime_ns == pytest.approx(8_000_000 + pages_ns, rel=0.15)
    assert pages_ns < 10_000_000, "little enough for the limit"


def test_the_switch_over_waits_until_little_enough_is_left() -> None:
    plans = [migrating(downtime_limit=limit) for limit in ("2ms", "10ms", "60ms")]
    downtimes = [migrate(plan).downtime_ns for plan in plans]
    assert sorted(downtimes) == downtimes
    assert downtimes[0] < downtimes[2]


@pytest.mark.parametrize("policy", ["linux-6.13", "linux-3.7", "linux-6.13+initially-all-set",
                                    "linux-6.13+pml+dirty-ring", "shadow"])  # fmt: skip
def test_post_copy_sends_the_rest_once_and_nobody_sees_an_old_page(policy: str) -> None:
    plan = migrating(policy, think="50us", postcopy_after=2)
    counters = Counters(plan.pages)
    trace = simulate(plan, probe=counters)
    phase, m = migration(trace)
    assert m.outcome == "postcopy"
    assert counters.missing is not None
    assert counters.missing.any()
    assert counters.copies_after.max() == 1
    assert (counters.copies_after >= counters.missing).all(), "what was missing came"
    assert (counters.there >= counters.here).all()
    assert phase.ledger["postcopy_wait"] > 0
    assert sum(phase.ledger.values()) == phase.vcpu_ns
    assert sum(m.spent.values()) == m.end_ns - m.start_ns
    assert simulate(plan, run_limit=1).fingerprint == trace.fingerprint


def test_post_copy_ends_what_does_not_converge_and_serves_requests_first() -> None:
    settings: dict[str, Any] = {"think": "20us", "memory": "16MiB"}
    assert migrate(migrating(**settings, max_rounds=3)).outcome == "did-not-converge"
    own_channel: dict[str, Any] = {"postcopy_after": 1, "postcopy_preempt": True}
    phase, m = migration(simulate(migrating(**settings, **own_channel)))
    assert m.outcome == "postcopy"
    faults = phase.writes.maximum
    in_order = m.spent["postcopy"] / 2  # the mean wait for a page without a queue of requests
    assert faults < in_order / 10

    shared, _ = migration(simulate(migrating(**settings, postcopy_after=1, socket_buffer="2MB")))
    assert shared.writes.maximum > 100_000_000, "2 MB at 20 MB/s lie ahead of a page"


def test_post_copy_starts_behind_what_the_socket_holds_and_the_list_of_pages() -> None:
    """Twelve ranges of 16 bytes are a command of 14 bytes more; 20 MB a second, no noise."""

    def of(**spec: Any) -> MigrationTrace:
        plan = migrating(think="50us", postcopy_after=1, bandwidth_cv="0%", costs=CONSTANT, **spec)
        return migration(simulate(plan, engine=SIMPY))[1]

    empty, held = of(socket_buffer="0B"), of(socket_buffer="2MB")
    missing = empty.rounds[-2].dirty_pages
    possible = [(ranges * 16 + -(-ranges // 12) * 14) * 50 for ranges in range(1, missing + 1)]
    assert empty.spent["discard"] in possible, "ns, of at most as many ranges as pages are missing"
    assert 100e6 < held.downtime_ns < 105e6, "2 MB at 20 MB/s"
    limited = of(socket_buffer="2MB", max_bandwidth="10MB/s")
    assert limited.downtime_ns < 20e6, "control: a limit below the network's rate keeps it empty"


# --- the network ---------------------------------------------------------------------------------


def test_noise_is_an_ar1_process_around_the_mean() -> None:
    noise = Noise(stream_key("noise"), 0.05)
    x = np.array([noise.at(n) for n in range(40_000)])
    assert x.mean() == pytest.approx(1, abs=0.003)
    assert x.std() == pytest.approx(0.05, rel=0.05)
    assert np.corrcoef(x[:-1], x[1:])[0, 1] == pytest.approx(RATE_AUTOCORRELATION, abs=0.02)
    assert np.corrcoef(x[:-5], x[5:])[0, 1] == pytest.approx(RATE_AUTOCORRELATION**5, abs=0.03)
    assert [Noise(stream_key("noise"), 0.05).at(7), noise.at(7)] == [noise.at(7)] * 2, "by index"
    shuffled = np.random.default_rng(1).permutation(x)
    assert abs(np.corrcoef(shuffled[:-1], shuffled[1:])[0, 1]) < 0.02, "control"


def test_no_window_takes_more_than_its_limit() -> None:
    limit = 8_000_000
    m = migrate(migrating(idle=True, bandwidth="200MB/s", max_bandwidth="8MB/s"))
    page, windows = PAGE + HEADER, (m.end_ns - m.start_ns) / WINDOW_NS
    assert m.spent["rate_limit"] > 0.8 * (m.end_ns - m.start_ns)
    assert m.sent_bytes <= (windows + 1) * (limit / 10 + page)
    assert m.sent_bytes >= (windows - 1) * limit / 10
    free = migrate(migrating(idle=True, bandwidth="200MB/s"))
    assert "rate_limit" not in free.spent, "control"


def test_the_switch_over_is_not_limited() -> None:
    """QEMU lifts max-bandwidth for it: what is planned with the limit goes at the network's."""
    m = migrate(migrating(think="500us", bandwidth="200MB/s", max_bandwidth="8MB/s",
                          downtime_limit="100ms", costs=CONSTANT))  # fmt: skip
    pages = m.rounds[-1].dirty_pages
    assert 0 < pages * PAGE < 8_000_000 * 0.1
    assert m.downtime_ns < pages * PAGE * NS["s"] / 8_000_000 / 2


def test_zero_pages_cost_a_header_and_channels_share_the_work() -> None:
    idle = migrate(migrating(idle=True, zero_pages="40%"))
    assert idle.zero_pages == pytest.approx(0.4 * 2048, abs=80)
    normal = idle.sent_pages - idle.zero_pages
    assert idle.sent_bytes == idle.zero_pages * ZERO_PAGE_BYTES + normal * (PAGE + HEADER)

    costs = {"c_send_page": "900ns", "c_zero_check": "100ns"}
    fast: dict[str, Any] = {"idle": True, "bandwidth": "100GB/s", "costs": costs}
    one, four = (migrate(migrating(**fast, multifd_channels=n)).spent["send"] for n in (1, 4))
    assert one == 2048 * 1000
    assert four == 2048 * 250, "of a page 150 ns are the migration thread's, at the same time"


# --- the guest is slowed down --------------------------------------------------------------------


class Sleeps:
    """Who slept how long, as asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rows: list[tuple[int, int, int]] = []

        def noted(vm: Any, v: Any, ns: int, wakes: bool) -> Any:
            self.rows.append((vm.now, v.number, ns))
            yield from asleep(vm, v, ns, wakes)

        for module in ("migration.throttle", "processes.guest_mode"):
            monkeypatch.setattr(f"mmusim.engine.{module}.asleep", noted)


def test_auto_converge_takes_its_share_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sleeps of p / (1 - p) x 10 ms, each after 10 ms of running: a share p of the time."""
    sleeps = Sleeps(monkeypatch)
    plan = migrating(think="50us", auto_converge=True, cpu_throttle_initial="50%",
                     max_cpu_throttle="50%", max_time="6s", downtime_limit="1ms",
                     max_rounds=1000)  # fmt: skip
    phase, m = migration(simulate(plan))
    assert {ns for _, _, ns in sleeps.rows} == {10_000_000}
    began, ended = m.throttle[0][0], m.throttle[-1][0]
    assert m.throttle[0][1] == 0.5
    share = phase.ledger["throttle"] / plan.vcpus / (ended - began)
    assert share == pytest.approx(0.5, abs=20_000_000 / (ended - began))
    gaps = np.diff([when for when, cpu, _ in sleeps.rows if cpu == 0])
    assert np.median(gaps) == pytest.approx(20_000_000, rel=0.01)


def test_auto_converge_goes_up_until_the_migration_converges(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings: dict[str, Any] = {
        "think": "70us", "max_time": "30s", "max_rounds": 1000, "downtime_limit": "1ms",
        "cpu_throttle_increment": "20%",
    }  # fmt: skip
    sleeps = Sleeps(monkeypatch)
    m = migrate(migrating(auto_converge=True, **settings))
    levels = [share for _, share in m.throttle]
    assert m.outcome == "completed"
    assert levels[:2] == [0.2, 0.4]
    assert levels[-1] == 0, "and is over with the migration"
    expected = {int(p / (1 - p) * 10_000_000) for p in levels[:-1]}
    assert {ns for _, _, ns in sleeps.rows} == expected
    monkeypatch.undo()
    without = migrate(migrating(**settings | {"max_time": "6s"}))
    assert without.outcome == "did-not-converge", "control"
    assert without.throttle == ()


@dataclasses.dataclass(frozen=True)
class OneWriter:
    """vCPU 0 writes one page after the other, the others read."""

    sweeps: int = 4

    def length(self, pages: int) -> int:
        return self.sweeps * pages

    def accesses(self, base_gfn: int, pages: int, uniforms: Uniforms) -> Accesses:
        gfn = base_gfn + np.tile(np.arange(pages), self.sweeps)
        return Accesses(gfn, np.full(len(gfn), base_gfn == 0))


@pytest.mark.parametrize("way", ["vcpu_dirty_limit", "auto_converge"])
def test_dirty_limit_leaves_readers_alone(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only who dirties too much sleeps; auto-converge, the control, lets everybody sleep."""
    sleeps = Sleeps(monkeypatch)
    value: Any = "30MB/s" if way == "vcpu_dirty_limit" else True
    plan = migrating("dirty-ring", think="40us", max_time="4200ms", max_rounds=1000,
                     downtime_limit="1ms", **{way: value})  # fmt: skip
    plan = dataclasses.replace(plan, patterns=(plan.patterns[0], OneWriter()), ring_entries=1024)
    m = migrate(plan)
    slept = {cpu for _, cpu, _ in sleeps.rows}
    assert slept == ({0} if way == "vcpu_dirty_limit" else {0, 1})
    if way == "vcpu_dirty_limit":
        assert {cpu for _, cpu, _ in m.dirty_limit} == {0}
        assert simulate(plan, run_limit=1).fingerprint == simulate(plan).fingerprint


def test_dirty_limit_brings_a_writer_near_its_quota() -> None:
    """Within the tolerance of 25 MiB/s, from 200 MB/s."""
    plan = migrating("dirty-ring", think="20us", memory="16MiB", max_time="12s", vcpus=1,
                     max_rounds=1000, downtime_limit="1ms", vcpu_dirty_limit="40MB/s")  # fmt: skip
    plan = dataclasses.replace(plan, patterns=(plan.patterns[0], OneWriter()), ring_entries=512)
    phase, m = migration(simulate(plan))
    settled = m.dirty_limit[-1][0]
    assert settled < m.end_ns - 2 * NS["s"], "it does not go on adjusting"
    sleep = m.dirty_limit[-1][2]
    fills_ns = 448 * 20_500  # the ring up to its soft limit, at 20 us and a bit a write
    rate = 448 * PAGE / (fills_ns + sleep) * 1e9
    assert abs(rate - 40e6) < 26 * 2**20
    assert 448 * PAGE / fills_ns * 1e9 - 40e6 > 26 * 2**20, "control: without sleep it is not"
    assert phase.ledger["throttle"] > 0


# --- the big lock --------------------------------------------------------------------------------


def test_log_start_stalls_who_needs_the_big_lock() -> None:
    """F.6: the longer enabling takes, the longer exits to user space wait; all-set hardly do."""
    settings: dict[str, Any] = {
        "io_interval": "200us", "max_rounds": 1, "costs": {"c_tdp_wclear": "20us", "c_tdp_split_2M":
        "20ms", "c_srcu": "60us"},
    }  # fmt: skip
    eager, _ = migration(simulate(migrating("linux-6.13", **settings)))
    all_set, _ = migration(simulate(migrating("linux-6.13+initially-all-set", **settings)))
    enable = eager.migration.spent["enable"]  # type: ignore[union-attr]
    assert enable > 80_000_000
    assert eager.ledger["bql_wait"] > 0.9 * enable * 2, "both vCPUs wait for the rest of it"
    assert all_set.ledger["bql_wait"] < 0.02 * eager.ledger["bql_wait"]
    quiet = settings | {"io_interval": "0ns"}
    nobody, _ = migration(simulate(migrating("linux-6.13", **quiet)))
    assert nobody.ledger["bql_wait"] == 0, "control: who stays in the kernel does not wait"


def test_port_io_comes_at_its_rate_and_may_be_bundled() -> None:
    plan = migrating(io_interval="500us", costs=CONSTANT | {"c_user_exit": "7us"})
    trace = simulate(plan)
    phase, m = migration(trace)
    exits = phase.ledger["user_exit"] / 7_000
    expected = (m.end_ns - m.start_ns) * plan.vcpus / 500_000
    assert exits == pytest.approx(expected, abs=5 * expected**0.5)
    assert sum(phase.ledger.values()) == phase.vcpu_ns
    assert simulate(plan, run_limit=1).fingerprint == trace.fingerprint


# --- what is measured ----------------------------------------------------------------------------


def test_metrics_of_a_migration_and_their_record() -> None:
    trace = simulate(migrating())
    phase, m = migration(trace)
    measured = measure(trace)
    values = measured.values
    assert values["migration_time"] == m.end_ns - m.start_ns
    assert values["downtime"] == m.downtime_ns
    assert values["rounds"] == len(m.rounds)
    assert values["migrated"] == 1
    assert values["resent_pages"] == m.sent_pages - 2048 > 0
    assert values["log_time"] == sum(phase.spent.values()) == values["protect_time"]
    assert 0 < values["guest_share"] < 1
    assert measured.rounds == m.rounds
    assert from_record(measured.policy, 1, to_record(measured)).rounds == m.rounds
    failed = measure(simulate(migrating(cancel_after="10ms"))).values
    assert failed["migrated"] == 0
    assert "downtime" not in failed


def test_laps_have_draws_of_their_own() -> None:
    plan = migrating()
    first, second, again = (plan.program(1, 0, lap) for lap in (0, 1, 1))
    assert (first.accesses.gfn != second.accesses.gfn).any()
    assert (second.accesses.gfn == again.accesses.gfn).all()
    assert second.first == first.first + len(first.accesses.gfn)


def test_requests_of_the_next_lap_go_on_arriving() -> None:
    """An open system stays one: a lap begins at the last arrival of the one before, however late
    the guest is.
    """
    requests = {"pattern": "open-loop-requests", "requests": 200, "interarrival": "100us",
                "arrivals": "regular", "touches": 1}  # fmt: skip
    made = setting(
        [{"do": "write"}, {"do": "migrate", "workload": "work"}],
        vcpus=1, memory="8MiB", workloads={"work": requests}, vm={"kernel": "linux-6.13"},
        policies={"baseline": "linux-6.13", "compare": ["linux-6.13+legacy"]},
        driver={"migration": {"bandwidth": "20MB/s", "max-bandwidth": "0B/s",
                              "downtime-limit": "10ms"}},
    )  # fmt: skip
    phase, m = migration(simulate(make_plan(made, "linux-6.13", 1)))
    running = m.end_ns - m.start_ns - m.downtime_ns
    assert phase.requests.count == pytest.approx(running / 100_000, abs=2)
    assert phase.requests.count > 3 * 200


def test_the_command_line_says_how_migrations_ended(tmp_path: Path) -> None:
    """A migration that was given up is no faster one: its time alone would say so."""
    path = tmp_path / "it.toml"
    path.write_text("""
schema = 1
id = "it"
question = "Does it converge?"
vm = { memory = "4MiB", kernel = "linux-6.13" }
host = { profile = "skylake-2021" }
policies = { baseline = "linux-6.13", compare = ["linux-6.13+pml"] }
replications = { seeds = 2 }
workloads.work = { pattern = "sequential", sweeps = 4, writes = "100%" }
[driver]
phases = [{ do = "migrate", workload = "work", think = "20us" }]
migration = { bandwidth = "40MB/s", downtime-limit = "1ms", max_rounds = 2 }
""")
    command = ["run", str(path), "--workers", "1", "--out", str(tmp_path / "out")]
    shown = CliRunner().invoke(app, command)
    assert shown.exit_code == 0, shown.output
    assert shown.output.count("did-not-converge") >= 2
    ends = json.loads(CliRunner().invoke(app, [*command, "--json"]).stdout)["ends"]
    assert [(row["policy"], row["outcome"], row["seeds"]) for row in ends] == [
        ("linux-6.13", "did-not-converge", 2), ("linux-6.13+pml", "did-not-converge", 2),
    ]  # fmt: skip
    assert all("did-not-converge after " in row["an_example"] for row in ends)


# --- what people are told ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "setting"),
    [
        ("driver.migration.bandwidth", {"bandwidth": "0B/s"}),
        ("driver.migration.bandwidth", {"bandwidth": "1B/s"}),
        ("driver.migration.bandwidth", {"bandwidth": "41039B/s"}),
        ("driver.migration.bandwidth", {"bandwidth": "50kB/s", "memory": "8GiB"}),
        ("driver.migration.max-bandwidth", {"max_bandwidth": "10"}),
        ("driver.migration.max-bandwidth", {"max_bandwidth": "10kB/s"}),
        ("driver.migration.max-bandwidth", {"max_bandwidth": "50kB/s", "memory": "8GiB"}),
        ("driver.migration.clear-bitmap-shift", {"clear_bitmap_shift": 32}),
        (
            "driver.migration.vcpu-dirty-limit",
            {"vcpu_dirty_limit": "1MB/s", "auto_converge": True},
        ),
        ("driver.migration.vcpu-dirty-limit", {"vcpu_dirty_limit": "1MB/s"}),
        ("driver.migration.max-cpu-throttle", {"max_cpu_throttle": "10%"}),
        ("driver.migration.multifd-channels", {"multifd_channels": 0}),
        ("driver.migration.bandwith", {"bandwith": "1MB/s"}),
        ("driver.phases[2].do", {"policy": "none"}),
        ("driver", {"before": [{"do": "enable-logging"}]}),
    ],
)
def test_what_is_wrong_in_a_migration_is_said_with_a_remedy(
    key: str, setting: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError) as caught:
        migrating(**setting)
    assert {c.key for c in caught.value.complaints} == {key}, "one for each policy"
    assert all(c.rule and c.remedy for c in caught.value.complaints)


def test_the_slowest_network_there_is_gives_up_at_its_limit() -> None:
    """A page a window: nothing is left waiting for a page that takes for ever."""
    m = migrate(migrating(bandwidth="41040B/s", bandwidth_cv="0%", max_time="1s"))
    assert m.outcome == "did-not-converge"
    assert m.sent_pages == 10
    assert 0 <= m.end_ns - m.start_ns - NS["s"] < 100 * NS["ms"]
    migrating(bandwidth="50kB/s", memory="8GiB", max_time="60min")


@pytest.mark.parametrize("phase", [{"background": True}, {"workload": "nonsense"}])
def test_a_phase_that_makes_no_sense_is_refused(phase: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"driver.phases\[1\]"):
        setting([{"do": "migrate"} | phase])
    setting([{"do": "migrate"}])
