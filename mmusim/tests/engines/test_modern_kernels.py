"""What Linux 5.12 to 6.13 changed about the host's side of the log (domain, K.1 and K.6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from mmusim.engine import simulate
from mmusim.plan.make import make_plan
from mmusim.tests.support.settings import CONSTANT, only, setting
from mmusim.trace.records import Trace

WRITE, READ = {"do": "write"}, {"do": "read"}
ENABLE, DISABLE = {"do": "enable-logging"}, {"do": "disable-logging"}
GET, CLEAR = {"do": "get-dirty-log"}, {"do": "clear-dirty-log", "chunk": "256KiB"}


def run(policy: str, phases: Sequence[dict[str, Any]], **more: Any) -> Trace:
    more = {"memory": "8MiB", "costs": CONSTANT} | more
    vm = {"kernel": policy.partition("+")[0]}
    return simulate(make_plan(setting(phases, vm=vm, policies=only(policy), **more), policy, 1))


def flushes(trace: Trace, number: int) -> int:
    return int(trace.phases[number].counters["remote_tlb_flush_requests"])


def test_a_clear_flushes_if_it_cleared_a_bit_whatever_the_sptes_were() -> None:
    """L7: the second clear of 32 finds every page armed already."""
    phases = [WRITE, ENABLE, GET, CLEAR, GET, CLEAR]
    trace = run("linux-6.1+initially-all-set", phases)
    assert flushes(trace, 3) == 32
    assert flushes(trace, 5) == 0, "control: no bit was set"
    unmapped = run("linux-6.1+initially-all-set", [ENABLE, GET, CLEAR, READ])
    assert flushes(unmapped, 2) == 32, "of pages that nothing maps"


@pytest.mark.parametrize(("kernel", "expected"), [("linux-5.19", 0), ("linux-6.0", 1)])
def test_enabling_an_empty_slot_flushes_since_6_0(kernel: str, expected: int) -> None:
    """L8."""
    assert flushes(run(kernel, [ENABLE, READ]), 0) == expected
    assert flushes(run(kernel, [WRITE, ENABLE]), 1) == 1, "control: something to arm"


@pytest.mark.parametrize(
    ("kernel", "kicks"), [("linux-5.11", 0), ("linux-5.15", 1), ("linux-6.6", 1), ("linux-6.7", 0)]
)
def test_gets_kick_vcpus_without_pml_from_5_12_to_6_6(kernel: str, kicks: int) -> None:
    """L15: nothing is dirty, so that nothing else makes a vCPU leave the guest."""
    idle: dict[str, Any] = {"do": "run", "workload": "reads", "background": True, "repeat": True}
    phases = [READ, ENABLE, READ, idle, {"do": "sleep", "time": "50us"}, GET, {"do": "wait"}]
    reads = {"pattern": "uniform", "writes": "0%", "accesses_per_page": 4.0}
    trace = run(kernel, phases, workloads={"reads": reads})
    assert (trace.phases[3].ledger["flush_exit"] > 0) == bool(kicks)


def longest_hold(kernel: str, chunk: str = "8MiB") -> tuple[int, int]:
    phases = [WRITE, ENABLE, GET, {"do": "clear-dirty-log", "chunk": chunk}]
    trace = run(f"{kernel}+initially-all-set", phases, costs=CONSTANT | {"c_tdp_split_2M": "30us"})
    stats = trace.lock.exclusive
    return stats.holds.maximum, trace.lock.breaks


def test_a_clear_drops_mmu_lock_before_each_split_since_6_11() -> None:
    """L1: four splits of 8 MiB in one hold, or one in each."""
    (old, none), (new, breaks) = longest_hold("linux-6.10"), longest_hold("linux-6.11")
    assert (none, breaks) == (0, 4)
    assert old > 4 * 30_000
    assert new < old / 3


def test_what_is_recovered_has_the_bits_of_its_first_leaf_since_6_13() -> None:
    """L10: armed pages come back as read-only large sptes; each costs one fast fault."""
    armed = [WRITE, ENABLE, WRITE, GET, DISABLE]
    trace = run("linux-6.13", [*armed, READ, WRITE, WRITE])
    reads, first, second = trace.phases[5:]
    assert reads.counters["pf_taken"] == 0
    assert (first.counters["pf_taken"], first.counters["pf_fast"]) == (4, 4)
    assert second.counters["pf_taken"] == 0
    dirty = run("linux-6.13", [WRITE, ENABLE, WRITE, DISABLE, WRITE])
    assert dirty.phases[4].counters["pf_taken"] == 0, "control: written pages are writable"
