"""Who gives mmu_lock up in the middle of a walk, when, and what that does to the others."""

from __future__ import annotations

from typing import Any

import pytest

from mmusim.engine import simulate
from mmusim.plan.make import make_plan
from mmusim.tests.support.settings import CONSTANT, only, setting
from mmusim.trace.records import PhaseTrace, Trace

COSTS = CONSTANT | {"c_head": "3ns", "c_wclear": "30ns", "c_tdp_wclear": "74ns", "c_yield": "100ns",
                    "c_resched": "10us", "c_zap_large": "150ns"}  # fmt: skip


def enabling(policy: str, vcpus: int = 4, host: Any = None, **vm: str) -> Trace:
    """Logging is switched on over 4 KiB mappings while the guest takes slow faults elsewhere."""
    phases = [
        {"do": "write", "pages": "60%"},
        {"do": "write", "order": "random", "background": True, "name": "victims"},
        {"do": "sleep", "time": "20us"},
        {"do": "enable-logging", "name": "enabling"},
        {"do": "wait"},
    ]
    settings = {"kernel": "linux-3.16", "backing": "4KiB"} | vm
    made = setting(phases, vcpus=vcpus, memory="64MiB", vm=settings, costs=COSTS,
                policies=only(policy), host={"profile": "skylake-2021", "costs": COSTS}
                | (host or {}))  # fmt: skip
    return simulate(make_plan(made, policy, 1))


def named(trace: Trace, name: str) -> PhaseTrace:
    (phase,) = [phase for phase in trace.phases if phase.name == name]
    return phase


def test_a_voluntary_kernel_does_not_notice_waiters_and_a_preemptible_one_does() -> None:
    """t_enable of one hold; every slow fault meanwhile waits for the rest of it."""
    holds = {}
    for preemption in ("none", "voluntary", "full"):
        trace = enabling("lazy-drop", preemption=preemption)
        holds[preemption] = trace.lock.longest_hold_ns
        assert (trace.lock.breaks > 0) == (preemption == "full")
    assert holds["none"] == holds["voluntary"] > 20 * holds["full"]


def test_what_the_guest_gains_the_walk_pays() -> None:
    whole, broken = (enabling("lazy-drop", preemption=p) for p in ("voluntary", "full"))
    worst = [named(trace, "victims").writes.maximum for trace in (whole, broken)]
    assert worst[0] > 5 * worst[1]
    took = [named(t, "enabling").end_ns - named(t, "enabling").start_ns for t in (whole, broken)]
    assert took[1] > took[0]
    assert whole.counters["pages_4k"] == broken.counters["pages_4k"]


@pytest.mark.parametrize("kernel", ["linux-3.15", "linux-3.16", "linux-5.15+tdp"])
def test_who_write_protects_flushes_before_it_drops_the_lock_until_3_15(kernel: str) -> None:
    """Since 198c74f43f0f (3.16) the flush of the ioctl is the only one: flush_on_yield is false."""
    policy = "eager-drop" if "+" not in kernel else "lazy-drop"
    release = kernel.partition("+")[0]
    trace = enabling(policy, preemption="full", kernel=release)
    flushes = named(trace, "enabling").counters["remote_tlb_flush_requests"]
    if release == "linux-3.15":
        assert 1 < flushes <= trace.lock.breaks + 1
    else:
        assert flushes == 1
    assert trace.lock.breaks > 3 or release == "linux-5.15"
    whole = enabling(policy, kernel=release)
    assert named(whole, "enabling").counters["remote_tlb_flush_requests"] == 1


def test_who_zaps_flushes_before_it_drops_the_lock() -> None:
    """Switching logging off zaps what is small, and flushes at each yield in every release."""
    phases = [
        {"do": "write", "pages": "60%"}, {"do": "enable-logging"}, {"do": "write", "pages": "60%"},
        {"do": "write", "order": "random", "background": True, "name": "victims"},
        {"do": "disable-logging", "name": "disabling"}, {"do": "wait"},
    ]  # fmt: skip
    for kernel in ("linux-4.1", "linux-6.13+legacy"):
        made = setting(phases, vcpus=4, memory="64MiB", costs=COSTS, policies=only(kernel),
                       vm={"kernel": kernel.partition("+")[0], "preemption": "full"})  # fmt: skip
        trace = simulate(make_plan(made, kernel, 1))
        flushes = named(trace, "disabling").counters["remote_tlb_flush_requests"]
        assert trace.lock.breaks > 3
        assert flushes > 3


