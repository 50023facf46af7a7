"""TLBs that let translations go: what fell out meets the entry as it is by then, and nothing else.

The unlimited TLB is that of an adversary. Theorems are proved under it; everything that a limited
one does, it may do too.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from mmusim.base.errors import ConfigError, LostWriteError
from mmusim.engine import simulate
from mmusim.engine.choice import COMPILED, SIMPY
from mmusim.engine.processes import flush
from mmusim.engine.state.tlb_contents import TlbContents
from mmusim.plan.make import make_plan
from mmusim.tests.support.settings import (
    CONSTANT,
    busy_setting,
    only,
    setting,
    with_program,
)
from mmusim.trace.records import PhaseTrace, Trace

ENABLING = [{"name": "enabling", "from": "enable-logging", "to": "end of enable-logging"}]
UNIFORM = {"pattern": "uniform", "accesses_per_page": 1.0, "writes": "50%"}


def enabling(tlb: Any, policy: str = "linux-6.13", engine: str = COMPILED, **more: Any) -> Trace:
    """Logging is switched on over 4 KiB mappings beside vCPUs that write all over them."""
    phases = [
        {"do": "write"},
        {"do": "run", "workload": "w", "background": True, "think": "200ns"},
        {"do": "enable-logging", "at": "100us"},
        {"do": "wait"},
    ]
    made = setting(
        phases, vcpus=2, memory="16MiB", workloads={"w": UNIFORM}, policies=only(policy),
        vm={"kernel": policy.split("+")[0], "backing": "4KiB"},
        host={"profile": "skylake-2021", "tlb": tlb},
        driver={"windows": ENABLING},
    )  # fmt: skip
    return simulate(make_plan(made, policy, 1), engine=engine, **more)


def faults(trace: Trace) -> int:
    return trace.windows[0].counters["pf_taken"]


def test_while_the_slot_is_protected_only_a_finite_tlb_lets_a_vcpu_fault() -> None:
    """4,096 pages of 4 KiB; whoever holds few of them meets what is protected already."""
    none, most, few = (faults(enabling(tlb)) for tlb in ("unlimited", 1024, 64))
    assert none == 0
    assert 0 < most < few
    assert faults(enabling(1 << 16)) == 0, "a TLB that has room for all keeps all"


def test_a_limit_that_is_never_reached_changes_nothing_but_the_walk_goes_on_in_pieces() -> None:
    unlimited, roomy = enabling("unlimited"), enabling(1 << 16)
    assert roomy.phases == unlimited.phases
    assert roomy.windows == unlimited.windows


@pytest.mark.parametrize("policy", ["linux-6.13", "linux-6.13+pml", "linux-3.9"])
@pytest.mark.parametrize("tlb", [1, 100, {"4KiB": 900, "2MiB": 3, "1GiB": 1}])
def test_both_engines_and_one_event_per_access_agree(policy: str, tlb: Any) -> None:
    compiled = enabling(tlb, policy)
    assert compiled == enabling(tlb, policy, SIMPY)
    assert compiled == enabling(tlb, policy, SIMPY, run_limit=1)
    assert compiled == enabling(tlb, policy, COMPILED, run_limit=3)


@pytest.mark.parametrize("policy", ["linux-6.13", "linux-6.13+pml+dirty-ring", "lazy-drop"])
def test_a_guest_whose_log_is_read_loses_nothing_under_a_finite_tlb(policy: str) -> None:
    """Runs are cut by syncs; with constant costs simultaneous events are the rule."""
    for costs in (None, CONSTANT):
        host = {"profile": "skylake-2021", "tlb": 20, "costs": costs or {}}
        kernel = "linux-3.16" if policy == "lazy-drop" else "linux-6.13"
        made = busy_setting(vm={"kernel": kernel}, policies=only(policy), host=host)
        fast, slow = (simulate(make_plan(made, policy, 2), engine=e) for e in (COMPILED, SIMPY))
        assert fast == slow


def test_a_get_without_its_flush_loses_writes_under_a_finite_tlb_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Negative control: the TLB is finite, not harmless."""
    monkeypatch.setattr(flush, "flushed", lambda *entries: None)
    monkeypatch.setattr("mmusim.engine.host.enable_disable.flush_remote", lambda *a, **k: iter(()))
    host = {"profile": "skylake-2021", "tlb": 4096}
    made = busy_setting(vm={"kernel": "linux-3.16"}, policies=only("lazy-drop"), host=host)
    with pytest.raises(LostWriteError):
        simulate(make_plan(made, "lazy-drop", 1), engine=SIMPY)


