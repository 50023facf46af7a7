"""Gets and clears under a TLB that lets translations go: they walk, as enabling does.

What a vCPU walks for again meets the entry as it is by then: armed where the walk has passed,
writable where it has not come yet.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmusim.base.errors import InvariantError
from mmusim.engine import simulate
from mmusim.engine.choice import COMPILED, SIMPY
from mmusim.engine.host import lock_break, rearm
from mmusim.mmu.slot import MemSlot, clear_dirty, parts_of
from mmusim.plan.make import Plan, make_plan
from mmusim.tests.support.settings import CONSTANT, SOUND, kernel_of, only, setting, with_program
from mmusim.trace.records import Trace

PASSED, AHEAD, LAST = 9, 512 + 9, 1024 + 9
"""Pages: of the region that the walk begins with, and of two that it comes to later."""
SLOW = CONSTANT | dict.fromkeys(
    ("t_hit_2M", "c_wclear", "c_dclear", "c_tdp_wclear", "c_tdp_clear_bit"), "10us"
)
SLOW |= {"c_head": "0ns", "c_tdp_visit": "0ns", "c_word": "0ns", "c_srcu": "0ns"}
RING = [0, 1, 2] * 2
"""Uses that push whatever else there was out of a TLB of three entries."""


def report(policy: str, late: list[int], tlb: Any = 3, chunk: str | None = None) -> Plan:
    """A report of 1,536 dirty pages that takes 15 ms; beside it, writes of pages that fell out.

    The first of them begins after 60 us, when the walk is in its first region.
    """
    sync = {"do": "sync-dirty-log", "at": "30us"} | ({"chunk": chunk} if chunk else {})
    phases = [
        {"do": "write"},
        {"do": "enable-logging"},
        {"do": "write"},
        {"do": "run", "workload": "w", "background": True},
        sync,
        {"do": "wait"},
    ]
    made = setting(
        phases, memory="6MiB", policies=only(policy),
        workloads={"w": {"pattern": "uniform", "accesses_per_page": 1.0, "writes": "50%"}},
        vm={"kernel": policy.split("+")[0], "backing": "4KiB"},
        host={"profile": "skylake-2021", "tlb": tlb, "costs": SLOW},
    )  # fmt: skip
    return with_program(make_plan(made, policy, 1), 3, [(gfn, True) for gfn in RING + late])


def faults(plan: Plan) -> int:
    compiled, stepwise = (simulate(plan, engine=engine) for engine in (COMPILED, SIMPY))
    assert compiled == stepwise
    assert compiled == simulate(plan, engine=SIMPY, run_limit=1)
    return compiled.phases[3].counters["pf_taken"]


REPORTS = ["linux-6.13", "linux-6.13+manual-clear", "linux-6.13+legacy+lazy-drop", "linux-3.16"]


@pytest.mark.parametrize("policy", REPORTS)
def test_only_what_the_walk_has_passed_meets_a_vcpu(policy: str) -> None:
    assert faults(report(policy, [AHEAD])) == 0
    assert faults(report(policy, [AHEAD, LAST])) == 0
    assert faults(report(policy, [PASSED])) == 1
    assert faults(report(policy, [PASSED], tlb="unlimited")) == 0


@pytest.mark.parametrize("policy", REPORTS)
def test_without_pieces_it_would_meet_what_is_still_ahead(
    policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control: all re-armed at once, as it was."""
    monkeypatch.setattr(rearm, "pieces_of", lambda vm, part: [part])
    assert faults(report(policy, [AHEAD])) == 1


def test_a_first_clear_that_protects_large_sptes_walks_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """With all bits set, large sptes lose W one after the other; with 1 GiB chunks in one clear."""

    def met(gfn: int) -> int:
        phases = [
            {"do": "write"},
            {"do": "enable-logging"},
            {"do": "run", "workload": "w", "background": True},
            {"do": "sync-dirty-log", "at": "30us", "chunk": "1GiB"},
            {"do": "wait"},
        ]
        made = setting(
            phases, memory="6MiB", policies=only("linux-6.13+initially-all-set+split-on-fault"),
            workloads={"w": {"pattern": "uniform", "accesses_per_page": 1.0, "writes": "50%"}},
            vm={"kernel": "linux-6.13"},
            host={"profile": "skylake-2021", "tlb": {"2MiB": 1},
                  "costs": SLOW | {"c_word": "100us"}},
        )  # fmt: skip
        plan = make_plan(made, "linux-6.13+initially-all-set+split-on-fault", 1)
        plan = with_program(plan, 2, [(gfn, True) for gfn in [1024] * 6 + [gfn]])
        compiled, stepwise = (simulate(plan, engine=engine) for engine in (COMPILED, SIMPY))
        assert compiled == stepwise
        return compiled.phases[2].counters["pf_taken"]

    assert (met(PASSED), met(AHEAD)) == (1, 0)
    monkeypatch.setattr(rearm, "pieces_of", lambda vm, part: [part])
    assert (met(PASSED), met(AHEAD)) == (1, 1)


