"""mmu_lock under load, against closed forms: hand-off, machine repairman, readers and writers."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from typing import Any

import pytest
import simpy

from mmusim.base.histogram import Histogram
from mmusim.costs.distributions import Constant, Distribution, Gamma
from mmusim.costs.random_streams import costs, stream_key
from mmusim.engine.state import fifo_lock
from mmusim.engine.state.mmu_lock import RwLock, SpinLock
from mmusim.stats import mean_interval
from mmusim.trace.records import LockStats

Steps = Generator[simpy.Event, bool, None]


def visit(
    env: simpy.Environment, lock: SpinLock, who: int, hold: int, shared: bool = False
) -> Steps:
    granted = lock.acquire(who, shared)
    if granted is not None:
        yield granted
    yield env.timeout(hold)
    lock.release(who)


def run(make: Callable[[simpy.Environment], SpinLock], *visits: tuple[int, int, bool]) -> list[int]:
    """Let (arrival, hold, shared) pass through a lock; return when each had left it."""
    env = simpy.Environment()
    lock = make(env)
    left: dict[int, int] = {}

    def actor(who: int, arrival: int, hold: int, shared: bool) -> Steps:
        yield env.timeout(arrival)
        yield from visit(env, lock, who, hold, shared)
        left[who] = int(env.now)

    for who, (arrival, hold, shared) in enumerate(visits):
        env.process(actor(who, arrival, hold, shared))
    env.run()
    return [left[who] for who in range(len(visits))]


# --- the hand-off --------------------------------------------------------------------------------


def test_passing_the_lock_on_costs_more_the_more_wait_for_it() -> None:
    """140 ns x log2(1 + waiters): 3, then 2, then 1 of them."""
    ends = run(lambda env: SpinLock(env, "lock", handoff_ns=140), *[(0, 100, False)] * 4)
    steps = [round(140 * math.log2(1 + waiters)) + 100 for waiters in (3, 2, 1)]
    assert ends == [100, 100 + steps[0], 100 + sum(steps[:2]), 100 + sum(steps)]
    assert run(lambda env: SpinLock(env, "lock"), *[(0, 100, False)] * 4) == [100, 200, 300, 400]


def test_a_lock_that_nobody_waits_for_costs_nothing_to_take() -> None:
    visits = [(0, 10, False), (50, 10, False)]
    assert run(lambda env: SpinLock(env, "lock", handoff_ns=140), *visits) == [10, 60]


# --- machine repairman ---------------------------------------------------------------------------


def repairman(vcpus: int, think: float, hold: float) -> float:
    """Throughput of N vCPUs that think and hold for exponential times (Scherr 1967).

    X = (1 - p0) / S with p0 = 1 / sum over k of N!/(N-k)! (S/Z)^k.
    """
    terms = [math.perm(vcpus, k) * (hold / think) ** k for k in range(vcpus + 1)]
    return (1 - 1 / sum(terms)) / hold


@pytest.mark.parametrize("vcpus", [1, 3, 8, 24])
def test_the_lock_is_a_machine_repairman(vcpus: int) -> None:
    think, hold, cycles = 4_000.0, 500.0, 400
    rates = [throughput(vcpus, think, hold, cycles, seed) for seed in range(16)]
    interval = mean_interval(rates, 0.999)
    assert repairman(vcpus, think, hold) in interval
    assert 1.2 * repairman(vcpus, think, hold) not in interval, "negative control"


def throughput(vcpus: int, think: float, hold: float, cycles: int, seed: int) -> float:
    env = simpy.Environment()
    lock = SpinLock(env, "lock")
    ends: list[int] = []

    def actor(who: int) -> Steps:
        thinks = costs(Gamma(think, 1.0), stream_key(seed, f"think {who}"), 0, cycles).tolist()
        holds = costs(Gamma(hold, 1.0), stream_key(seed, f"hold {who}"), 0, cycles).tolist()
        for pause, time in zip(thinks, holds, strict=True):
            yield env.timeout(pause)
            yield from visit(env, lock, who, time)
            ends.append(int(env.now))

    for who in range(vcpus):
        env.process(actor(who))
    env.run()
    first, last = len(ends) // 10, len(ends) * 8 // 10  # warm-up, and the end when some are done
    return (last - first) / (ends[last] - ends[first])


# --- open queues ---------------------------------------------------------------------------------

SERVICES = {  # mean 1,000 ns; mean of the square by that of the mean
    "M/M/1": (Gamma(1_000.0, 1.0), 2.0),
    "M/D/1": (Constant(1_000.0), 1.0),
    "M/G/1, cv 2": (Gamma(1_000.0, 2.0), 5.0),
}


@pytest.mark.parametrize("load", [0.3, 0.7])
@pytest.mark.parametrize("queue", SERVICES)
def test_arrivals_from_outside_wait_as_pollaczek_and_khinchine_say(queue: str, load: float) -> None:
    """Mean wait = load / (1 - load) x E[S^2] / 2 E[S], for the three shapes of service."""
    service, square = SERVICES[queue]
    waits = [open_wait(service, 1_000.0 / load, 2_000, seed) for seed in range(24)]
    expected = load / (1 - load) * square * 1_000.0 / 2
    interval = mean_interval(waits, 0.999)
    assert expected in interval
    assert 1.6 * expected not in interval, "negative control"


def open_wait(service: Distribution, between: float, customers: int, seed: int) -> float:
    """Mean time from asking to getting the lock, by the lock's own counts."""
    env = simpy.Environment()
    lock = SpinLock(env, "lock")
    gaps = costs(Gamma(between, 1.0), stream_key(seed, "gaps"), 0, customers).tolist()
    holds = costs(service, stream_key(seed, "holds"), 0, customers).tolist()

    def source() -> Steps:
        for who, (gap, hold) in enumerate(zip(gaps, holds, strict=True)):
            yield env.timeout(gap)
            env.process(visit(env, lock, who, hold))

    env.process(source())
    env.run()
    return lock.stats((Histogram(), Histogram())).queue_ns / customers


