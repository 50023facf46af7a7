"""Rules of switch-over: each as a pure function, in a migration, and from a package."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from mmusim.base.errors import ConfigError
from mmusim.base.units import PAGE
from mmusim.engine import simulate
from mmusim.engine.choice import COMPILED, SIMPY
from mmusim.plan.make import make_plan
from mmusim.tests.support.settings import setting
from mmusim.trace.records import MigrationTrace
from mmusim.vmm.switch_over import Seen, SwitchOver, Then, switch_overs
from mmusim.vmm.switch_over.after_rounds import AfterRounds
from mmusim.vmm.switch_over.downtime_ramp import DowntimeRamp
from mmusim.vmm.switch_over.stall import StallDetection

MB = 10**6
S = 10**9


def seen(**facts: Any) -> Seen:
    usual: dict[str, Any] = {
        "now_ns": 0, "left": 100 * MB, "bandwidth": 1e9, "downtime_limit": 3e8, "syncs": (),
        "sent": 0, "memory": 1 << 30,
    }  # fmt: skip
    return Seen(**(usual | facts))


def ramp(**keys: Any) -> DowntimeRamp:
    return DowntimeRamp.model_validate({"rule": "downtime-ramp"} | keys)


def test_a_ramp_grows_by_steps_to_its_end() -> None:
    rule = ramp(least="100ms", most="300ms", step="100ms", every="1s", after=0)
    limits = [rule.may_be_left(seen(now_ns=int(t * S))) / MB for t in (0, 0.9, 1, 2.5, 9)]
    assert limits == [100, 100, 200, 300, 300]


def test_a_ramp_waits_for_its_rounds() -> None:
    """KubeVirt's numbers: the first step as soon as two rounds are over, then one in 10 s."""
    rule = ramp()
    syncs = ((70 * S, 90), (75 * S, 80))

    def limit(t: float, rounds: int = 2) -> float:
        return rule.limit(seen(now_ns=int(t * S), syncs=syncs[:rounds])) / 1e6

    assert [limit(t, 1) for t in (0, 74)] == [150, 150]
    assert [limit(t) for t in (75, 84.9, 85, 95)] == [278, 278, 406, 534]
    assert limit(75 + 70) == limit(1000) == 1050, "the eighth step is the last"
    early = ((1 * S, 90), (2 * S, 80))
    soon = [rule.limit(seen(now_ns=t * S, syncs=early)) / 1e6 for t in (2, 9, 10, 20)]
    assert soon == [150, 150, 278, 406], "never before `every`"


def test_a_stall_is_a_window_without_an_improvement_and_ends_at_a_minimum() -> None:
    rule = StallDetection.model_validate(
        {"rule": "stall-detection", "window": "10s", "margin": "5%", "then": "post-copy"}
    )
    syncs = [(1 * S, 90), (4 * S, 50), (9 * S, 49), (14 * S, 60), (15 * S, 50)]
    thens = [
        rule.after_sync(seen(now_ns=now, left=left, syncs=tuple(syncs[: n + 1])))
        for n, (now, left) in enumerate(syncs)
    ]
    assert thens == [Then.GO_ON] * 4 + [Then.POSTCOPY]  # 49 is no improvement on 50, 60 no minimum


def stalls(syncs: Sequence[tuple[float, float]], **keys: Any) -> list[bool]:
    """After which syncs (s, MB) a rule with a window of 10 s and a margin of 5 % acts."""
    usual: dict[str, Any] = {"rule": "stall-detection", "window": "10s", "margin": "5%"}
    rule = StallDetection.model_validate(usual | keys)
    whole = tuple((round(t * S), round(left * MB)) for t, left in syncs)
    return [
        rule.after_sync(seen(now_ns=now, left=left, syncs=whole[: n + 1])) is not Then.GO_ON
        for n, (now, left) in enumerate(whole)
    ]


@pytest.mark.parametrize(("step", "acts"), [(0.98, False), (0.998, True)])
def test_small_steps_that_add_up_within_a_window_are_no_stall(step: float, acts: bool) -> None:
    """Each is below the margin; ten of 2 % are above it, ten of 0.2 % are not."""
    assert any(stalls([(t, 100 * step**t) for t in range(1, 40)])) is acts


def test_a_target_that_does_not_come_again_rises() -> None:
    """After a window, then after half of it, to the least since the stall that was no target."""
    syncs = [(1, 90), (4, 50), (14, 80), (20, 70), (23, 75), (24, 85), (28.9, 80), (29, 74)]
    assert stalls(syncs) == [False] * 7 + [True]
    assert stalls(syncs[:7], decay="10%")[-1] is False, "80 is more than 70 and 75 and 5 %"
    quick = [*syncs[:6], (25, 78)]
    assert stalls(quick, decay="10%")[-1] is True, "the second target after 1 s: 75"
    assert stalls(quick)[-1] is False, "control: after 5 s"


def test_rounds_and_time_end_a_migration() -> None:
    by_rounds = AfterRounds(rule="after-rounds", rounds=2)
    one, two = ((S, 90),), ((S, 90), (2 * S, 80))
    assert by_rounds.after_sync(seen(syncs=one)) is Then.GO_ON
    assert by_rounds.after_sync(seen(syncs=two)) is Then.SWITCH_OVER
    by_time = AfterRounds.model_validate({"rule": "after-rounds", "time": "5s", "then": "give-up"})
    assert not by_time.is_due(seen(now_ns=5 * S - 1))
    assert by_time.is_due(seen(now_ns=5 * S))
    assert by_time.after_sync(seen(now_ns=5 * S, syncs=one)) is Then.GIVE_UP


