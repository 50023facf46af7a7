"""What each release of QEMU does in a migration (domain, K.2, K.3 and K.6)."""

from __future__ import annotations

import dataclasses
import itertools
import re
from types import SimpleNamespace
from typing import Any

import pytest

from mmusim.base.errors import ConfigError
from mmusim.base.units import PAGE
from mmusim.engine import simulate
from mmusim.engine.choice import COMPILED, SIMPY
from mmusim.engine.host import log_reports
from mmusim.engine.migration import migration, timers
from mmusim.engine.migration.timers import start_timers
from mmusim.engine.processes import guest_mode, user_space
from mmusim.engine.processes.dirty_rings import reap
from mmusim.engine.state.vm import Vm
from mmusim.plan.make import make_plan
from mmusim.policies import Reporting
from mmusim.tests.support.migrations import FREE, migrating
from mmusim.tests.support.settings import setting
from mmusim.trace.records import MigrationTrace
from mmusim.vmm import RELEASES, qemu_named


def migrated(*args: Any, **more: Any) -> MigrationTrace:
    phase = next(p for p in simulate(migrating(*args, **more)).phases if p.do == "migrate")
    assert phase.migration is not None
    return phase.migration


def test_every_release_is_known_and_no_other() -> None:
    assert [qemu_named(release.name) for release in RELEASES] == list(RELEASES)
    assert qemu_named("qemu-8.2.1").name == "8.2"
    for wrong in ("2.4", "8.3", "12.0", "8", "eight", "8.02", "08.2", "٨.٢", "", "8.2 "):
        with pytest.raises(ConfigError, match="is not a known release of QEMU"):
            qemu_named(wrong)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("8.2.50", "is a state between two releases of QEMU; take the release at or before it, '8"),
        ("9.0.0-rc2", "take the release at or before it, '9.0'"),
        ("QEMU 8.2", "take the release at or before it, '8.2'"),
        ("1:8.2.2+ds-0ubuntu1.4", "take the release at or before it, '8.2'"),
        ("pc-q35-7.2", "take the release at or before it, '7.2'"),
        ("2.13", "take the release at or before it, '2.12'"),
        ("2.4", "take the oldest that is known, '2.5'"),
        ("11.7", "take the newest that is known, '11.1'"),
        ("latest", "write e.g. '11.0'"),
    ],
)
def test_a_name_that_is_no_release_gets_the_release_that_it_may_mean(name: str, says: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(says)):
        qemu_named(name)


@pytest.mark.parametrize(("qemu", "mib"), [("2.5", 32), ("5.1", 32), ("5.2", 128), ("", 128)])
def test_the_release_decides_the_limit_where_the_file_has_none(qemu: str, mib: int) -> None:
    """Q34. Control: a limit of the file stays."""

    def limit(**own: str) -> int:
        vmm: dict[str, Any] = {"vmm": {"qemu": qemu}} if qemu else {}
        made = setting([{"do": "migrate"}], driver={"migration": own}, **vmm)
        return make_plan(made, made.experiment.policies.baseline, 1).driver.migration.max_bandwidth

    assert limit() == mib << 20
    assert limit(**{"max-bandwidth": "64MiB/s"}) == 64 << 20


@pytest.mark.parametrize(
    ("policy", "qemu", "reporting"),
    [
        ("linux-6.13", "", "get-clears"), ("linux-6.13", "4.0", "get-clears"),
        ("linux-6.13", "4.2", "manual-clear"), ("linux-6.13", "8.2", "initially-all-set"),
        ("linux-5.5", "8.2", "manual-clear"), ("linux-4.1", "8.2", "get-clears"),
        ("dirty-ring", "8.2", "dirty-ring"),
        ("linux-6.13+manual-clear", "8.2", "manual-clear"),
    ],
)  # fmt: skip
def test_qemu_asks_for_the_newest_log_mode_that_the_kernel_has(
    policy: str, qemu: str, reporting: str
) -> None:
    assert migrating(policy, qemu=qemu).choices.reporting.value == reporting