# --- readers and writers -------------------------------------------------------------------------


def rwlock(env: simpy.Environment) -> RwLock:
    return RwLock(env, "lock")


def test_readers_share_and_a_spinlock_does_not() -> None:
    assert run(rwlock, *[(0, 100, True)] * 50) == [100] * 50
    assert run(lambda env: SpinLock(env, "lock"), *[(0, 100, True)] * 3) == [100, 200, 300]


def test_writers_alone_are_a_spinlock() -> None:
    visits = [(10 * i % 70, 30 + i, False) for i in range(12)]
    assert run(rwlock, *visits) == run(lambda env: SpinLock(env, "lock"), *visits)


def test_a_writer_waits_for_the_last_reader_and_no_reader_overtakes_it() -> None:
    """Two readers, a writer behind them, a reader behind the writer, one more with that reader."""
    ends = run(
        rwlock, (0, 100, True), (0, 300, True), (50, 1000, False), (60, 10, True), (70, 20, True)
    )
    assert ends == [100, 300, 1300, 1310, 1320]


def test_one_long_write_hold_stalls_every_reader() -> None:
    ends = run(rwlock, (0, 10_000, False), *[(100 * i, 10, True) for i in range(1, 40)])
    assert ends[1:] == [10_010] * 39


@pytest.mark.parametrize("readers", [2, 16, 64])
def test_the_reader_count_is_a_server_of_its_own(readers: int) -> None:
    """Latency is the uncontended time or what the cache line allows: N x 2 operations x 75 ns."""
    env = simpy.Environment()
    lock = RwLock(env, "lock", count_ns=75)
    cycle, laps = 1_200, 60
    ends: list[int] = []

    def actor(who: int) -> Steps:
        yield env.timeout(who)
        for _ in range(laps):
            for hold in (cycle // 2, cycle // 2):
                yield env.timeout(hold + lock.count_readers())
        ends.append(int(env.now))

    for who in range(readers):
        env.process(actor(who))
    env.run()
    lap = max(ends) / laps
    assert lap == pytest.approx(max(cycle, readers * 2 * 75), rel=0.06)


# --- by mode -------------------------------------------------------------------------------------


def statistics(
    make: Callable[[simpy.Environment], SpinLock], *visits: tuple[int, int, bool]
) -> LockStats:
    """Let (arrival, hold, shared) pass through a lock; each measures its wait by the clock."""
    env = simpy.Environment()
    lock = make(env)
    waits = Histogram(), Histogram()

    def actor(who: int, arrival: int, hold: int, shared: bool) -> Steps:
        yield env.timeout(arrival)
        granted = lock.acquire(who, shared)
        if granted is not None:
            mode = yield granted
            waits[bool(mode)].add([int(env.now) - arrival])
        yield env.timeout(hold)
        lock.release(who)

    for who, visit in enumerate(visits):
        env.process(actor(who, *visit))
    env.run()
    return lock.stats(waits)


def test_each_mode_has_its_counts() -> None:
    """Readers 0 to 100 and 0 to 300, a writer from 50 on that gets it at 300 and leaves at 1300,
    then two readers that came at 60 and 70 and stay for 10 and 20.
    """
    stats = statistics(
        rwlock, (0, 100, True), (0, 300, True), (50, 1000, False), (60, 10, True), (70, 20, True)
    )
    read, write = stats.shared, stats.exclusive
    assert (read.acquisitions, write.acquisitions) == (4, 1)
    assert (read.waits.count, read.waits.total_ns) == (2, 1240 + 1230)
    assert (write.waits.count, write.waits.total_ns) == (1, 250)
    assert (read.queue_ns, write.queue_ns) == (1240 + 1230, 250)
    assert (read.holds.total_ns, read.holds.maximum) == (100 + 300 + 10 + 20, 300)
    assert (write.holds.total_ns, write.holds.maximum) == (1000, 1000)
    assert (read.busy_ns, write.busy_ns) == (300 + 20, 1000), "two readers at once count once"


VISITS = [(37 * i % 911, 20 + 13 * i % 170, i % 3 > 0) for i in range(60)]


@pytest.mark.parametrize("make", [rwlock, lambda env: RwLock(env, "lock", handoff_ns=140)])
def test_littles_law_holds_in_each_mode(make: Callable[[simpy.Environment], RwLock]) -> None:
    stats = statistics(make, *VISITS)
    for mode in (stats.shared, stats.exclusive):
        assert mode.queue_ns == mode.waits.total_ns > 0
    assert stats.exclusive.busy_ns == stats.exclusive.holds.total_ns, "writers are alone"
    assert stats.shared.busy_ns < stats.shared.holds.total_ns, "readers are not"
    last = max(run(make, *VISITS))
    assert stats.shared.busy_ns + stats.exclusive.busy_ns <= last


def test_a_waiter_charged_under_the_other_mode_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: the sum over both modes would not show it."""
    account = fifo_lock.account

    def swap(lock: Any) -> None:
        counted = lock.waiting_exclusive, lock.waiting_shared
        lock.waiting_shared, lock.waiting_exclusive = counted

    def swapped(lock: Any) -> None:
        swap(lock)
        account(lock)
        swap(lock)

    monkeypatch.setattr(fifo_lock, "account", swapped)
    stats = statistics(rwlock, *VISITS)
    assert stats.queue_ns == stats.wait_ns
    assert stats.shared.queue_ns != stats.shared.waits.total_ns