WRITER = {"pattern": "dirty-rate", "dirty_rate": "600MB/s", "over": "10ms", "working_set": "50%"}


def migrated(rule: dict[str, Any] | None, engine: str = COMPILED, **more: Any) -> MigrationTrace:
    """A guest that dirties more than is sent."""
    migration = {
        "bandwidth": "500MB/s", "max-bandwidth": "0B/s", "downtime-limit": "1ms",
        "bandwidth_cv": "0%", "max_rounds": 12, **({} if rule is None else {"switch_over": rule}),
    } | more  # fmt: skip
    made = setting(
        [{"do": "write"}, {"do": "migrate", "workload": "it"}], vcpus=2, memory="64MiB",
        vm={"kernel": "linux-6.13"}, workloads={"it": WRITER}, driver={"migration": migration},
        policies={"baseline": "linux-6.13", "compare": ["linux-6.13+pml"]},
    )  # fmt: skip
    found = simulate(make_plan(made, "linux-6.13", 1), engine=engine).phases[1].migration
    assert found is not None
    return found


def test_qemus_rule_is_the_default() -> None:
    assert migrated(None) == migrated({"rule": "qemu-estimate"})
    assert migrated(None).outcome == "did-not-converge"


@pytest.mark.parametrize(
    ("rule", "outcome"),
    [
        ({"rule": "fixed-limit", "left": "40MiB"}, "completed"),
        ({"rule": "fixed-limit", "left": "64KiB"}, "did-not-converge"),
        (
            {"rule": "downtime-ramp", "least": "1ms", "step": "10ms", "every": "30ms", "after": 1},
            "completed",
        ),
        ({"rule": "after-rounds", "rounds": 3}, "completed"),
        ({"rule": "after-rounds", "time": "200ms"}, "completed"),
        ({"rule": "after-rounds", "rounds": 3, "then": "post-copy"}, "postcopy"),
        ({"rule": "after-rounds", "rounds": 3, "then": "give-up"}, "did-not-converge"),
        ({"rule": "stall-detection", "window": "100ms", "margin": "10%"}, "completed"),
    ],
)
def test_a_guest_that_does_not_converge_ends_by_the_rule(
    rule: dict[str, Any], outcome: str
) -> None:
    trace = migrated(rule)
    assert trace.outcome == outcome
    if rule.get("rounds") and outcome != "postcopy":
        assert len(trace.rounds) == rule["rounds"] + (outcome == "completed")
    if rule.get("time"):
        stopped = trace.end_ns - trace.downtime_ns - trace.start_ns
        assert 200e6 <= stopped < 260e6


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({"rule": "when-i-like"}, "fixed-limit"),
        ({"rule": "after-rounds"}, "write one of the two"),
        ({"rule": "fixed-limit"}, "left"),
        ({"rule": "downtime-ramp", "least": "2s"}, "less than least = 2 s"),
        ({"rule": "stall-detection", "margin": "100%"}, "less than 1"),
    ],
)
def test_what_is_no_rule_is_refused(rule: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        migrated(rule)


def test_every_rule_says_what_it_is_and_a_name_is_taken_once() -> None:
    assert len(switch_overs()) >= 5
    assert all(rule.summary() for rule in switch_overs().values())
    with pytest.raises(TypeError, match="taken"):

        class Second(SwitchOver, name="fixed-limit"):
            rule: str = ""


def test_the_ledger_of_a_migration_is_the_same_on_both_engines() -> None:
    """And what is in it: seconds, waits for the log, pages in vain, waits of post-copy."""
    rule = {"rule": "after-rounds", "rounds": 4, "then": "post-copy"}
    one, two = (migrated(rule, engine) for engine in (SIMPY, COMPILED))
    assert one == two
    assert 0 < sum(r.in_vain for r in one.rounds) < one.sent_pages
    assert all(r.in_vain <= r.sent_pages for r in one.rounds)
    assert one.rounds[1].in_vain <= one.rounds[1].dirty_pages
    assert sum(ns for ns, _ in one.seconds) <= one.end_ns - one.start_ns
    assert all(0 < share <= 1 for _, share in one.seconds)
    assert set(one.waits_for_log) >= {"sync-dirty-log", "enable-logging"}
    assert 0 < one.blocktime_ns <= min(one.vcpu_blocktime)
    assert sum(one.vcpu_blocktime) == one.blocked.total_ns
    assert one.blocked.count > 10
    assert migrated(None).blocked.count == 0


def test_seconds_add_up_to_what_the_ledger_calls_the_guests_own() -> None:
    trace = migrated({"rule": "after-rounds", "time": "2500ms"}, max_rounds=1000)
    assert len(trace.seconds) == 3
    assert [ns for ns, _ in trace.seconds[:2]] == [S, S]
    assert trace.sent_bytes > 64 * MB
    assert PAGE * sum(r.in_vain for r in trace.rounds) > trace.sent_bytes / 4