@pytest.mark.parametrize(
    ("qemu", "spec", "says"),
    [
        (
            "8.0",
            {"vcpu_dirty_limit": "10MiB/s"},
            "vcpu-dirty-limit: came in QEMU 8.1",
        ),
        ("5.0", {"cpu_throttle_tailslow": True}, "cpu-throttle-tailslow: came in QEMU 5.1"),
        ("7.0", {"postcopy_preempt": True}, "postcopy-preempt: came in QEMU 7.1"),
        ("8.0", {"switchover_ack": "1ms"}, "switchover-ack: came in QEMU 8.1"),
        ("4.2", {"throttle_trigger_threshold": "60%"}, "threshold: came in QEMU 5.0"),
    ],
)
def test_what_a_release_does_not_have_is_refused(
    qemu: str, spec: dict[str, Any], says: str
) -> None:
    policy = "dirty-ring" if "vcpu_dirty_limit" in spec else "linux-6.13"
    with pytest.raises(ConfigError, match=says):
        migrating(policy, qemu=qemu, **spec)


def test_a_release_without_dirty_rings_cannot_harvest_them() -> None:
    """Q23. Control: the next release can, and so can one that is not named."""
    with pytest.raises(ConfigError, match="has no dirty rings, which policy"):
        migrating("dirty-ring", qemu="6.0")
    for qemu in ("6.1", ""):
        assert migrating("dirty-ring", qemu=qemu).choices.reporting is Reporting.DIRTY_RING


CONVERGE: dict[str, Any] = {
    "auto_converge": True, "bandwidth": "700kB/s", "bandwidth_cv": "0%", "downtime_limit": "0ns",
    "think": "500us", "vcpus": 1, "max_time": "30s",
}  # fmt: skip


def test_the_timer_reads_the_log_from_the_second_pass_on() -> None:
    """Q8: the second pass goes from 12 s to 23 s; the timer ticks at 15 s and reads at 20 s."""
    old, new = (migrated("linux-6.13+manual-clear", qemu=q, **CONVERGE) for q in ("8.2", "9.2"))
    first_pass = old.rounds[0].end_ns
    assert 10e9 < first_pass < 15e9
    began = [min(when for when, _ in m.throttle) for m in (old, new)]
    assert began[1] == pytest.approx(20e9, abs=0.1e9)
    assert began[0] > 22e9, "control: before 9.2 at the end of the pass"


def test_a_migration_that_succeeds_never_switches_logging_off() -> None:
    """Q32: log stop waits for the VM to start again, which it does elsewhere."""
    assert "disable" not in migrated().spent
    assert migrated(cancel_after="50ms").spent["disable"] > 0, "control"


def test_until_10_0_what_is_left_is_cleared_within_the_downtime() -> None:
    """Q13: a clear for each chunk that is still dirty."""
    costs = FREE | {"c_get_floor": "1ms"}
    both: dict[str, Any] = {"clear_bitmap_shift": 6, "costs": costs, "downtime_limit": "100ms"}
    old, new = (migrated("linux-6.13+initially-all-set", qemu=q, **both) for q in ("10.0", "10.1"))
    assert old.outcome == new.outcome == "completed"
    chunks = (old.downtime_ns - new.downtime_ns) / 1e6
    assert 8 <= chunks <= 32, "of the 32 chunks of 8 MiB"


@pytest.mark.parametrize(
    ("qemu", "asks", "completes"),
    [("10.0", False, False), ("10.1", False, True), ("11.0", False, True), ("11.1", True, True)],
)
def test_what_is_left_may_be_the_limit_itself(qemu: str, asks: bool, completes: bool) -> None:
    """Q15: before the sync and after it. Controls: one page less is always few, one more never."""

    def few(pages: int, exact: bool) -> bool:
        rule = SimpleNamespace(ask=lambda *_: 10 * PAGE)
        ram, release = SimpleNamespace(dirty=pages), qemu_named(qemu)
        found: Any = SimpleNamespace(ram=ram, rule=rule, qemu=release, seen=lambda: None)
        return migration.Migration.few_left(found, exact)

    assert [few(10, exact) for exact in (False, True)] == [asks, completes]
    assert all(few(9, exact) and not few(11, exact) for exact in (False, True))


