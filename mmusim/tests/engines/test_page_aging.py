"""Page aging beside the log: who waits for whom, by release and by the lists of the host."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from mmusim.config.settings import Setting
from mmusim.engine.choice import COMPILED, SIMPY
from mmusim.engine.simulate import simulate
from mmusim.plan.make import make_plan
from mmusim.tests.support.any_run import runs
from mmusim.tests.support.settings import CONSTANT, only, setting, with_actors
from mmusim.trace.records import Trace

SLEEP = {"do": "sleep", "time": "1050us"}
AGING = {"name": "page-aging", "every": "100us", "batch": 8}
LOOKS = 80  # ten batches of eight while the host sleeps


def run(kernel: str, phases: list[Any], *actors: dict[str, Any], backing: str = "4KiB") -> Trace:
    base = setting(
        phases, memory="8MiB", costs=CONSTANT, vm={"kernel": kernel, "backing": backing},
        policies=only(kernel), host={"actors": list(actors)},
    )  # fmt: skip
    return simulate(make_plan(base, kernel, 1), engine=SIMPY)


def flushes(trace: Trace) -> int:
    return int(trace.counters["remote_tlb_flush_requests"])


@given(runs(), st.integers(0, 999), st.sampled_from(["classic", "multi-gen"]))
@settings(
    max_examples=10, deadline=None, derandomize=True, phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
def test_engines_agree_beside_page_aging(run: tuple[str, Setting], seed: int, lru: str) -> None:
    policy, base = run
    often = AGING | {"lru": lru, "every": "20us", "jitter": "100%", "young": "50%"}
    plan = make_plan(with_actors(base, often), policy, seed)
    slow, fast = (simulate(plan, engine=engine) for engine in (SIMPY, COMPILED))
    assert slow == fast


@pytest.mark.parametrize(
    ("kernel", "lru", "locked", "flushed"),
    [
        ("linux-4.4", "classic", LOOKS, LOOKS),
        ("linux-6.12", "classic", LOOKS, LOOKS),
        ("linux-6.12", "multi-gen", LOOKS, 0),
        ("linux-6.13", "classic", LOOKS, 0),
        ("linux-6.15", "classic", 0, 0),
    ],
)
def test_each_look_takes_what_the_release_takes(
    kernel: str, lru: str, locked: int, flushed: int
) -> None:
    """Kernels from 6.15 on take no lock, those from 6.13 on do not flush."""
    phases = [{"do": "write"}, SLEEP]
    quiet = run(kernel, phases)
    beside = run(kernel, phases, AGING | {"lru": lru})
    # The first batches are under way while the guest still writes.
    more = beside.lock.acquisitions - quiet.lock.acquisitions
    assert (more >= locked) if locked else (more == 0)
    assert (flushes(beside) - flushes(quiet) >= flushed) if flushed else (flushes(beside) == 0)


def test_nothing_is_flushed_for_what_nobody_mapped_or_accessed() -> None:
    unmapped = run("linux-6.1", [SLEEP, {"do": "read", "pages": "1%"}], AGING)
    assert flushes(unmapped) == 0
    phases = [{"do": "write"}, SLEEP]
    all_of_them = run("linux-6.1", phases, AGING)
    half = run("linux-6.1", phases, AGING | {"young": "50%"})
    assert 0.3 < flushes(half) / flushes(all_of_them) < 0.7


def test_a_large_page_of_the_host_is_one_look() -> None:
    phases = [{"do": "write"}, SLEEP]
    small, large = (run("linux-6.1", phases, AGING, backing=b) for b in ("4KiB", "2MiB"))
    assert large.lock.exclusive.holds.maximum < 2 * small.lock.exclusive.holds.maximum
    split = [{"do": "write"}, {"do": "enable-logging"}, SLEEP]
    logging = run("linux-6.1", split, AGING, backing="2MiB")
    assert logging.lock.exclusive.holds.maximum > 100 * large.lock.exclusive.holds.maximum


def test_vcpus_that_fault_wait_for_it() -> None:
    """Faults share mmu_lock with each other and not with page aging; since 6.15 nobody waits."""
    phases = [{"do": "enable-logging"}, {"do": "write"}]
    busy = {"name": "page-aging", "every": "2us", "batch": 64}
    old, unflushed, lockless = (
        run(kernel, phases, busy) for kernel in ("linux-6.1", "linux-6.14", "linux-6.15")
    )
    assert old.lock.exclusive.holds.maximum > unflushed.lock.exclusive.holds.maximum
    assert old.phases[1].ledger["mmu_lock_wait"] > 0
    assert unflushed.phases[1].ledger["mmu_lock_wait"] > 0
    assert lockless.phases[1].ledger["mmu_lock_wait"] == 0


def test_a_gap_that_is_drawn_as_no_time_is_one_nanosecond() -> None:
    """One gap of 2,000 is below half a nanosecond; the run ended there with an error."""
    short = AGING | {"every": "1us", "jitter": "100%", "batch": 1}
    trace = run("linux-6.15", [{"do": "write"}, {"do": "sleep", "time": "20ms"}], short)
    assert trace.phases[1].end_ns - trace.phases[1].start_ns >= 20e6
