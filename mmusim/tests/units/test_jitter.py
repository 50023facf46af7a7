"""The figures of jitter, each against a value by hand on a trace made by hand."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from mmusim.base.histogram import BINS, Histogram
from mmusim.engine import simulate
from mmusim.metrics import jitter
from mmusim.metrics.measure import measure
from mmusim.plan.make import make_plan
from mmusim.tests.support.settings import busy_setting, setting
from mmusim.trace.records import LockStats, ModeStats, PhaseTrace, Trace
from mmusim.vocabulary import METRICS
from mmusim.vocabulary.causes import CAUSES, LOST_CAUSES


def holding(*times: int) -> Histogram:
    made = Histogram()
    made.add(np.array(times, np.int64))
    return made


def guest(
    start_ns: int, end_ns: int, *, stalls: Histogram | None = None, **more: Any
) -> PhaseTrace:
    ledger = dict.fromkeys(CAUSES, 0) | more.pop("ledger", {})
    return PhaseTrace(
        do="run", name="", start_ns=start_ns, end_ns=end_ns, guest_end_ns=end_ns, guest=True,
        counters={"pf_taken": 3}, vcpu_ns=sum(ledger.values()), ledger=ledger,
        stalls=stalls or Histogram(), **more,
    )  # fmt: skip


def host(start_ns: int, **spent: int) -> PhaseTrace:
    return PhaseTrace(
        do="get-dirty-log", name="", start_ns=start_ns, end_ns=start_ns + sum(spent.values()),
        guest=False, counters={}, spent=spent,
    )  # fmt: skip


def mode(waits: Histogram, holds: Histogram, queue_ns: int, busy_ns: int) -> ModeStats:
    return ModeStats(waits=waits, holds=holds, queue_ns=queue_ns, busy_ns=busy_ns)


NOBODY = mode(Histogram(), Histogram(), 0, 0)
IDLE_LOCK = LockStats(shared=NOBODY, exclusive=NOBODY, handoff_ns=0)


def trace(*phases: PhaseTrace, measured: int = 0, lock: LockStats = IDLE_LOCK) -> Trace:
    return Trace(
        policy="by hand", seed=0, end_ns=max(p.end_ns for p in phases), phases=phases,
        measured=measured, counters={}, lock=lock, fingerprint="",
    )  # fmt: skip


# --- latencies -----------------------------------------------------------------------------------


def test_latencies_of_reads_writes_and_requests_by_hand() -> None:
    """Ninety-nine reads of 10 ns and one of 100; writes of 20 and 40; one request."""
    phase = guest(
        0, 1000, reads=holding(*[10] * 99, 100), writes=holding(20, 40), requests=holding(77)
    )
    values = measure(trace(phase)).values
    assert (values["mean_read"], values["p50_read"], values["p99_read"]) == (10.9, 10, 10)
    assert (values["p999_read"], values["p9999_read"], values["max_read"]) == (100, 100, 100)
    assert (values["mean_write"], values["p50_write"], values["max_write"]) == (30, 20, 40)
    assert values["mean_latency"] == pytest.approx((99 * 10 + 100 + 60) / 102)
    assert values["p99_latency"] == 40
    assert (values["mean_request"], values["p9999_request"], values["request_count"]) == (77, 77, 1)
    assert values["phase_time"] == 1000
    assert "mean_request" not in measure(trace(guest(0, 9, reads=holding(1)))).values


def test_the_hundred_thousandth_needs_a_million() -> None:
    few, enough = Histogram(), Histogram()
    few.add(np.arange(999_999))
    enough.add(np.arange(1_000_000))
    assert "p99999_read" not in jitter.latencies(few, "read")
    found = jitter.latencies(enough, "read")["p99999_read"]
    assert abs(found - 999_989) <= 999_989 / 128 + 1


def test_a_billion_accesses_fit_in_constant_memory_within_the_stated_error() -> None:
    """2^30 times in all, the first million of them 1,024 times over: same quantiles, same bins."""
    rng = np.random.default_rng(3)
    times = np.where(rng.random(1 << 20) < 0.999, 30 + rng.integers(0, 9, 1 << 20), 0)
    times += (rng.pareto(1.5, 1 << 20) * 1_000 * (times == 0)).astype(np.int64)
    seen = holding(*times.tolist())
    bytes_before = seen.counts.nbytes
    for _ in range(10):
        seen.merge(seen)
    assert seen.count == 1 << 30
    assert seen.counts.nbytes == bytes_before == 8 * BINS
    assert seen.total_ns == int(times.sum()) << 10
    for p in (0.5, 0.99, 0.999, 0.9999, 0.99999):
        exact = float(np.sort(times)[int(np.ceil(p * len(times))) - 1])
        assert abs(seen.quantile(p) - exact) <= exact / 128 + 1
    coarse = np.ldexp(1.0, np.ceil(np.log2(float(np.sort(times)[-105]))).astype(int))
    assert abs(coarse - np.sort(times)[-105]) > np.sort(times)[-105] / 128 + 1, "negative control"


# --- lost time -----------------------------------------------------------------------------------


def test_lost_time_and_worst_utilisation_by_hand() -> None:
    """Two stalls of 600 and 400 ns; the worst 100 us lost 40 us, the worst 1 ms lost 50 us."""
    ledger = {"hits": 9_000, "think": 500, "fault_slow": 700, "mmu_lock_wait": 300, "idle": 10_000}
    phase = guest(
        0, 20_500, ledger=ledger, reads=holding(1), stalls=holding(600, 400),
        worst_loss={100_000: 40_000, 1_000_000: 50_000},
    )  # fmt: skip
    values = measure(trace(phase)).values
    assert values["lost_time"] == 700 + 300
    assert values["stalls"] == 2
    assert (values["mean_stall"], values["max_stall"]) == (500, 600)
    assert values["worst_utilisation_100us"] == pytest.approx(0.6)
    assert values["worst_utilisation_1ms"] == pytest.approx(0.95)
    assert "worst_utilisation_10ms" not in values, "nobody ran for so long"


@pytest.mark.parametrize("cause", CAUSES)
def test_a_nanosecond_of_a_cause_is_lost_or_not(cause: str) -> None:
    found = jitter.lost(guest(0, 1, ledger={cause: 1}))["lost_time"]
    assert found == (cause in LOST_CAUSES)
    assert (cause in LOST_CAUSES) == (
        cause not in ["hits", "walk_4k", "think", "pass", "pml_log", "idle"]
    )


def test_without_costs_nothing_is_lost() -> None:
    """Zero cost gives zero jitter; a fault that costs something does not (control)."""
    from mmusim.vocabulary import COSTS

    free = dict.fromkeys(COSTS, "0ns") | {"t_hit_2M": "50ns"}
    for more, utilisation in ({}, 1.0), ({"c_fault_slow": "40us"}, 0.5):
        made = setting(
            [{"do": "enable-logging"}, {"do": "write"}], costs=free | more, memory="16MiB"
        )
        values = measure(simulate(make_plan(made, "lazy-drop", 1))).values
        if not more:
            assert (values["lost_time"], values["stalls"]) == (0, 0)
            assert values["worst_utilisation_100us"] == utilisation
        else:
            assert values["lost_time"] == values["faults"] * 40_000
            assert values["worst_utilisation_100us"] < utilisation


# --- moved work ----------------------------------------------------------------------------------


def test_moved_work_by_hand() -> None:
    """The first phase was over before logging began; its faults are none of it. Waiting is no work.

    Faults (150 + 50) of (200 + 600).
    """
    before = guest(0, 100, ledger={"fault_slow": 5_000}, reads=holding(1))
    get = host(100, c_bit_copy=500, flush=100, mmu_lock_wait=9_000, srcu_wait=400)
    after = guest(
        12_000, 13_000, reads=holding(1),
        ledger={"fault_slow": 150, "flush_wait": 50, "mmu_lock_wait": 8_000, "hits": 9},
    )  # fmt: skip
    values = measure(trace(before, get, after, measured=2)).values
    assert (values["fault_work"], values["protect_work"]) == (200, 600)
    assert values["moved_work"] == 0.25
    background = dataclasses.replace(before, end_ns=before.start_ns, guest_end_ns=101)
    beside = jitter.moved_work(trace(background, get, after))
    assert beside["fault_work"] == 5_200, "in the background it was not over"
    assert jitter.moved_work(trace(before)) == {"fault_work": 0, "protect_work": 0}


def test_moved_work_tells_policies_apart() -> None:
    """Eager splitting moves the work of large sptes out of the faults, dropping moves it in."""
    share = {
        policy: measure(simulate(make_plan(busy_setting(vm={"kernel": "linux-6.13"}), policy, 1)))
        for policy in ("linux-6.13", "linux-6.13+eager-drop")
    }
    eager, drop = (m.values["moved_work"] for m in share.values())
    assert 0 < eager < drop < 1


# --- the lock ------------------------------------------------------------------------------------


def test_figures_of_the_lock_by_hand() -> None:
    stats = LockStats(
        shared=mode(holding(30, 50), holding(10, 10, 20), 80, 25),
        exclusive=mode(holding(200), holding(100), 200, 100),
        handoff_ns=5,
    )
    values = measure(trace(guest(0, 1_000, reads=holding(1)), lock=stats)).values
    assert (values["lock_shared_count"], values["lock_exclusive_count"]) == (3, 1)
    assert (values["lock_shared_hold"], values["lock_exclusive_hold"]) == (40, 100)
    assert (values["lock_shared_wait"], values["lock_exclusive_wait"]) == (80, 200)
    assert (values["max_shared_hold"], values["max_shared_wait"]) == (20, 50)
    assert (values["lock_shared_utilisation"], values["lock_exclusive_utilisation"]) == (0.025, 0.1)
    assert (values["lock_shared_queue"], values["lock_exclusive_queue"]) == (0.08, 0.2)
    idle = jitter.lock(IDLE_LOCK, 1_000)
    assert set(idle.values()) == {0}, "a lock that nobody took has values, and they are 0"
    assert set(idle) == {
        name
        for name in values
        if "lock_" in name or "_hold" in name or name in ("max_shared_wait", "max_exclusive_wait")
    }


# --- names ---------------------------------------------------------------------------------------


def test_every_metric_that_is_measured_is_in_the_vocabulary() -> None:
    values = measure(
        simulate(make_plan(busy_setting(vm={"kernel": "linux-6.13"}), "linux-6.13", 1))
    )
    assert set(values.values) <= set(METRICS)


def test_a_phase_in_the_background_takes_as_long_as_its_guest() -> None:
    trace = simulate(make_plan(busy_setting(vm={"kernel": "linux-3.16"}), "lazy-drop", 1))
    phase = trace.phases[trace.measured]
    wait = next(p for p in trace.phases if p.do == "wait")
    assert phase.end_ns == phase.start_ns, "the host goes on at once"
    assert phase.guest_end_ns == wait.end_ns > phase.start_ns
    assert measure(trace).values["phase_time"] == phase.guest_end_ns - phase.start_ns


def test_a_ratio_to_zero_is_refused_in_words() -> None:
    """Many figures of jitter can be zero: lost time, waits, the worst window."""
    from mmusim.comparison.compare import UnlikeRunsError, judge
    from mmusim.config.claims import Claim

    made = busy_setting()
    runs = {
        policy: [measure(simulate(make_plan(made, policy, seed))) for seed in (1, 2)]
        for policy in ("none", "eager-drop")
    }
    claim = Claim(
        says="none waits less",
        metric="lock_exclusive_wait",
        ratio="none / eager-drop",
        expect=[0.0, 1.0],
    )
    with pytest.raises(UnlikeRunsError, match=r"lock_exclusive_wait of 'none' with seed . is 0"):
        judge(claim, made, runs)
    swapped = {"none": runs["eager-drop"], "eager-drop": runs["eager-drop"]}
    assert judge(claim, made, swapped).measured.estimate == 1, "control"