def test_nothing_may_be_left_before_a_bandwidth_was_measured() -> None:
    """Q14: the limit is bandwidth x time, and the first window takes 100 ms."""
    long: dict[str, Any] = {"downtime_limit": "100s", "bandwidth": "20MB/s", "idle": True}
    first = migrated(**long).rounds[0]
    assert first.bandwidth > 0
    assert first.end_ns - first.start_ns == pytest.approx(100e6, abs=1e6), "not at once"


def test_a_full_ring_is_reset_alone_while_a_dirty_limit_is_in_force(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Q22: all rings before, its own only while the limit is in force."""
    seen: set[tuple[bool, bool]] = set()

    def noted(vm: Any, who: int, payer: Any, spent: Any, only: Any = None) -> Any:
        if who >= 0:
            seen.add((vm.vmm.limits_dirtying, only is not None))
        return (yield from reap(vm, who, payer, spent, only))

    monkeypatch.setattr(guest_mode, "reap", noted)
    plan = migrating(
        "dirty-ring", vcpu_dirty_limit="1MB/s", bandwidth="6MB/s", think="50us", max_time="6s",
        workload={"writes": "100%"},
    )  # fmt: skip
    simulate(dataclasses.replace(plan, ring_entries=512), engine="simpy")
    assert seen == {(False, False), (True, True)}


def test_a_ring_sync_makes_each_vcpu_come_out_in_its_turn() -> None:
    """Q20: the time is the sum over vCPUs, not the longest."""
    costs = FREE | {"c_user_exit": "100us"}
    kicks = []
    for vcpus in (1, 2, 4):
        done = migrated("dirty-ring", vcpus=vcpus, costs=costs, max_rounds=5)
        kicks.append(done.spent["kick"] / (len(done.rounds) - 1 + 1))
    assert kicks[1] == pytest.approx(2 * kicks[0], rel=0.35)
    assert kicks[2] == pytest.approx(4 * kicks[0], rel=0.35)
    assert "kick" not in migrated("linux-6.13", costs=costs).spent, "control: a bitmap"


def test_the_reaper_empties_the_rings_every_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """Q21: and not while a dirty limit is in force."""
    when: list[int] = []

    def noted(vm: Any, *args: Any) -> Any:
        when.append(vm.now)
        return (yield from reap(vm, *args))

    monkeypatch.setattr(timers, "reap", noted)
    slow: dict[str, Any] = {"bandwidth": "2MB/s", "think": "2ms", "max_time": "5s"}
    migrated("dirty-ring", **slow)
    assert len(when) >= 3
    assert all(0.9e9 < b - a < 1.2e9 for a, b in itertools.pairwise(when))
    when.clear()
    migrated("linux-6.13", **slow)
    assert not when, "control: no rings"


def test_who_sleeps_for_auto_converge_wakes_up_at_the_stop_since_4_2() -> None:
    """Q4: before, the rest of the sleep is part of the downtime."""
    asleep: dict[str, Any] = {
        "auto_converge": True, "cpu_throttle_initial": "95%", "max_cpu_throttle": "95%",
        "bandwidth": "4MB/s", "bandwidth_cv": "0%", "think": "200us", "vcpus": 4,
        "downtime_limit": "400ms", "max_time": "60s", "costs": FREE,
    }  # fmt: skip
    old, new = (migrated("linux-3.16", qemu=q, **asleep) for q in ("4.1", "4.2"))
    assert old.outcome == new.outcome == "completed"
    assert old.throttle
    assert new.throttle
    assert old.spent["stop"] > new.spent["stop"] + 1e6


@pytest.mark.parametrize("wakes", [False, True], ids=["QEMU", "control: a stop wakes it"])
def test_a_stop_waits_for_the_rest_of_a_dirty_limits_sleep(
    wakes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Q1 to Q3, Q20: up to the whole sleep is added to the downtime and to each sync of rings.

    The vCPU fills its ring in some 9 ms and then sleeps for 200 ms. The last sync before the stop
    takes 32 ms after it has come out, so the stop finds it asleep again.
    """
    sleep_ns, start = 200_000_000, start_timers

    def limited(under_way: Any) -> None:
        for v in under_way.vcpus:
            v.sleep_per_full_ring = sleep_ns
        start(under_way)

    def asleep(vm: Any, v: Any, ns: int, **_: Any) -> Any:
        return user_space.asleep(vm, v, ns, wakes=wakes)

    monkeypatch.setattr(migration, "start_timers", limited)
    monkeypatch.setattr(guest_mode, "asleep", asleep)
    plan = migrating(
        "dirty-ring", vcpus=1, costs=FREE | {"c_sync_word": "1ms"}, think="20us",
        downtime_limit="1s", workload={"writes": "100%"},
    )  # fmt: skip
    plan = dataclasses.replace(plan, ring_entries=512)
    phase = next(p for p in simulate(plan, engine="simpy").phases if p.do == "migrate")
    done = phase.migration
    assert done is not None
    assert done.outcome == "completed"
    assert phase.ledger["throttle"] > 0
    if wakes:
        assert done.spent["stop"] < 1_000_000
    else:
        assert 1_000_000 < done.spent["stop"] <= sleep_ns
        assert done.downtime_ns >= done.spent["stop"]
    assert 1_000_000 < done.spent["kick"] <= done.syncs * sleep_ns, "a sync of rings wakes nobody"


def test_the_switch_over_waits_for_the_acknowledgement() -> None:
    """Q17."""
    free, waits = (migrated(switchover_ack=ns, max_rounds=100_000) for ns in ("0ns", "700ms"))
    assert free.outcome == waits.outcome == "completed"
    assert waits.end_ns - waits.start_ns > 7e8 > free.end_ns - free.start_ns


def test_zero_pages_are_read_by_senders_since_9_0_and_untouched_ones_cost_a_fault() -> None:
    """Q25 and Q27; K.5 has 367 ns against 158 ns a page with four channels."""
    idle: dict[str, Any] = {
        "idle": True, "zero_pages": "100%", "bandwidth": "100GB/s", "multifd_channels": 4,
        "costs": FREE | {"c_zero_page": "236ns", "c_find_page": "150ns", "c_zero_fault": "363ns"},
    }  # fmt: skip
    touched: dict[str, Any] = idle | {"zero_pages_touched": "100%"}
    old, new = (migrated(qemu=q, **touched).spent["send"] / 2048 for q in ("8.2", "9.0"))
    assert old == pytest.approx(386, abs=1)
    assert new == pytest.approx(150, abs=1)
    alone = migrated(**idle | {"multifd_channels": 1}).spent["send"] / 2048
    assert alone == pytest.approx(150 + 236 + 363, abs=1)


def synced_often(reporting: str, engine: str) -> MigrationTrace:
    """A timer reads the log every millisecond, while the migration thread sends."""
    made = setting(
        [{"do": "write"}, {"do": "migrate", "workload": "it"}], vcpus=2,
        vm={"kernel": "linux-6.13"},
        workloads={"it": {"pattern": "dirty-rate", "dirty_rate": "150MB/s", "over": "10ms"}},
        driver={"migration": {
            "bandwidth": "100MB/s", "max_time": "250ms", "downtime-limit": "1ms",
            "throttle": {"rule": "background-sync", "every": "1ms"},
        }},
        policies={"baseline": f"linux-6.13+{reporting}", "compare": ["linux-6.12"]},
    )  # fmt: skip
    found = simulate(make_plan(made, f"linux-6.13+{reporting}", 1), engine=engine).phases[1]
    assert found.migration is not None
    return found.migration


@pytest.mark.parametrize("reporting", ["get-clears", "manual-clear"])
def test_what_a_timer_reads_is_sent_after_it_was_merged(reporting: str) -> None:
    """QEMU merges the kernel's bitmap under bitmap_mutex. Pages were sent before they were counted,
    so fewer than none were left: an IndexError.
    """
    slow, fast = (synced_often(reporting, engine) for engine in (SIMPY, COMPILED))
    assert slow == fast
    assert slow.syncs > 10


def test_pages_that_are_sent_before_they_are_merged_are_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Negative control."""

    def at_once(vm: Vm, gfns: Any) -> None:
        assert vm.unsent is not None
        vm.unsent[0, vm.plan.slot.offsets(gfns)] = True

    monkeypatch.setattr(log_reports, "send", at_once)
    with pytest.raises(AssertionError, match="that no sync has counted"):
        synced_often("get-clears", SIMPY)