@pytest.mark.parametrize("policy", [*REPORTS, "linux-3.2", "linux-6.13+pml"])
def test_a_report_in_pieces_costs_what_it_costs_in_one(
    policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The vCPU meets nothing: what the host pays, line by line, is the same to the nanosecond."""

    def trace() -> Trace:
        return simulate(report(policy, [0, 1, 2], chunk="2MiB"), engine=SIMPY)

    pieces = trace()
    monkeypatch.setattr(rearm, "pieces_of", lambda vm, part: [part])
    assert trace() == pieces


def test_pieces_cover_a_range_once_and_end_at_multiples() -> None:
    for first, pages, size in ((0, 2048, 512), (64, 1000, 512), (512, 100, 1024), (0, 1, 512)):
        parts = parts_of(MemSlot(first, pages), size)
        covered = np.concatenate([np.arange(p.base_gfn, p.base_gfn + p.npages) for p in parts])
        assert covered.tolist() == list(range(first, first + pages))
        assert all(part.base_gfn % size == 0 for part in parts[1:])


# --- whatever happens beside a report ---


@st.composite
def beside_reports(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """Reports of every kind beside a guest that uses more pages than its TLB holds."""

    def one_of(*values: Any) -> Any:
        return draw(st.sampled_from(list(values)))

    policy = draw(st.sampled_from([p for p in SOUND if p != "none"]))
    sync = {"do": "sync-dirty-log", "chunk": one_of("256KiB", "2MiB", "1GiB")}
    phases = [
        {"do": "write"},
        {"do": "enable-logging"},
        {"do": one_of("write", "read"), "pages": one_of("100%", "30%")},
        {"do": "run", "workload": "w", "background": True, "think": one_of("0ns", "150ns")},
        *[sync | {"at": f"{at}us"} for at in (20, 20 + draw(st.integers(1, 900)))],
        {"do": "wait"},
    ]
    locality = {"pattern": one_of("uniform", "zipf", "hot-cold", "reads-beside-writes")}
    return policy, {
        "phases": phases,
        "vcpus": one_of(1, 2, 3),
        "memory": one_of("4MiB", "6MiB", "10MiB"),
        "policies": only(policy),
        "vm": {"kernel": kernel_of(policy), "backing": one_of("4KiB", "2MiB", "2MiB", "1GiB"),
               "preemption": one_of("voluntary", "full")},
        "host": {"profile": one_of("skylake-2021", "server-2012"),
                 "tlb": one_of(1, 3, 40, 700, {"4KiB": 64, "2MiB": 2})},
        "workloads": {"w": locality | {"accesses_per_page": one_of(0.5, 3.0),
                                       "writes": one_of("5%", "60%")}},
    }  # fmt: skip


EXAMPLES = 40


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(beside_reports(), st.integers(0, 9999))
def test_both_engines_and_one_event_per_access_agree(
    made: tuple[str, dict[str, Any]], seed: int
) -> None:
    """And nothing is lost: each run checks that."""
    policy, options = made
    plan = make_plan(setting(**options), policy, seed)
    compiled = simulate(plan, engine=COMPILED)
    assert compiled == simulate(plan, engine=SIMPY)
    assert compiled == simulate(plan, engine=COMPILED, run_limit=1)


def test_a_walk_that_forgets_a_piece_loses_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control of the safety of pieces."""

    plan = report("linux-6.13", [LAST] * 40 + RING * 3)
    simulate(plan, engine=SIMPY)
    arms = rearm.rearm_some

    def forgets_the_last(vm: Any, host: Any, gfns: Any) -> Any:
        if LAST not in gfns:
            return arms(vm, host, gfns)
        clear_dirty(vm.table, gfns)
        return lock_break.Rearmed(len(gfns))

    monkeypatch.setattr(rearm, "rearm_some", forgets_the_last)
    with pytest.raises(InvariantError):
        simulate(plan, engine=SIMPY)