def test_nobody_waits_no_break() -> None:
    phases = [{"do": "write"}, {"do": "enable-logging", "name": "enabling"}, {"do": "read"}]
    times = []
    for preemption in ("voluntary", "full"):
        made = setting(phases, memory="64MiB", costs=COSTS,
                    vm={"kernel": "linux-3.16", "preemption": preemption})  # fmt: skip
        trace = simulate(make_plan(made, "lazy-drop", 1))
        assert trace.lock.breaks == 0
        times.append(trace.phases[1].end_ns - trace.phases[1].start_ns)
    rounding = 32 * 4
    assert abs(times[0] - times[1]) < rounding + 32 * 3, "a rmap head of the GiB for each part"


def test_another_task_takes_the_processor_at_the_tick() -> None:
    trace = enabling("lazy-drop", host={"need_resched": "100us"})
    spent = named(trace, "enabling").spent
    assert trace.lock.breaks > 0
    assert spent["c_resched"] == 10_000 * trace.lock.breaks
    assert spent["c_yield"] == 100 * trace.lock.breaks
    assert (
        sum(spent.values()) == named(trace, "enabling").end_ns - named(trace, "enabling").start_ns
    )


@pytest.mark.parametrize("kernel", ["linux-3.7", "linux-3.8"])
def test_old_kernels_never_break_a_walk(kernel: str) -> None:
    trace = enabling("eager-drop", kernel=kernel, preemption="full")
    assert trace.lock.breaks == 0
    assert enabling("eager-drop", kernel="linux-3.9", preemption="full").lock.breaks > 0


def test_in_the_tdp_mmu_readers_share_and_only_writers_make_it_yield() -> None:
    trace = enabling("linux-5.15", kernel="linux-5.15", preemption="full")
    assert trace.lock.shared.acquisitions > 0
    assert trace.lock.breaks == 0, "faults hold the lock for read, as the walk does"


def test_gets_and_clears_never_break() -> None:
    phases = [
        {"do": "write"}, {"do": "enable-logging"}, {"do": "write"},
        {"do": "write", "background": True}, {"do": "get-dirty-log", "name": "get"}, {"do": "wait"},
    ]  # fmt: skip
    holds = []
    for preemption in ("voluntary", "full"):
        made = setting(phases, vcpus=4, memory="64MiB", costs=COSTS,
                    vm={"kernel": "linux-3.16", "preemption": preemption})  # fmt: skip
        trace = simulate(make_plan(made, "lazy-drop", 1))
        holds.append(trace.lock.longest_hold_ns)
    assert holds[0] == holds[1] > 16_384 * 30


@pytest.mark.parametrize("policy", ["lazy-drop", "linux-5.18", "linux-6.13+pml", "shadow"])
def test_walks_in_parts_lose_no_write(policy: str) -> None:
    """The truth about every page is checked at each get and at the end of each run."""
    kernel = policy.partition("+")[0] if policy.startswith("linux") else "linux-5.18"
    phases = [
        {"do": "write"}, {"do": "write", "background": True, "order": "random", "think": "1us"},
        {"do": "enable-logging"}, {"do": "sync-dirty-log"}, {"do": "wait"},
        {"do": "sync-dirty-log"},
        {"do": "write", "background": True, "order": "random"}, {"do": "disable-logging"},
        {"do": "wait"},
    ]  # fmt: skip
    made = setting(phases, vcpus=4, memory="32MiB", costs=COSTS, policies=only(policy),
                vm={"kernel": kernel, "preemption": "full"})  # fmt: skip
    trace = simulate(make_plan(made, policy, 1))
    assert trace.phases[3].dirty