# --- what falls out ---

PAGES = 3
"""Reach of the TLB in what follows."""
SLOW_CLEAR = CONSTANT | {"t_hit_2M": "10us", "c_tdp_wclear": "10us", "c_tdp_visit": "0ns"}


def second_pass(first: list[int], second: list[int]) -> PhaseTrace:
    """Reads, which logging interrupts long before they end, then writes of pages under way.

    The last write begins while the slot is being protected: 512 pages at 10 us.
    """
    phases = [
        {"do": "write"},
        {"do": "run", "workload": "w", "background": True, "name": "w"},
        {"do": "enable-logging", "at": "30us"},
        {"do": "wait"},
    ]
    made = setting(
        phases, memory="2MiB", workloads={"w": UNIFORM}, policies=only("linux-6.13"),
        vm={"kernel": "linux-6.13", "backing": "4KiB"},
        host={"profile": "skylake-2021", "tlb": PAGES, "costs": SLOW_CLEAR | {"c_srcu": "0ns"}},
    )  # fmt: skip
    program = [(gfn, True) for gfn in first + second]
    plan = with_program(make_plan(made, "linux-6.13", 1), 1, program)
    traces = [simulate(plan, engine=engine) for engine in (SIMPY, COMPILED)]
    assert traces[0] == traces[1]
    assert traces[0].phases[1].end_ns < traces[0].phases[2].end_ns
    return traces[0].phases[1]


@pytest.mark.parametrize(
    ("second", "faulting"),
    [
        ([0, 1, 2], 0),  # all three are held
        ([2, 1, 0, 2, 1, 0], 0),  # and stay held for as long as nothing else is used
        ([9], 1),  # never used: the page is protected by now
        ([9, 0], 2),  # 9 takes the place of 0, which was used longest ago
        ([9, 1, 2], 1),  # and of nothing else
        ([0, 9, 0], 1),  # 0 was used again before 9 came, which took the place of 1
        ([0, 9, 1], 2),
    ],
)
def test_the_translation_used_longest_ago_falls_out(second: list[int], faulting: int) -> None:
    guest = second_pass([0, 1, 2, 0, 1, 2], second)
    assert guest.counters["pf_taken"] == faulting


def test_what_is_told_of_uses_that_did_not_happen_is_undone() -> None:
    """The plain rule, on plain dictionaries."""
    tlb = TlbContents((2, 1, 1))
    tlb.live = True

    def use(*keys: int, done: int) -> list[int]:
        tlb._ahead = tuple(dict(held) for held in tlb._held)
        for key in keys:
            tlb.use(key << 2 | 1, 0)
        tlb.commit(done)
        return [key >> 2 for key in tlb._held[1]]

    assert use(1, 2, 3, done=3) == [2, 3]
    assert use(4, 5, done=0) == [2, 3]
    assert use(2, 4, 5, done=2) == [2, 4]


# --- what can be written ---


@pytest.mark.parametrize(
    ("tlb", "words"),
    [
        (0, "must be at least 1"),
        (1 << 20, "must be at most 65,536"),
        ("many", "unlimited"),
        ({"4KiB": 0}, "must be at least 1"),
        ({"4K": 12}, "4KiB"),
    ],
)
def test_a_reach_that_cannot_be_is_refused(tlb: Any, words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        enabling(tlb)
    assert "host.tlb" in str(refused.value)
    assert words in str(refused.value)


def test_a_reach_has_no_more_entries_than_the_guest_has_mappings() -> None:
    made = busy_setting(host={"profile": "skylake-2021", "tlb": 1536})
    assert make_plan(made, "lazy-drop", 1).tlb == (1536, 4, 1)
    assert dataclasses.replace(make_plan(busy_setting(), "lazy-drop", 1)).tlb is None
